//! `sentry-profiled check`: reads the settings, says what is wrong with them, and prints what holds and where it comes from.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;

use crate::{exit::Failure, settings};

/// `sentry-profiled check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Settings file (TOML) [default: /etc/sentry-profiled/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Exit code 78 if a setting is wrong; warnings go to standard error.
pub fn check(arguments: &CheckArguments) -> Result<u8, Failure> {
    let loaded = settings::load_all(arguments.config.as_deref(), config::Overrides::default())?;
    settings::debuginfod(&loaded.settings)?;
    settings::platform(&loaded.of_all())?;
    settings::dsns(&loaded)?;
    let file = loaded.file.as_ref().map_or("none".to_owned(), |file| file.display().to_string());
    writeln!(io::stdout().lock(), "# file: {file}")?;
    io::stdout().lock().write_all(config::render(&loaded).as_bytes())?;
    for warning in settings::warnings(&loaded) {
        writeln!(io::stderr().lock(), "warning: {warning}")?;
    }
    Ok(0)
}

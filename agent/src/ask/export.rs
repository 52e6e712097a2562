//! `sentry-profiled export`: what is kept as a file that other tools read.

use std::{fs, io::Write as _, path::PathBuf};

use clap::{Args, ValueEnum};

use super::{SelectionArguments, SourceArguments, question::Question};
use crate::{cli::Format, exit::Failure, run::write_file};

/// `sentry-profiled export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// Whom to ask.
    #[command(flatten)]
    pub source: SourceArguments,
    /// What of it.
    #[command(flatten)]
    pub about: SelectionArguments,
    /// File to write; `-` for standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: PathBuf,
    /// What to write
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Collapsed)]
    pub format: Format,
    /// Threads in order of time, rather than each stack once
    #[arg(long)]
    pub timeline: bool,
    /// Tell the lines of a function apart
    #[arg(long)]
    pub lines: bool,
}

/// Asks and writes.
pub fn export(arguments: &ExportArguments) -> Result<u8, Failure> {
    let mut question = Question::new("/export", &arguments.about);
    let format = arguments.format.to_possible_value();
    question.one("format", format.as_ref().map(clap::builder::PossibleValue::get_name));
    question.one("view", arguments.timeline.then_some("timeline"));
    question.flag("lines", arguments.lines);
    let mut out = write_file(&arguments.output)?;
    let asked = arguments.source.ask_into(&question.finish(), &mut out);
    let written = asked.and_then(|()| Ok(out.flush()?));
    if written.is_err() && arguments.output.as_os_str() != "-" {
        // Half of an export would pass for a whole one.
        let _ = fs::remove_file(&arguments.output);
    }
    written.map(|()| 0)
}

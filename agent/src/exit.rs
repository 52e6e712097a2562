//! How the program ends: one enum of failures, one place that prints them and picks the exit code.

use std::{borrow::Cow, error::Error, fmt::Write as _, io::Write as _, process::ExitCode};

/// What ended the program before its work was done.
#[derive(Debug)]
pub enum Failure {
    /// It ran, and failed. Exit code 1.
    Failed(anyhow::Error),
    /// The command line made no sense in a way that clap cannot see. Exit code 2.
    Usage(String),
    /// A right is missing. Exit code 77.
    NotPermitted(anyhow::Error, &'static str),
    /// A setting is wrong. Exit code 78.
    Config(anyhow::Error, &'static str),
    /// A failure with advice. Exit code 1.
    Hinted(anyhow::Error, &'static str),
    /// Who was to be asked is not there. Exit code 69.
    Unreachable(anyhow::Error, &'static str),
    /// Who was asked says no, with its own advice.
    Answered {
        /// What it said.
        error: anyhow::Error,
        /// What to do.
        hint: String,
        /// The exit code.
        code: u8,
    },
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Failure {
    /// A target that was refused.
    pub fn refused(refused: sampler::Refused) -> Self {
        let hint = refused.hint();
        if refused.is_permission() {
            Self::NotPermitted(refused.into(), hint)
        } else {
            Self::Hinted(refused.into(), hint)
        }
    }
}

impl Failure {
    /// What went wrong, without advice.
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Self::Failed(error)
            | Self::NotPermitted(error, _)
            | Self::Config(error, _)
            | Self::Hinted(error, _)
            | Self::Unreachable(error, _)
            | Self::Answered { error, .. } => error,
            Self::Usage(text) => anyhow::anyhow!(text),
        }
    }
}

/// Prints `error:`, `cause:` and `hint:` to stderr. A child's exit code passes through.
pub fn report(result: Result<u8, Failure>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let (error, hint, code): (_, Option<Cow<'static, str>>, _) = match failure {
                Failure::Failed(error) => (error, None, 1),
                Failure::Usage(text) => (anyhow::anyhow!(text), Some("see `sentry-profiled --help`".into()), 2),
                Failure::NotPermitted(error, hint) => (error, Some(hint.into()), 77),
                Failure::Config(error, hint) => (error, Some(hint.into()), 78),
                Failure::Hinted(error, hint) => (error, Some(hint.into()), 1),
                Failure::Unreachable(error, hint) => (error, Some(hint.into()), 69),
                Failure::Answered { error, hint, code } => (error, Some(hint.into()), code),
            };
            print(&*error, hint.as_deref());
            ExitCode::from(code)
        }
    }
}

fn print(error: &(dyn Error + 'static), hint: Option<&str>) {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = writeln!(text, "cause: {error}");
        cause = error.source();
    }
    if let Some(hint) = hint {
        let _ = writeln!(text, "\nhint: {hint}");
    }
    // With stderr gone there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

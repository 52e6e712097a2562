//! The agent: command line, the pipeline from samples to chunks, shipping. Knows every other crate; none knows it.
#![forbid(unsafe_code)]

pub mod about;
pub mod ask;
pub mod cli;
pub mod clocks;
pub mod daemon;
pub mod debuginfod;
pub mod doctor;
pub mod dump;
pub mod exit;
pub mod facts;
pub mod family;
pub mod hours;
pub mod info;
pub mod launch;
pub mod live;
pub mod local;
pub mod naming;
pub mod operate;
pub mod outlet;
pub mod pipeline;
pub mod record;
pub mod recover;
pub mod report;
pub mod run;
pub mod serve;
pub mod session;
pub mod settings;
pub mod shelf;
pub mod ship;
pub mod startup;
pub mod status;
pub mod store;

use std::process::ExitCode;

use clap::Parser;
use tracing::Level;

/// Parses the command line, does what it says, and turns what went wrong into an exit code.
pub fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    // A service's log is read when something is wrong; on a terminal only what must be known.
    let level = if matches!(arguments.command, Some(cli::Command::Daemon(_))) { Level::INFO } else { Level::WARN };
    startup::start_log(level);
    exit::report(cli::dispatch(arguments))
}

//! The agent: command line, the pipeline from samples to chunks, shipping. Knows every other crate; none knows it.
#![forbid(unsafe_code)]

pub mod about;
pub mod ask;
pub mod cli;
pub mod clocks;
pub mod debuginfod;
pub mod doctor;
pub mod dump;
pub mod exit;
pub mod family;
pub mod launch;
pub mod live;
pub mod local;
pub mod naming;
pub mod outlet;
pub mod pipeline;
pub mod record;
pub mod recover;
pub mod report;
pub mod run;
pub mod serve;
pub mod session;
pub mod settings;
pub mod ship;
pub mod startup;
pub mod status;
pub mod store;

use std::process::ExitCode;

use clap::Parser;

/// Parses the command line, does what it says, and turns what went wrong into an exit code.
pub fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    startup::start_log();
    exit::report(cli::dispatch(arguments))
}

//! `sentry-profiled store check`: reads all of a folder, and says what is wrong with it.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use store::embedded::{Report, check};

use super::{plain, source::cannot_open};
use crate::exit::Failure;

/// `sentry-profiled store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Read everything and say what is wrong; changes nothing
    Check(CheckArguments),
}

/// `sentry-profiled store check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Folder to check, also while a server writes to it
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Checks and prints. Exit code 1 if anything is wrong.
pub fn store(command: &StoreCommand) -> Result<u8, Failure> {
    let StoreCommand::Check(arguments) = command;
    let report = check(&arguments.store).map_err(|error| cannot_open(&arguments.store, error))?;
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer(&mut out, &report)?;
        out.write_all(b"\n")?;
    } else {
        out.write_all(text(&report).as_bytes())?;
    }
    out.flush()?;
    if report.is_sound() {
        return Ok(0);
    }
    Err(Failure::Hinted(anyhow!("the store is damaged"), "what is named cannot be read; everything else can"))
}

fn text(report: &Report) -> String {
    let Report { segments, segment_bytes, catalogue_bytes, profiles, samples, blocks, transactions, spans, .. } =
        report;
    let mut text = format!(
        "{profiles} profiles with {samples} samples, {transactions} transactions, {spans} spans\n\
         {segments} segments of {segment_bytes} bytes, {blocks} blocks, catalogue of {catalogue_bytes} bytes\n"
    );
    let wrong = report.catalogue.iter().chain(&report.files).map(|wrong| plain(wrong));
    let damaged =
        report.damaged.iter().map(|one| plain(&format!("{}: {} ({} profiles)", one.at, one.what, one.profiles)));
    text.extend(wrong.chain(damaged).map(|wrong| format!("damaged: {wrong}\n")));
    text
}

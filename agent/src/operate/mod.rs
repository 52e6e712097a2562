//! What an operator types beside a running daemon: `status`, `targets`, `start`, `stop`, `reload`; and about its settings:
//! `check`, `estimate`. Asks over the control socket; decides nothing.

pub mod check;
pub mod estimate;
mod socket;
mod tables;

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;
use serde_json::Value;

use self::socket::Control;
use crate::exit::Failure;

/// How the daemon is found.
#[derive(Debug, Args)]
pub struct ControlArguments {
    /// Control socket of the daemon [default: that of the settings, /run/sentry-profiled/control.sock]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `sentry-profiled status` and `targets`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// How the daemon is found.
    #[command(flatten)]
    pub control: ControlArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sentry-profiled start` and `stop`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Process to start or stop profiling
    #[arg(long = "pid", short = 'p', value_name = "PID")]
    pub pid: i32,
    /// How the daemon is found.
    #[command(flatten)]
    pub control: ControlArguments,
}

/// Prints how the daemon goes.
pub fn status(arguments: &ShowArguments) -> Result<u8, Failure> {
    show(arguments, "/v1/status", tables::status)
}

/// Prints the processes that its settings name.
pub fn targets(arguments: &ShowArguments) -> Result<u8, Failure> {
    show(arguments, "/v1/targets", tables::targets)
}

fn show(arguments: &ShowArguments, path: &str, text: impl FnOnce(&Value) -> String) -> Result<u8, Failure> {
    let answer = Control::new(&arguments.control)?.get(path)?;
    let text = if arguments.json { format!("{answer}\n") } else { text(&answer) };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(0)
}

/// Starts or stops a process. Exit code 1 when that has no effect.
pub fn run(arguments: &RunArguments, start: bool) -> Result<u8, Failure> {
    let verb = if start { "start" } else { "stop" };
    let answer = Control::new(&arguments.control)?.post(&format!("/v1/targets/{}/{verb}", arguments.pid))?;
    if let Some(id) = answer.get("profiler_id").and_then(Value::as_str) {
        writeln!(io::stdout().lock(), "{id}")?;
        return Ok(0);
    }
    let reason = answer.get("reason").and_then(Value::as_str).unwrap_or("the daemon does not say why").to_owned();
    Err(Failure::Hinted(
        anyhow::anyhow!("{verb} has no effect: {reason}"),
        "`sentry-profiled targets` shows what holds for it",
    ))
}

/// Has the daemon read its settings file again.
pub fn reload(arguments: &ControlArguments) -> Result<u8, Failure> {
    let answer = Control::new(arguments)?.post("/v1/reload")?;
    let mut out = io::stdout().lock();
    writeln!(out, "entries: {}", answer.get("entries").unwrap_or(&Value::Null))?;
    for warning in answer.get("warnings").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(0)
}

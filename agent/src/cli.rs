//! What can be typed. Parses and dispatches; does nothing itself.

use std::{io::Write as _, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use config::Native;
use sampler::watchdog::HANG_MAX;
use tracing::error;

use crate::{
    ask::{self, check::StoreCommand, diff::DiffArguments, export::ExportArguments, top::TopArguments},
    dump,
    exit::Failure,
    operate::{self, ControlArguments, ShowArguments, check::CheckArguments, estimate::EstimateArguments},
    record, run,
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "sentry-profiled",
    version,
    about = "Profiles running Linux programs from outside, without stopping what sleeps",
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "EXAMPLES:\n  sentry-profiled --pid 4242 --duration 30s\n  sentry-profiled record --pid 4242 -o out.txt \
                  --format collapsed --duration 10s\n  sentry-profiled dump --pid 4242\n  sentry-profiled -- ./program \
                  --with arguments\n\nSENTRY_PROFILED_LOG says what is logged: error, warn, info, debug, or sampler=trace for a \
                  part."
)]
pub struct Arguments {
    /// What to do; without one, profile until the target ends.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Profiling as a whole.
    #[command(flatten)]
    pub run: RunArguments,
}

/// `sentry-profiled --pid PID` or `-- COMMAND`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Whom and how to sample.
    #[command(flatten)]
    pub target: TargetArguments,
    /// Where the chunks go; without it they are kept here, and a page shows them. `ps` shows it to every user: rather set
    /// SENTRY_DSN, or options.dsn in the settings file [env: SENTRY_DSN]
    #[arg(long, value_name = "DSN", help_heading = "Output")]
    pub dsn: Option<String>,
    /// Where the page is served when there is no DSN [default: 127.0.0.1:4141, or any free port]
    #[arg(long, value_name = "ADDR", help_heading = "Output", conflicts_with = "dsn")]
    pub listen: Option<std::net::SocketAddr>,
    /// Open the page in the browser
    #[arg(long, help_heading = "Output", conflicts_with = "dsn")]
    pub open: bool,
    /// Version of the target, as Sentry shows it
    #[arg(long, help_heading = "Output")]
    pub release: Option<String>,
    /// Where the target is deployed
    #[arg(long, help_heading = "Output")]
    pub environment: Option<String>,
    /// Sentry platform of the target; by default native, or rust for a Rust program
    #[arg(long, help_heading = "Output")]
    pub platform: Option<String>,
    /// Folder for chunks that are not sent yet, or not at all
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub spool: Option<PathBuf>,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
}

/// Whom and how to sample.
#[derive(Debug, Args, Clone)]
pub struct TargetArguments {
    /// Process to profile, with the children that it forks, until all of them have ended; may be given several times
    #[arg(long = "pid", short = 'p', value_name = "PID", help_heading = "Targets")]
    pub pids: Vec<i32>,
    /// Leave out the children that the targets fork
    #[arg(long, help_heading = "Targets")]
    pub no_children: bool,
    /// Program to start and profile, with the children that it forks, until the program itself has ended
    #[arg(last = true, value_name = "COMMAND", help_heading = "Targets")]
    pub command: Vec<std::ffi::OsString>,
    /// Stop after this long: 30, 30s, 5m, 1h30m
    #[arg(long, short = 'd', value_parser = duration, help_heading = "Sampling")]
    pub duration: Option<Duration>,
    /// Samples a second and thread, 1 to 1000 [default: 101]
    #[arg(long, short = 'r', value_name = "HZ", value_parser = rate, help_heading = "Sampling")]
    pub rate: Option<f64>,
    /// Stop a sleeping thread once a sleep where its stack cannot be followed without rbp and its call restarts unseen
    #[arg(long, help_heading = "Sampling")]
    pub stop_for_rbp: bool,
    /// What is shown.
    #[command(flatten)]
    pub view: ViewArguments,
}

/// What of the samples is shown. Without a flag the environment and the settings file say.
#[derive(Debug, Args, Clone)]
#[group(multiple = true)]
pub struct ViewArguments {
    /// Leave out threads that sleep
    #[arg(long, help_heading = "What is shown", conflicts_with_all = ["on_cpu", "gil"])]
    pub no_idle: bool,
    /// Only what ran on a CPU
    #[arg(long, help_heading = "What is shown", conflicts_with = "gil")]
    pub on_cpu: bool,
    /// Only the thread that held Python's global interpreter lock
    #[arg(long, help_heading = "What is shown")]
    pub gil: bool,
    /// Native frames of Python programs: merged, off or only [default: merged]
    #[arg(long, value_name = "HOW", help_heading = "What is shown")]
    pub native: Option<Native>,
    /// Keep frames of the interpreter that only show how it calls
    #[arg(long, help_heading = "What is shown")]
    pub keep_interpreter_frames: bool,
    /// Folder of the application's own Python files [default: the target's working directory]
    #[arg(long, value_name = "DIR", help_heading = "What is shown")]
    pub project_root: Option<String>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record into a file
    Record(RecordArguments),
    /// Print one stack per thread, now
    Dump(DumpArguments),
    /// Say what would prevent or weaken profiling, and what to do
    Doctor(DoctorArguments),
    /// Print the functions that took most time, of what a server or a folder keeps
    Top(TopArguments),
    /// Print what became more or less of the time between two windows or releases
    Diff(DiffArguments),
    /// Write what a server or a folder keeps as a file for other tools
    Export(ExportArguments),
    /// Look after a folder of profiles
    #[command(subcommand)]
    Store(StoreCommand),
    /// Receive profiles of agents and SDKs, keep them, and show them
    Serve(ServeArguments),
    /// Profile the services that the settings file names, until told to end
    Daemon(DaemonArguments),
    /// Say what is wrong with the settings, and print what holds and where it comes from
    Check(CheckArguments),
    /// Print how the daemon goes and what it costs
    Status(ShowArguments),
    /// Print the processes that the daemon's settings name
    Targets(ShowArguments),
    /// Have the daemon start profiling a process
    Start(operate::RunArguments),
    /// Have the daemon stop profiling a process
    Stop(operate::RunArguments),
    /// Have the daemon read its settings again
    Reload(ControlArguments),
    /// Print the profile hours that a month of the settings comes to
    Estimate(EstimateArguments),
    /// Print a script that completes command lines
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages
    Man {
        /// Folder to write them to
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// End the agent when it hangs with a thread stopped (started by the agent itself)
    #[command(hide = true)]
    Watchdog {
        /// Inherited descriptor of the heartbeat.
        heartbeat: i32,
        /// Whom to watch.
        agent: i32,
    },
    /// Wait for a byte on standard input's twin, then become the command (started by the agent itself)
    #[command(hide = true)]
    Launch {
        /// Inherited descriptor to wait on.
        gate: i32,
        /// What to become.
        #[arg(last = true)]
        command: Vec<std::ffi::OsString>,
    },
}

/// `sentry-profiled record`.
#[derive(Debug, Args)]
pub struct RecordArguments {
    /// Whom and how to sample.
    #[command(flatten)]
    pub target: TargetArguments,
    /// File to write; `-` for standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: PathBuf,
    /// What to write
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Collapsed)]
    pub format: Format,
    /// File and line behind each function (collapsed)
    #[arg(long)]
    pub lines: bool,
}

/// Formats of `record` and `export`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line a distinct stack, for flamegraph.pl and its kin
    Collapsed,
    /// For speedscope.app
    Speedscope,
    /// For `go tool pprof`
    Pprof,
    /// For profiler.firefox.com
    Firefox,
    /// Sentry's sample format v2, one chunk a line
    Sentry,
}

/// `sentry-profiled dump`.
#[derive(Debug, Args)]
pub struct DumpArguments {
    /// Process to look at
    #[arg(long = "pid", short = 'p', value_name = "PID")]
    pub pid: i32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Stop sleeping threads where their stack needs it and their call restarts unseen
    #[arg(long)]
    pub stop_for_rbp: bool,
    /// What is shown.
    #[command(flatten)]
    pub view: ViewArguments,
}

/// `sentry-profiled doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Process to look at
    #[arg(long = "pid", short = 'p', value_name = "PID")]
    pub pid: Option<i32>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sentry-profiled serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Address and port; beyond this machine the settings must have a token and projects [default: 127.0.0.1:4141]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<std::net::SocketAddr>,
    /// Folder of all that is kept
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `sentry-profiled daemon`.
#[derive(Debug, Args)]
pub struct DaemonArguments {
    /// Settings file (TOML) [default: /etc/sentry-profiled/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Control socket [default: /run/sentry-profiled/control.sock]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Folder for journals, spool and store [default: /var/lib/sentry-profiled]
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// Where the page is served, if a target has no DSN [default: 127.0.0.1:4141, or any free port]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<std::net::SocketAddr>,
    /// Where metrics are served in Prometheus' text format [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<std::net::SocketAddr>,
}

/// Does what was typed.
pub fn dispatch(arguments: Arguments) -> Result<u8, Failure> {
    match arguments.command {
        Some(Command::Record(record)) => record::record(&record),
        Some(Command::Dump(dump)) => dump::dump(&dump),
        Some(Command::Doctor(doctor)) => crate::doctor::doctor(&doctor),
        Some(Command::Top(top)) => ask::top::top(&top),
        Some(Command::Diff(diff)) => ask::diff::diff(&diff),
        Some(Command::Export(export)) => ask::export::export(&export),
        Some(Command::Store(store)) => ask::check::store(&store),
        Some(Command::Serve(serve)) => crate::serve::serve(&serve),
        Some(Command::Daemon(daemon)) => crate::daemon::daemon(&daemon),
        Some(Command::Check(check)) => operate::check::check(&check),
        Some(Command::Status(show)) => operate::status(&show),
        Some(Command::Targets(show)) => operate::targets(&show),
        Some(Command::Start(run)) => operate::run(&run, true),
        Some(Command::Stop(run)) => operate::run(&run, false),
        Some(Command::Reload(control)) => operate::reload(&control),
        Some(Command::Estimate(estimate)) => operate::estimate::estimate(&estimate),
        Some(Command::Completions { shell }) => {
            // Into memory first: whoever reads it may hang up.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sentry-profiled", &mut script);
            std::io::stdout().lock().write_all(&script)?;
            Ok(0)
        }
        Some(Command::Man { folder }) => {
            let write = || {
                std::fs::create_dir_all(&folder)?;
                clap_mangen::generate_to(Arguments::command(), &folder)
            };
            write().with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
            Ok(0)
        }
        Some(Command::Watchdog { heartbeat, agent }) => {
            if sampler::watchdog::run(heartbeat, agent)? {
                error!(agent, limit = ?HANG_MAX, "Nothing was heard of the sampler while it held a thread; the agent was ended.");
            }
            Ok(0)
        }
        Some(Command::Launch { gate, command }) => crate::launch::become_command(gate, &command),
        None => run::run(&arguments.run),
    }
}

/// `30`, `30s`, `500ms`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write 30, 30s, 500ms, 5m or 1h30m");
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters).ok_or_else(wrong)?;
        let seconds = match unit {
            "" | "s" => 1.0,
            "ms" => 0.001,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        total = total.saturating_add(Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?);
        rest = after;
    }
    Ok(total)
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1.0..=1000.0).contains(&rate) => Ok(rate),
        _ => Err(format!("`{text}` is no rate: give samples a second, 1 to 1000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the definition holds together, and what durations and rates are taken.
    #[test]
    fn arguments() {
        Arguments::command().debug_assert();
        assert_eq!(duration("30").unwrap(), Duration::from_secs(30));
        assert_eq!(duration("1h30m").unwrap(), Duration::from_mins(90));
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert!(duration("soon").is_err() && duration("").is_err() && duration("3 days").is_err());
        assert!(rate("101").is_ok() && rate("0").is_err() && rate("NaN").is_err());
    }
}

//! What must be in place before the first thread starts: blocked signals, descriptors, the watchdog.

use std::{
    os::fd::{AsFd, AsRawFd},
    process::Stdio,
    sync::Arc,
};

use anyhow::Context;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, SigmaskHow, Signal, pthread_sigmask, raise},
        signalfd::{SfdFlags, SignalFd},
    },
};
use sampler::watchdog::Heartbeat;
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, fmt,
    fmt::{FmtContext, FormatEvent, FormatFields, format, format::Writer},
};

/// Messages to standard error: from `level` on, or what `SENTRY_PROFILED_LOG` asks for (`debug`, `sampler=trace`, ...).
pub fn start_log(level: Level) {
    let filter = EnvFilter::builder().with_env_var("SENTRY_PROFILED_LOG").with_default_directive(level.into());
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let log = fmt().with_env_filter(filter.from_env_lossy()).with_writer(std::io::stderr);
    // Only a second start fails, and the first is as good.
    let _ = if is_journal() {
        let text = format().without_time().with_level(false).with_target(false).with_ansi(false);
        log.with_ansi(false).event_format(Prioritised(text)).try_init()
    } else {
        log.with_ansi(terminal).with_target(false).try_init()
    };
}

/// Whether standard error is what systemd says is a stream to its journal, `DEVICE:INODE` (systemd.exec(5)).
fn is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let own = nix::sys::stat::fstat(std::io::stderr()).map(|own| format!("{}:{}", own.st_dev, own.st_ino));
    own.is_ok_and(|own| own == stream)
}

/// Lines with the priority in front by which the journal sorts them (sd-daemon(3)); it has the time itself.
struct Prioritised<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: tracing::Subscriber + for<'s> tracing_subscriber::registry::LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}

/// The signals that the main thread answers, on a descriptor.
#[derive(Debug)]
pub struct Signals(pub SignalFd);

impl Signals {
    /// Waits for one that ends us; at one that suspends us we stop until we are told to go on.
    pub fn wait(&self) {
        loop {
            let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut polled, PollTimeout::NONE);
            match self.0.read_signal() {
                Ok(Some(signal)) if i32::try_from(signal.ssi_signo) == Ok(Signal::SIGTSTP as i32) => {
                    // Cannot fail: the signal is ours.
                    let _ = raise(Signal::SIGSTOP);
                }
                Ok(None) => {}
                Ok(Some(_)) => return,
                Err(error) => return tracing::warn!(%error, "Signals cannot be read any more."),
            }
        }
    }
}

/// Blocks SIGCHLD (the sampler's) and the signals that end or suspend us, in this thread and so in all that follow.
pub fn block_signals() -> anyhow::Result<Signals> {
    let mut ours = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGTSTP] {
        ours.add(signal);
    }
    let mut all = ours;
    all.add(Signal::SIGCHLD);
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&all), None).context("cannot block signals")?;
    let descriptor = SignalFd::with_flags(&ours, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
    Ok(Signals(descriptor.context("cannot listen for signals")?))
}

/// Two descriptors a thread: as many as we may have.
pub fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Not permitted: then threads beyond the limit are skipped, and counted.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Most CPU time, in microseconds, that our real-time thread may take without once waiting: then something is wrong.
/// At that priority it looks at 256 threads of a target at most, some microseconds each, and it waits at every tick.
const REAL_TIME_MAX_US: u64 = 500_000;

/// Has the kernel end us when the sampling thread spins at real-time priority. By SIGKILL, so the soft limit is the hard
/// one: SIGXCPU would write a core while threads are held. For us alone: to be called when the command has been started.
pub fn bound_real_time() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_RTTIME) {
        let limit = hard.min(REAL_TIME_MAX_US);
        // A hard limit may always be lowered.
        let _ = setrlimit(Resource::RLIMIT_RTTIME, limit, limit);
    }
}

/// Starts the watchdog process. Without one a hang of ours would hold threads for good, so that is an error.
pub fn start_watchdog() -> anyhow::Result<Arc<Heartbeat>> {
    let heartbeat = Heartbeat::new().context("cannot make the heartbeat of the watchdog")?;
    let inherited = heartbeat.for_child().context("cannot hand the heartbeat to the watchdog")?;
    let child = std::process::Command::new("/proc/self/exe")
        .args(["watchdog", &inherited.as_raw_fd().to_string(), &std::process::id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start the watchdog process")?;
    // It outlives us by design; when we end, init reaps it.
    drop(child);
    Ok(Arc::new(heartbeat))
}

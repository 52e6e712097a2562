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

/// Messages to standard error: what an operator must know, or what `SENTRY_PROFILED_LOG` asks for (`debug`,
/// `sampler=trace`, ...).
pub fn start_log() {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter =
        EnvFilter::builder().with_env_var("SENTRY_PROFILED_LOG").with_default_directive(tracing::Level::WARN.into());
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let log = fmt().with_env_filter(filter.from_env_lossy()).with_writer(std::io::stderr).with_ansi(terminal);
    // Only a second start fails, and the first is as good.
    let _ = log.with_target(false).try_init();
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

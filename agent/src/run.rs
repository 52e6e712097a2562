//! `sentry-profiled --pid PID` and `-- COMMAND`: profile until the target ends, ^C or the duration. Also what `record`
//! shares with it.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, raise},
};
use profile::{
    chunk::{Anchor, Chunk, Platform, SessionInfo},
    id::{Pid, ProfilerId},
    record::Recorded,
};
use sampler::{Sampler, Settings, Target};

use crate::{
    cli::{RunArguments, TargetArguments},
    exit::Failure,
    folder::Folder,
    launch::Launched,
    naming::{Naming, Patience},
    pipeline::{Outlet, Pipeline},
    session::Keep,
    startup::{self, Signals},
    status::Status,
};

/// What a profiling run needs to know beside its targets.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Whom and how to sample.
    pub target: &'a TargetArguments,
    /// Fields of every session.
    pub release: Option<String>,
    /// Fields of every session.
    pub environment: Option<String>,
    /// Fields of every session.
    pub platform: Option<Platform>,
    /// What is kept.
    pub keep: Keep,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// One a target, if recordings were kept.
    pub recorded: Vec<Recorded>,
    /// What to install for better names.
    pub hints: Vec<String>,
    /// The command's exit code.
    pub code: u8,
}

/// The top-level command.
pub fn run(arguments: &RunArguments) -> Result<u8, Failure> {
    if arguments.target.pids.is_empty() && arguments.target.command.is_empty() {
        return Err(Failure::Usage("no target: give --pid PID, or a command after --".to_owned()));
    }
    let folder = Folder::open(arguments.spool.clone().unwrap_or_else(Folder::usual))?;
    let kept = folder.path().to_owned();
    let plan = Plan {
        target: &arguments.target,
        release: arguments.release.clone(),
        environment: arguments.environment.clone(),
        platform: arguments.platform.as_deref().map(platform).transpose()?,
        keep: Keep { chunks: true, recording: true },
    };
    let done = profile(&plan, Box::new(ToFolder(folder)))?;
    crate::status::print_hottest(&done, Some(&kept));
    Ok(done.code)
}

/// Checks a platform that was typed.
pub fn platform(name: &str) -> Result<Platform, Failure> {
    Platform::new(name).ok_or_else(|| {
        Failure::Usage(format!(
            "`{name}` is no platform for this profiler: lower-case words such as native, rust, python"
        ))
    })
}

struct ToFolder(Folder);

impl Outlet for ToFolder {
    fn chunk(&mut self, chunk: Chunk) {
        if let Err(error) = self.0.keep(&chunk) {
            tracing::error!(%error, "A chunk could not be kept; it is lost.");
        }
    }
}

/// Samples the targets of `plan` until they end, a signal, or the duration.
pub fn profile(plan: &Plan<'_>, outlet: Box<dyn Outlet>) -> Result<Done, Failure> {
    let signals = startup::block_signals()?;
    let mut launched = match plan.target.command.as_slice() {
        [] => None,
        command => Some(Launched::start(command)?),
    };
    let mut pids: Vec<Pid> = plan.target.pids.iter().copied().map(Pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let mut targets = Vec::new();
    for pid in pids {
        targets.push((Target::open(pid).map_err(Failure::refused)?, false));
    }
    if let Some(launched) = &launched {
        targets.push((Target::open(launched.pid()).map_err(Failure::refused)?, true));
    }
    startup::raise_descriptor_limit();
    let heartbeat = startup::start_watchdog()?;
    let (naming, naming_thread) = Naming::start(symbolizer::Settings::default(), Patience::Background)?;
    let pipeline = Pipeline::start(plan.keep, naming.clone(), outlet)?;
    let settings = Settings { rate_hz: plan.target.rate.unwrap_or(101.0), stop_for_rbp: plan.target.stop_for_rbp };
    let mut sampler = Sampler::start(settings, heartbeat, pipeline.sink())?;
    let count = targets.len();
    for (target, paused) in targets {
        tell_tracer(target.pid);
        let id = sampler.reserve();
        pipeline.open(id, session_info(plan, &target, settings.rate_hz));
        sampler.add(id, target, paused)?;
        if let (true, Some(launched)) = (paused, &mut launched) {
            launched.release()?;
            sampler.pause(id, false);
        }
    }
    let status = Status::new(settings.rate_hz);
    wait(&signals, &sampler, &pipeline, count, plan.target.duration, status);
    drop(sampler);
    let recorded = pipeline.finish();
    let hints = naming.hints();
    drop(naming);
    drop(naming_thread.join());
    Ok(Done {
        recorded,
        hints,
        code: launched.map_or(0, |launched| exit_code(launched, plan.target.duration.is_some())),
    })
}

/// Waits for the end, answering signals and showing the status.
fn wait(
    signals: &Signals,
    sampler: &Sampler,
    pipeline: &Pipeline,
    targets: usize,
    duration: Option<Duration>,
    mut status: Status,
) {
    let began = Instant::now();
    loop {
        let left = duration.map_or(Duration::MAX, |duration| duration.saturating_sub(began.elapsed()));
        if left.is_zero() {
            break;
        }
        let timeout = PollTimeout::try_from(left.min(Duration::from_millis(100))).unwrap_or(PollTimeout::ZERO);
        let mut polled = [PollFd::new(signals.0.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, timeout);
        if let Ok(Some(signal)) = signals.0.read_signal() {
            if i32::try_from(signal.ssi_signo) != Ok(Signal::SIGTSTP as i32) {
                break;
            }
            suspend(sampler);
        }
        let progress = pipeline.progress();
        status.show(&progress, began.elapsed());
        if progress.gone >= targets {
            break;
        }
    }
    status.clear();
}

/// ^Z: first let every thread go, then stop ourselves.
fn suspend(sampler: &Sampler) {
    if sampler.drain() {
        let _ = raise(Signal::SIGSTOP);
    } else {
        tracing::warn!(
            "A thread that was interrupted has not stopped yet; not suspending, so that it is not left stopped."
        );
    }
}

fn tell_tracer(pid: Pid) {
    let tracer = sampler::target::tracer_of(pid);
    if tracer != 0 {
        tracing::warn!(%pid, tracer, "The target is held by another tracer (a debugger, strace?); its running threads are skipped until it lets go.");
    }
}

fn session_info(plan: &Plan<'_>, target: &Target, rate_hz: f64) -> SessionInfo {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let anchor = Anchor { unix_ns: sampler::sys::ns(unix), monotonic_ns: sampler::sys::monotonic_ns() };
    let mut info = SessionInfo::new(ProfilerId(uuid::Uuid::new_v4()), anchor, rate_hz, target.pid);
    info.release.clone_from(&plan.release);
    info.environment.clone_from(&plan.environment);
    if let Some(platform) = &plan.platform {
        info.platform = platform.clone();
    }
    info.host = nix::unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned());
    info.exe = Some(target.exe.to_string_lossy().into_owned());
    info
}

/// The command's own exit code, 128 + signal as a shell has it. When our time was up before the command's, it goes on.
fn exit_code(mut launched: Launched, timed: bool) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let status = if timed { launched.child.try_wait().ok().flatten() } else { launched.child.wait().ok() };
    let code = status.and_then(|status| status.code().or(status.signal().map(|signal| 128 + signal)));
    u8::try_from(code.unwrap_or(0)).unwrap_or(1)
}

/// Makes `context` available to the callers of this module's shared parts.
pub(crate) fn write_file(path: &std::path::Path) -> anyhow::Result<Box<dyn std::io::Write>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdout().lock()));
    }
    let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Box::new(std::io::BufWriter::new(file)))
}

//! `sentry-profiled --pid PID` and `-- COMMAND`: profile until the target ends, ^C or the duration. Also what `record`
//! shares with it.

use std::{
    fs::File,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, raise},
};
use profile::{
    chunk::{Anchor, Platform, SessionInfo},
    id::{Pid, ProfilerId},
    record::Recorded,
};
use sampler::{Refused, Sampler, Settings, Target, TargetId};
use tracing::warn;

use crate::{
    cli::{RunArguments, TargetArguments},
    exit::Failure,
    folder::Folder,
    launch::{self, Launched},
    naming::{Naming, Patience},
    outlet::Outlet,
    pipeline::{Finished, Pipeline},
    recover::recover_all,
    session::{Keep, Summary},
    settings,
    ship::Shipper,
    startup::{self, Signals},
    status::Status,
};

/// How often the status is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Readings of both clocks, some 100 ns each: one in a row of these is not interrupted.
const ANCHOR_READINGS: u32 = 8;

/// What a profiling run needs to know beside its targets.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Whom to sample and for how long.
    pub target: &'a TargetArguments,
    /// How, and what every session says.
    pub settings: &'a config::Settings,
    /// What is kept.
    pub keep: Keep,
    /// Where chunks go.
    pub outlet: Outlet,
    /// Where sessions keep their journals.
    pub journals: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// One a session, if recordings were kept.
    pub recorded: Vec<Recorded>,
    /// One a session, if chunks were.
    pub summaries: Vec<Summary>,
    /// What to install for better names.
    pub hints: Vec<String>,
    /// The command's exit code.
    pub code: u8,
}

/// The top-level command.
pub fn run(arguments: &RunArguments) -> Result<u8, Failure> {
    need_target(&arguments.target)?;
    let settings = settings::of_run(arguments)?;
    settings::platform(&settings)?;
    let state = settings::state_folder(&settings);
    let (outlet, kept) = if let Some(ship) = settings::shipping(&settings)? {
        (Outlet::Ship(Arc::new(Shipper::start(ship)?)), None)
    } else {
        let folder = Folder::open(state.join("chunks"))?;
        let path = folder.path().to_owned();
        (Outlet::Keep(folder), Some(path))
    };
    let plan = Plan {
        target: &arguments.target,
        settings: &settings,
        keep: Keep { chunks: true, recording: kept.is_some() },
        outlet: outlet.clone(),
        journals: Some(settings::journals(&state)),
    };
    let done = profile(&plan)?;
    if let Outlet::Ship(shipper) = &outlet {
        crate::status::print_shipped(&done.summaries, &shipper.drain(settings.shipping.drain.0));
    }
    crate::status::print_hottest(&done, kept.as_deref());
    Ok(done.code)
}

/// Somebody must be sampled.
pub fn need_target(target: &TargetArguments) -> Result<(), Failure> {
    if target.pids.is_empty() && target.command.is_empty() {
        return Err(Failure::Usage("no target: give --pid PID, or a command after --".to_owned()));
    }
    Ok(())
}

/// Samples the targets of `plan` until they end, a signal, or the duration.
pub fn profile(plan: &Plan<'_>) -> Result<Done, Failure> {
    let debuginfod = settings::debuginfod(plan.settings)?;
    let signals = startup::block_signals()?;
    let mut launched = match plan.target.command.as_slice() {
        [] => None,
        command => Some(Launched::start(command)?),
    };
    let mut targets = open_targets(plan.target)?;
    if let Some(launched) = &launched {
        targets.push((Target::open(launched.pid()).map_err(Failure::refused)?, true));
    }
    startup::raise_descriptor_limit();
    let heartbeat = startup::start_watchdog()?;
    let (naming, naming_thread) =
        Naming::start(symbolizer::Settings::default(), Patience::Background, debuginfod.as_ref())?;
    let recovery = start_recovery(plan, &naming)?;
    let pipeline = Pipeline::start(plan.keep, naming.clone(), plan.outlet.clone(), plan.journals.clone())?;
    let rate_hz = plan.settings.sampling.rate_hz.get();
    let settings = Settings { rate_hz, stop_for_rbp: plan.settings.sampling.stop_for_rbp };
    let sampler = Sampler::start(settings, heartbeat, pipeline.sink())?;
    let mut at_work = AtWork { plan, sampler, pipeline, ids: Vec::new(), added: 0, resting: Vec::new() };
    for (target, paused) in targets {
        tell_tracer(target.pid);
        let id = at_work.add(target, paused)?;
        if let (true, Some(launched)) = (paused, &mut launched) {
            launched.release()?;
            at_work.sampler.pause(id, false);
        }
    }
    wait(&signals, &mut at_work, Status::new(rate_hz));
    let AtWork { sampler, pipeline, .. } = at_work;
    drop(sampler);
    let Finished { recorded, summaries } = pipeline.finish();
    drop(recovery.map(JoinHandle::join));
    let hints = naming.hints();
    drop(naming);
    drop(naming_thread.join());
    let timed = plan.target.duration.is_some();
    Ok(Done { recorded, summaries, hints, code: launched.map_or(0, |launched| exit_code(launched, timed)) })
}

/// Builds what dead agents left in a thread of its own: names may take half a minute, and the targets run meanwhile.
fn start_recovery(plan: &Plan<'_>, naming: &Naming) -> anyhow::Result<Option<JoinHandle<()>>> {
    let (Some(journals), Outlet::Ship(_) | Outlet::Keep(_)) = (plan.journals.clone(), &plan.outlet) else {
        return Ok(None);
    };
    let (outlet, naming) = (plan.outlet.clone(), naming.clone());
    let recover = move || {
        let spooled = if let Outlet::Ship(shipper) = &outlet { shipper.spooled_journals() } else { &[] };
        recover_all(&journals, spooled, &naming, &outlet);
    };
    let thread = std::thread::Builder::new().name("sp-recover".to_owned()).spawn(recover);
    Ok(Some(thread.context("cannot start the recovery")?))
}

fn open_targets(arguments: &TargetArguments) -> Result<Vec<(Target, bool)>, Failure> {
    let mut pids: Vec<Pid> = arguments.pids.iter().copied().map(Pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().map(|pid| Ok((Target::open(pid).map_err(Failure::refused)?, false))).collect()
}

/// The running parts, and whom they sample.
struct AtWork<'p> {
    plan: &'p Plan<'p>,
    sampler: Sampler,
    pipeline: Pipeline,
    /// Targets at work, with their pid and start time.
    ids: Vec<(TargetId, Pid, u64)>,
    /// How many sessions were begun.
    added: usize,
    /// Targets that rest while the server refuses chunks for long.
    resting: Vec<(Pid, u64)>,
}

impl AtWork<'_> {
    fn add(&mut self, target: Target, paused: bool) -> Result<TargetId, Failure> {
        let id = self.sampler.reserve();
        self.pipeline.open(id, session_info(self.plan, &target, paused)?);
        self.ids.push((id, target.pid, target.start_time));
        self.sampler.add(id, target, paused)?;
        self.added += 1;
        Ok(id)
    }

    /// While the server limits us for longer than is waited out, nobody is sampled: what was taken would be thrown away.
    fn rest(&mut self) -> Result<(), Failure> {
        let Outlet::Ship(shipper) = &self.plan.outlet else { return Ok(()) };
        if shipper.paused().is_some() {
            for (id, pid, start_time) in self.ids.drain(..) {
                warn!(%pid, "The server limits chunks for long; this target rests until then.");
                self.sampler.remove(id);
                self.resting.push((pid, start_time));
            }
            return Ok(());
        }
        for (pid, start_time) in std::mem::take(&mut self.resting) {
            match Target::open(pid) {
                Ok(target) if target.start_time == start_time => drop(self.add(target, false)?),
                // Its session is being closed still: its lock is held.
                Err(Refused::Locked(_)) => self.resting.push((pid, start_time)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Waits for the end, answering signals and showing the status.
fn wait(signals: &Signals, at_work: &mut AtWork<'_>, mut status: Status) {
    let began = Instant::now();
    loop {
        let duration = at_work.plan.target.duration;
        let left = duration.map_or(Duration::MAX, |duration| duration.saturating_sub(began.elapsed()));
        if left.is_zero() {
            break;
        }
        let timeout = PollTimeout::try_from(left.min(LOOK_EVERY)).unwrap_or(PollTimeout::ZERO);
        let mut polled = [PollFd::new(signals.0.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, timeout);
        if let Ok(Some(signal)) = signals.0.read_signal() {
            if i32::try_from(signal.ssi_signo) != Ok(Signal::SIGTSTP as i32) {
                break;
            }
            suspend(&at_work.sampler);
        }
        if let Err(error) = at_work.rest() {
            warn!(?error, "A target that rested cannot be sampled again.");
        }
        let progress = at_work.pipeline.progress();
        let shipped = if let Outlet::Ship(shipper) = &at_work.plan.outlet { Some(shipper.status()) } else { None };
        status.show(&progress, shipped.as_ref(), began.elapsed());
        if progress.gone >= at_work.added && at_work.resting.is_empty() {
            break;
        }
    }
    status.clear();
}

/// ^Z: first let every thread go, then stop ourselves; when we go on, so does the sampling.
fn suspend(sampler: &Sampler) {
    if let Some(hold) = sampler.hold() {
        let _ = raise(Signal::SIGSTOP);
        drop(hold);
    } else {
        warn!("A thread that was interrupted has not stopped yet; not suspending, so that it is not left stopped.");
    }
}

fn tell_tracer(pid: Pid) {
    let tracer = sampler::target::tracer_of(pid);
    if tracer != 0 {
        warn!(%pid, tracer, "The target is held by another tracer (a debugger, strace?); its running threads are skipped until it lets go.");
    }
}

/// Of a child at the gate it tells what the child will become.
fn session_info(plan: &Plan<'_>, target: &Target, at_gate: bool) -> Result<SessionInfo, Failure> {
    let program = if at_gate { launch::program(&plan.target.command) } else { None };
    let rate_hz = plan.settings.sampling.rate_hz.get();
    let mut info = SessionInfo::new(ProfilerId(uuid::Uuid::new_v4()), anchor(), rate_hz, target.pid);
    info.release.clone_from(&plan.settings.output.release);
    info.environment.clone_from(&plan.settings.output.environment);
    info.platform = settings::platform(plan.settings)?.unwrap_or_else(|| platform_of(target, program.as_deref()));
    info.in_app = settings::in_app(plan.settings);
    info.naming = settings::naming(plan.settings);
    info.host = nix::unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned());
    info.exe = Some(program.as_ref().unwrap_or(&target.exe).to_string_lossy().into_owned());
    Ok(info)
}

/// Both clocks at one moment. On a busy machine milliseconds may lie between two readings, and every time of the session
/// would be off by them; so the closest of some readings counts.
fn anchor() -> Anchor {
    let readings = (0..ANCHOR_READINGS).map(|_| {
        let before = sampler::sys::monotonic_ns();
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let took = sampler::sys::monotonic_ns().saturating_sub(before);
        (took, Anchor { unix_ns: sampler::sys::ns(unix), monotonic_ns: before.saturating_add(took / 2) })
    });
    let closest = readings.min_by_key(|(took, _)| *took);
    closest.map_or(Anchor { unix_ns: 0, monotonic_ns: 0 }, |(_, anchor)| anchor)
}

/// A program that rustc made says so in its `.comment` section or by its runtime's names.
fn platform_of(target: &Target, program: Option<&Path>) -> Platform {
    let is_rust = match program {
        Some(program) => File::open(program).is_ok_and(sampler::target::is_rust_file),
        None => sampler::target::is_rust(target),
    };
    if is_rust { Platform::RUST } else { Platform::NATIVE }
}

/// The command's own exit code, 128 + signal as a shell has it. When our time was up before the command's, it goes on.
fn exit_code(mut launched: Launched, timed: bool) -> u8 {
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus};
    let id = i32::try_from(launched.child.id()).unwrap_or(0);
    let waited = if timed { launched.child.try_wait() } else { launched.child.wait().map(Some) };
    let status = match waited {
        Ok(Some(status)) => status,
        // It goes on.
        Ok(None) => return 0,
        // It ended while it was read, so its tracer was told; we are both.
        Err(_) => match sampler::sys::end_of(id) {
            Some(raw) => ExitStatus::from_raw(raw),
            None => return 1,
        },
    };
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Makes `context` available to the callers of this module's shared parts.
pub(crate) fn write_file(path: &Path) -> anyhow::Result<Box<dyn std::io::Write>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdout().lock()));
    }
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Box::new(std::io::BufWriter::new(file)))
}

//! `sentry-profiled --pid PID` and `-- COMMAND`: profile until the target ends, ^C or the duration. Also what `record`
//! shares with it.

use std::{
    fs::File,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use config::{Loaded, TargetOptions, Told};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, raise},
};
use profile::{chunk::SessionInfo, id::Pid, record::Recorded};
use sampler::{Sampler, Target, TargetId};
use tracing::warn;

use crate::{
    cli::{RunArguments, TargetArguments},
    exit::Failure,
    facts::{Pod, ProcessFacts},
    family::{Children, Family, Role},
    info::session_info,
    launch::{self, Launched},
    local::Local,
    naming::{Naming, Patience},
    outlet::Outlet,
    pipeline::{Finished, Opening, Pipeline},
    recover,
    report::Report,
    session::{Course, Keep},
    settings,
    ship::Shipper,
    startup::{self, Signals},
    status::Status,
};

/// How often the status is looked at, and new children are looked for.
/// Children are to be found within 100 ms of their fork.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The same while the session of somebody who goes on is being ended.
const LOOK_SOON: Duration = Duration::from_millis(5);

/// What a profiling run needs to know beside its targets.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Whom to sample and for how long.
    pub target: &'a TargetArguments,
    /// How, and what every session says.
    pub loaded: &'a Loaded,
    /// What is kept.
    pub keep: Keep,
    /// Where chunks go.
    pub outlet: Outlet,
    /// Where sessions keep their journals.
    pub journals: Option<PathBuf>,
    /// Whether the page, if there is one, is opened in a browser.
    pub open: bool,
}

impl Plan<'_> {
    /// Says where the page is, once there is something to see.
    fn announce(&self) {
        let Outlet::Keep(local) = &self.outlet else { return };
        crate::status::print_page(&local.page());
        if self.open {
            open_page(&local.page());
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// One a session, if recordings were kept whole.
    pub recorded: Vec<Recorded>,
    /// What the sessions came to.
    pub report: Report,
    /// What became of children.
    pub children: Children,
    /// What to install for better names.
    pub hints: Vec<String>,
    /// The command's exit code.
    pub code: u8,
}

/// The top-level command.
pub fn run(arguments: &RunArguments) -> Result<u8, Failure> {
    need_target(&arguments.target)?;
    let loaded = settings::of_run(arguments)?;
    // Before the first thread: one that does not block a signal would take it, and it would end us undrained.
    drop(startup::block_signals()?);
    let of = loaded.of_pid(&TargetOptions::default());
    settings::platform(&of)?;
    match settings::shipping(&loaded.settings, &of)? {
        Some(ship) => run_and_ship(arguments, &loaded, &Arc::new(Shipper::start(ship)?)),
        None => run_and_show(arguments, &loaded, &Arc::new(Local::start(&loaded.settings)?)),
    }
}

fn run_and_ship(arguments: &RunArguments, loaded: &Loaded, shipper: &Arc<Shipper>) -> Result<u8, Failure> {
    let plan = plan(arguments, loaded, Outlet::Ship(Arc::clone(shipper)), shipper.journals(), false);
    let done = profile(&plan)?;
    crate::status::print_shipped(&done, &shipper.drain(loaded.settings.shipping.drain.0));
    crate::status::print_hottest(&done, None);
    Ok(done.code)
}

/// Without a DSN: everything is kept here, and a page shows it while it comes. On a terminal the page stays when the target
/// has ended.
fn run_and_show(arguments: &RunArguments, loaded: &Loaded, local: &Arc<Local>) -> Result<u8, Failure> {
    let journals = settings::journals(&loaded.settings, None);
    let plan = plan(arguments, loaded, Outlet::Keep(Arc::clone(local)), Some(journals), true);
    let done = profile(&plan)?;
    crate::status::print_hottest(&done, local.folder());
    if arguments.open || crate::status::is_watched() {
        crate::status::print_stays(&local.page());
        startup::block_signals()?.wait();
    }
    Ok(done.code)
}

fn plan<'p>(
    arguments: &'p RunArguments,
    loaded: &'p Loaded,
    outlet: Outlet,
    journals: Option<PathBuf>,
    recording: bool,
) -> Plan<'p> {
    let keep = Keep { chunks: true, recording, whole: false };
    Plan { target: &arguments.target, loaded, keep, outlet, journals, open: arguments.open }
}

fn open_page(page: &str) {
    let opener = std::process::Command::new("xdg-open").arg(page).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = opener {
        warn!(%error, "The browser cannot be opened; open the page yourself.");
    }
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
    let debuginfod = settings::debuginfod(&plan.loaded.settings)?;
    let signals = startup::block_signals()?;
    let mut launched = match plan.target.command.as_slice() {
        [] => None,
        command => Some(Launched::start(command)?),
    };
    let mut targets = open_targets(plan.target)?;
    if let Some(launched) = &launched {
        targets.push((Target::open(launched.pid()).map_err(Failure::refused)?, Role::Command));
    }
    startup::raise_descriptor_limit();
    startup::bound_real_time();
    let heartbeat = startup::start_watchdog()?;
    let (naming, naming_thread) =
        Naming::start(symbolizer::Settings::default(), Patience::Background, debuginfod.as_ref())?;
    let recovery = start_recovery(plan, &naming)?;
    let pipeline = Pipeline::start(plan.keep, naming.clone(), Arc::default(), Arc::default())?;
    let sampling = settings::sampling(&plan.loaded.settings);
    let rate_hz = sampling.rate_hz;
    let sampler = Sampler::start(sampling, heartbeat, pipeline.sink())?;
    let mut at_work = AtWork { plan, sampler, pipeline, family: Family::new(!plan.target.no_children) };
    for (target, role) in targets {
        at_work.begin(target, role, launched.as_mut())?;
    }
    at_work.family.look_at_all();
    plan.announce();
    wait(&signals, &mut at_work, Status::new(rate_hz));
    let AtWork { sampler, pipeline, family, .. } = at_work;
    drop(sampler);
    let Finished { recorded, report } = pipeline.finish();
    drop(recovery.map(JoinHandle::join));
    let hints = naming.hints();
    drop(naming);
    drop(naming_thread.join());
    let timed = plan.target.duration.is_some();
    Ok(Done {
        recorded,
        report,
        children: family.children,
        hints,
        code: launched.map_or(0, |launched| exit_code(launched, timed)),
    })
}

/// Builds what dead agents left, where chunks of theirs have somewhere to go.
fn start_recovery(plan: &Plan<'_>, naming: &Naming) -> anyhow::Result<Option<JoinHandle<()>>> {
    let (Some(journals), Outlet::Ship(_) | Outlet::Keep(_)) = (plan.journals.clone(), &plan.outlet) else {
        return Ok(None);
    };
    recover::start(journals, naming, &plan.outlet).map(Some)
}

fn open_targets(arguments: &TargetArguments) -> Result<Vec<(Target, Role)>, Failure> {
    let mut pids: Vec<Pid> = arguments.pids.iter().copied().map(Pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().map(|pid| Ok((Target::open(pid).map_err(Failure::refused)?, Role::Given))).collect()
}

/// The running parts, and whom they sample.
struct AtWork<'p> {
    plan: &'p Plan<'p>,
    sampler: Sampler,
    pipeline: Pipeline,
    family: Family,
}

impl AtWork<'_> {
    /// A target from the start. The command waits at its gate until it is sampled.
    fn begin(&mut self, target: Target, role: Role, launched: Option<&mut Launched>) -> Result<(), Failure> {
        tell_tracer(target.pid);
        let identity = (target.pid, target.start_time);
        let paused = role == Role::Command;
        let id = self.add(target, paused, true)?;
        self.family.begin(identity, id, role);
        if let (true, Some(launched)) = (paused, launched) {
            launched.release()?;
            self.family.became(identity.0);
            self.sampler.pause(id, false);
        }
        Ok(())
    }

    fn add(&mut self, target: Target, paused: bool, given: bool) -> Result<TargetId, Failure> {
        let id = self.sampler.reserve();
        let opening = Opening {
            info: info_of(self.plan, &target, paused)?,
            given,
            course: Course::Always,
            outlet: self.plan.outlet.clone(),
            journals: self.plan.journals.clone(),
            skip_idle: false,
        };
        self.pipeline.open(id, opening);
        self.sampler.add(id, target, paused)?;
        Ok(id)
    }

    /// Takes in what became of the family: who has ended, who is new, who became another program.
    fn look(&mut self) -> Result<(), Failure> {
        self.rest();
        let ended = self.pipeline.ended();
        // Before those who have ended are forgotten: theirs may be the last children.
        self.family.look();
        for id in ended {
            self.family.ended(id);
        }
        for id in self.family.changed() {
            self.sampler.remove(id);
        }
        let mut opened = 0;
        while let Some(target) = self.family.open_next(&mut opened) {
            let pid = target.pid;
            let id = self.add(target, false, false)?;
            self.family.at_work(pid, id);
        }
        Ok(())
    }

    /// While the server limits us for longer than is waited out, nobody is sampled: what was taken would be thrown away.
    fn rest(&mut self) {
        let Outlet::Ship(shipper) = &self.plan.outlet else { return };
        if shipper.paused().is_none() {
            return self.family.go_on();
        }
        for (id, pid) in self.family.rest() {
            warn!(%pid, "The server limits chunks for long; this target rests until then.");
            self.sampler.remove(id);
        }
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
        let look = if at_work.family.is_in_a_hurry() { LOOK_SOON } else { LOOK_EVERY };
        let timeout = PollTimeout::try_from(left.min(look)).unwrap_or(PollTimeout::ZERO);
        let mut polled = [PollFd::new(signals.0.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, timeout);
        if let Ok(Some(signal)) = signals.0.read_signal() {
            if i32::try_from(signal.ssi_signo) != Ok(Signal::SIGTSTP as i32) {
                break;
            }
            suspend(&at_work.sampler);
        }
        if let Err(error) = at_work.look() {
            warn!(?error, "A child or a target that rested cannot be sampled.");
        }
        let progress = at_work.pipeline.progress();
        let shipped = if let Outlet::Ship(shipper) = &at_work.plan.outlet { Some(shipper.status()) } else { None };
        status.show(&progress, shipped.as_ref(), began.elapsed());
        if at_work.family.is_over() {
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
fn info_of(plan: &Plan<'_>, target: &Target, at_gate: bool) -> Result<SessionInfo, Failure> {
    let program = if at_gate { launch::program(&plan.target.command) } else { None };
    let pod = Pod::default();
    let facts = ProcessFacts::new(target.pid, false, &pod);
    let environment = Told::by_environment(&facts, &plan.loaded.settings.daemon.dsn_hosts);
    let of = plan.loaded.of_pid(&environment.options);
    session_info(&plan.loaded.settings, &of, target, program.as_deref())
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

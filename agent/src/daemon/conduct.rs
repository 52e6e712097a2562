//! What is done about processes: who belongs to which entry, whether it is read, when it runs. The only place where a target of
//! the daemon begins.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use config::{Effective, Facts as _, ForkedDecision, Lifecycle, Secret, Told};
use profile::{
    address::RemoteAddr,
    id::{Pid, ProfilerId},
};
use sampler::{Refused, Target, TargetId, sys::monotonic_ns, target::thread_ids};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{
    Daemon,
    budget::{Limits, Turn},
    control::told::{Refusal, Started},
    fleet::{Forced, Found, Place, Process, Registered, Retry},
    verdict::{self, judge},
};
use crate::{
    exit::Failure,
    facts::{ProcessFacts, Program, program_of},
    info::session_info,
    outlet::Outlet,
    pipeline::Opening,
    session::{Course, Profiles, Told as ToldSession},
    settings,
};

/// Most targets that are opened at a look: each takes some tenths of a millisecond, here and in the other threads.
const OPEN_MAX: usize = 8;
/// Most that are read at a time: each costs some microseconds a tick.
const READ_MAX: usize = 1024;

/// Longer texts are no DSN.
const DSN_MAX: usize = 1024;
/// A process that could not be opened is tried again after so long, and after twice as long each time.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Why a process is not read although it might be.
const HELD_BY_MEMORY: &str = "the agent has as much memory as budget.memory allows";
const HELD_BY_SERVER: &str = "the server limits its chunks for long";

/// What the settings say that we may cost.
pub(super) fn limits(settings: &config::Settings) -> Limits {
    Limits { host_cpu: settings.budget.host_cpu.share(), target_stop: settings.budget.target_stop.share() }
}

/// What a process says that its DSN is.
pub(super) fn own_dsn(text: &str) -> Option<Secret> {
    (text.len() <= DSN_MAX).then(|| Secret::new(text))
}

impl Daemon {
    /// Looks at who is new, who has ended, and who waits.
    pub(super) fn look(&mut self) {
        for id in self.pipeline.resting() {
            self.sampler.rest(id);
        }
        for id in self.pipeline.ended() {
            self.ended(id);
        }
        let found = self.fleet.look();
        self.consider(&found);
        self.open_waiting();
    }

    /// Decides about processes that are new, or another program than before. A parent may stand behind its child: so those that no
    /// entry has are looked at once more, if any other was taken in.
    pub(super) fn consider(&mut self, found: &[Found]) {
        let mut left: Vec<Found> = found.iter().copied().filter(|of| !self.take_in(*of, false)).collect();
        if left.len() < found.len() {
            left.retain(|of| !self.take_in(*of, false));
        }
        for of in left {
            self.drop_process(of.pid);
            self.fleet.stranger(of);
        }
    }

    /// Whether an entry has the process; lets it go otherwise. `has_client`: it has just registered.
    pub(super) fn consider_one(&mut self, of: Found, has_client: bool) -> bool {
        let is_taken = self.take_in(of, has_client);
        if !is_taken {
            self.drop_process(of.pid);
        }
        is_taken
    }

    /// The same, but leaves one as it is that no entry has.
    fn take_in(&mut self, of: Found, has_client: bool) -> bool {
        let program = program_of(of.pid);
        let known = self.fleet.processes.get(&of.pid).filter(|it| it.start_time == of.start_time);
        let has_client = has_client || known.is_some_and(|it| it.client.is_some() && it.program == program);
        let Some((entry_at, environment, dsn)) = self.entry_of(of, has_client) else { return false };
        let entry = self.entry(entry_at).map(|entry| entry.name.clone()).unwrap_or_default();
        let known = self.fleet.processes.get_mut(&of.pid).filter(|it| it.start_time == of.start_time);
        if let Some(known) = known {
            if known.program.is_some() && known.program != program {
                known.is_another_program();
                if let Place::AtWork(id) = known.place {
                    known.place = Place::Ending(id);
                    self.sampler.remove(id);
                }
            }
            (known.environment, known.environment_dsn) = (environment, dsn);
            (known.entry, known.entry_at, known.program) = (entry, entry_at, program);
        } else {
            let process = self.new_process(of, (entry, entry_at), program, (environment, dsn));
            self.fleet.admit(process);
        }
        self.settle(of.pid);
        true
    }

    /// The place of the entry that has a process, what the process' environment says, and the DSN in it: by its own facts, or as
    /// a child of one whose children its entry takes.
    fn entry_of(&self, of: Found, has_client: bool) -> Option<(usize, Told, Option<Secret>)> {
        let facts = ProcessFacts::new(of.pid, has_client, &self.pod);
        let told = |at| {
            let own = facts.variable("SENTRY_DSN").and_then(|dsn| own_dsn(dsn.trim()));
            (at, Told::by_environment(&facts, &self.loaded.settings.daemon.dsn_hosts), own)
        };
        if let Some(at) = self.loaded.settings.targets.iter().position(|entry| entry.matches(&facts)) {
            return Some(told(at));
        }
        let parent = self.fleet.processes.get(&of.parent).filter(|parent| parent.start_time <= of.start_time)?;
        self.entry(parent.entry_at).filter(|entry| entry.children)?;
        // A kernel thread, or one that has ended.
        facts.exe()?;
        Some(told(parent.entry_at))
    }

    fn entry(&self, at: usize) -> Option<&config::Target> {
        self.loaded.settings.targets.get(at)
    }

    fn new_process(
        &self,
        of: Found,
        (entry, entry_at): (String, usize),
        program: Option<Program>,
        (environment, environment_dsn): (Told, Option<Secret>),
    ) -> Process {
        let effective = self.effective(entry_at, &environment, None);
        let parent = self.fleet.processes.get(&of.parent).filter(|parent| parent.entry_at == entry_at);
        let inherits = effective.forked_decision.value == ForkedDecision::Parent;
        let inherited = parent.filter(|_| inherits);
        let roll = inherited.map_or_else(|| verdict::roll(&self.boot, of.pid, of.start_time), |parent| parent.roll);
        let verdict = judge(&effective, roll, None, false, true);
        Process {
            pid: of.pid,
            start_time: of.start_time,
            entry,
            entry_at,
            program,
            since: Instant::now(),
            roll,
            decided: inherited.and_then(|parent| parent.decided),
            environment,
            environment_dsn,
            client: None,
            effective,
            verdict,
            forced: Forced::No,
            place: Place::Off,
            retry: None,
            opened: None,
            outlet: None,
            held_back: None,
            change: 1,
            changed: Arc::new(Notify::new()),
        }
    }

    fn effective(&self, entry_at: usize, environment: &Told, client: Option<&Registered>) -> Effective {
        let nothing = config::TargetOptions::default();
        let code = client.map_or(&nothing, |client| &client.told.options);
        let Some(entry) = self.entry(entry_at) else { return self.loaded.of_all() };
        let mut environment = environment.options.clone();
        environment.release = environment.release.or_else(|| client?.release.clone());
        self.loaded.of_target(entry, &environment, code)
    }

    /// Decides anew what holds for a process, and does what follows.
    pub(super) fn settle(&mut self, pid: Pid) {
        let Some(process) = self.fleet.processes.get(&pid) else { return };
        let effective = self.effective(process.entry_at, &process.environment, process.client.as_ref());
        let has_board = process.client.as_ref().is_some_and(|client| client.board.is_some());
        let may_begin = self.may_begin();
        let verdict = judge(&effective, process.roll, process.decided, has_board, may_begin);
        let Some(process) = self.fleet.processes.get_mut(&pid) else { return };
        let is_new = process.verdict != verdict || process.effective != effective;
        (process.effective, process.verdict) = (effective, verdict);
        // Where the hours were used up, nothing was decided: a later month, or a larger budget, may.
        if process.verdict.mode == "continuous" && process.client.is_some() && (process.verdict.sampled || may_begin) {
            process.decided.get_or_insert(process.verdict.sampled);
        }
        let starts =
            process.effective.start_on_attach.value && process.effective.profile_lifecycle.value == Lifecycle::Manual;
        if process.opened.is_none() && process.forced == Forced::No && starts {
            process.forced = Forced::Wanted;
        }
        if is_new {
            process.has_changed();
        }
        self.place(pid);
    }

    /// Opens a process that is to be read, and lets one go that is not, or of which something else is to be said.
    fn place(&mut self, pid: Pid) {
        let Some(process) = self.fleet.processes.get_mut(&pid) else { return };
        let wanted = wanted(process);
        match (&process.place, &wanted) {
            (Place::Off | Place::Refused(_), Some(_)) => (process.place, process.retry) = (Place::Waiting, None),
            (Place::Waiting | Place::Refused(_), None) => process.place = Place::Off,
            (Place::AtWork(id), _) if wanted != process.opened => {
                let id = *id;
                process.place = Place::Ending(id);
                if let Forced::Running(_) = process.forced {
                    process.forced = Forced::Wanted;
                }
                self.sampler.remove(id);
            }
            _ => {}
        }
    }

    fn open_waiting(&mut self) {
        let now = Instant::now();
        let waiting = self.fleet.processes.values().filter(|it| it.place == Place::Waiting);
        let due = waiting.filter(|it| it.retry.as_ref().is_none_or(|retry| retry.at <= now)).map(|it| it.pid);
        let next: Vec<Pid> = due.take(OPEN_MAX).collect();
        for pid in next {
            self.open(pid);
        }
    }

    fn open(&mut self, pid: Pid) {
        if self.fleet.at_work() >= READ_MAX {
            return self.open_later(pid, format!("the agent reads {READ_MAX} processes already"));
        }
        let opened = Target::open_now(pid);
        let Some(process) = self.fleet.processes.get_mut(&pid) else { return };
        match opened {
            Ok(target) if target.start_time == process.start_time => {
                let is_first = process.retry.is_none();
                if let Err(error) = self.begin(target) {
                    if is_first {
                        warn!(%pid, reason = format!("{error:#}"), "A target cannot be profiled now; it is tried again.");
                    }
                    self.open_later(pid, format!("{error:#}"));
                }
            }
            Ok(_) | Err(Refused::NoSuchProcess(_) | Refused::Zombie(_)) => drop(self.fleet.processes.remove(&pid)),
            // An older session of ours, or of an older agent's, that is closing its last chunk; or somebody else's.
            Err(locked @ Refused::Locked(_)) => self.open_later(pid, locked.to_string()),
            Err(refused) => self.refuse(pid, refused.to_string()),
        }
    }

    /// Others have their turn first.
    fn open_later(&mut self, pid: Pid, why: String) {
        let Some(process) = self.fleet.processes.get_mut(&pid) else { return };
        let wait = process.retry.as_ref().map_or(RETRY_FIRST, |retry| (retry.wait * 2).min(RETRY_MAX));
        process.retry = Some(Retry { at: Instant::now() + wait, wait, why });
    }

    fn refuse(&mut self, pid: Pid, why: String) {
        warn!(%pid, reason = why, "A target cannot be profiled.");
        if let Some(process) = self.fleet.processes.get_mut(&pid) {
            process.place = Place::Refused(why);
            process.has_changed();
        }
    }

    fn begin(&mut self, target: Target) -> anyhow::Result<()> {
        let pid = target.pid;
        let Some(process) = self.fleet.processes.get(&pid) else { return Ok(()) };
        let of = process.effective.clone();
        let ways = self.outlets.of(
            of.dsn.value.as_ref(),
            of.send_client_reports.value,
            &self.loaded.settings,
            &self.naming,
        )?;
        let Some(process) = self.fleet.processes.get_mut(&pid) else { return Ok(()) };
        process.outlet = Some(ways.outlet.clone());
        let mut info = session_info(&self.loaded.settings, &of, &target, None).map_err(Failure::into_error)?;
        info.tags.insert("target".to_owned(), process.entry.clone());
        let is_transactions = process.verdict.mode == "transaction";
        let course = if is_transactions {
            Course::Transactions(Profiles::default())
        } else {
            Course::Told(ToldSession::default())
        };
        let opening = Opening {
            info,
            given: false,
            course,
            outlet: ways.outlet,
            journals: ways.journals,
            skip_idle: of.skip_idle.value,
        };
        let id = self.sampler.reserve();
        self.pipeline.open(id, opening);
        self.sampler.add(id, target, true)?;
        let board = process.client.as_ref().and_then(|client| client.board);
        self.sampler.watch(id, board.map(RemoteAddr));
        process.opened = wanted(process);
        (process.place, process.retry) = (Place::AtWork(id), None);
        process.decided = Some(process.verdict.sampled).filter(|_| !is_transactions).or(process.decided);
        let threads = thread_ids(pid).map_or(1, |threads| threads.len());
        let rate = settings::sampling(&self.loaded.settings).rate_hz;
        if let Turn::Every(every @ 2..) = self.budget.begin(id, threads, rate) {
            self.sampler.every(id, every);
            info!(%pid, threads, every, "Read less often from the start, to stay within budget.host_cpu.");
        }
        info!(%pid, entry = process.entry, mode = process.verdict.mode, "Profiled from now on, when it says so.");
        if process.forced == Forced::Wanted {
            self.start(pid);
        }
        Ok(())
    }

    /// A session has ended.
    fn ended(&mut self, id: TargetId) {
        self.budget.end(id);
        self.trim.is_due = true;
        let Some(process) = self.fleet.of_target(id) else { return };
        let (pid, start_time) = (process.pid, process.start_time);
        process.opened = None;
        process.place = Place::Off;
        if super::fleet::lives(pid, start_time) {
            self.settle(pid);
        } else {
            self.fleet.processes.remove(&pid);
        }
    }

    /// No entry has it any more.
    fn drop_process(&mut self, pid: Pid) {
        let Some(mut process) = self.fleet.processes.remove(&pid) else { return };
        // Whoever waits for a change is told that there will be none.
        process.has_changed();
        if let Place::AtWork(id) = process.place {
            self.sampler.remove(id);
        }
    }

    fn start(&mut self, pid: Pid) -> Option<ProfilerId> {
        let process = self.fleet.processes.get_mut(&pid)?;
        let Place::AtWork(target) = process.place else { return None };
        let id = ProfilerId(uuid::Uuid::new_v4());
        process.forced = Forced::Running(id);
        process.has_changed();
        self.pipeline.run(target, Some(id), monotonic_ns());
        self.sampler.pause(target, false);
        Some(id)
    }

    /// Starts or stops a process, as it asked itself or an operator did.
    pub(super) fn run_process(&mut self, pid: Pid, start: bool) -> Result<Started, Refusal> {
        const HINT: &str = "the settings file names the targets; `sentry-profiled targets` lists them";
        let none = || Refusal::new(404, format!("process {pid} is no target of this agent"), HINT);
        let process = self.fleet.processes.get(&pid).ok_or_else(none)?;
        let not = |reason: &str| Ok(Started { profiler_id: None, reason: Some(reason.to_owned()) });
        if process.verdict.mode != "continuous" || !process.verdict.sampled {
            return not(process.verdict.reason.as_deref().unwrap_or("its transactions are profiled, not its session"));
        }
        if process.effective.profile_lifecycle.value == Lifecycle::Trace {
            return not("profile_lifecycle is trace: it runs while a root span is open, not from start to stop");
        }
        Ok(if start { self.start_process(pid) } else { self.stop_process(pid) })
    }

    fn start_process(&mut self, pid: Pid) -> Started {
        let running = self.running(pid);
        if running.is_some() {
            return Started { profiler_id: running, reason: None };
        }
        if let Some(process) = self.fleet.processes.get_mut(&pid) {
            if let Some(why) = process.held_back {
                return Started { profiler_id: None, reason: Some(why.to_owned()) };
            }
            process.forced = Forced::Wanted;
        }
        self.place(pid);
        let is_open =
            |daemon: &Self| matches!(daemon.fleet.processes.get(&pid).map(|it| &it.place), Some(Place::AtWork(_)));
        if !is_open(self) {
            self.open(pid);
        }
        let started = self.running(pid).or_else(|| self.start(pid).map(|id| id.to_string()));
        let why = self.fleet.processes.get(&pid).and_then(|process| match &process.place {
            Place::Refused(why) => Some(why.clone()),
            _ => process.retry.as_ref().map(|retry| format!("it will be started, but not yet: {}", retry.why)),
        });
        let reason =
            started.is_none().then(|| why.unwrap_or_else(|| "it cannot be opened yet; it will be started".to_owned()));
        Started { profiler_id: started, reason }
    }

    /// The profiler id of the run that goes on, whoever started it.
    fn running(&self, pid: Pid) -> Option<String> {
        let process = self.fleet.processes.get(&pid)?;
        if let Forced::Running(id) = process.forced {
            return Some(id.to_string());
        }
        let Place::AtWork(target) = process.place else { return None };
        let running = self.pipeline.sessions().get(&target)?.running?;
        // One that was stopped may not have ended yet.
        (process.forced != Forced::Stopped(Some(running))).then(|| running.to_string())
    }

    fn stop_process(&mut self, pid: Pid) -> Started {
        let Some(process) = self.fleet.processes.get_mut(&pid) else {
            return Started { profiler_id: None, reason: None };
        };
        let before = process.forced;
        // Until somebody starts it: no reload does.
        process.forced = match before {
            Forced::Wanted => Forced::Stopped(None),
            Forced::Running(id) => Forced::Stopped(Some(id)),
            Forced::No | Forced::Stopped(_) => before,
        };
        let Forced::Running(id) = before else {
            return Started {
                profiler_id: None,
                reason: Some("nobody started it: neither `start` nor start_on_attach".to_owned()),
            };
        };
        process.has_changed();
        if let Place::AtWork(target) = process.place {
            self.sampler.pause(target, true);
            self.pipeline.run(target, None, monotonic_ns());
        }
        Started { profiler_id: Some(id.to_string()), reason: None }
    }

    /// While the server limits chunks of a DSN for longer than is waited out, nobody is read for it; nor whoever came last, where
    /// we have more memory than we may.
    pub(super) fn hold_back(&mut self, rss_bytes: u64) {
        let limit = self.loaded.settings.budget.memory.0;
        let held = self.fleet.processes.values().any(|process| process.held_back == Some(HELD_BY_MEMORY));
        let rss_bytes = self.relieved(rss_bytes, held);
        let at_work = |process: &&mut Process| matches!(process.place, Place::AtWork(_)) && process.held_back.is_none();
        let last = self.fleet.processes.values_mut().filter(at_work).max_by_key(|process| process.since);
        if let (true, Some(last)) = (rss_bytes > limit, last) {
            warn!(pid = %last.pid, rss_bytes, limit, "The agent has more memory than budget.memory; the last target is let go.");
            last.held_back = Some(HELD_BY_MEMORY);
        }
        let mut changed = Vec::new();
        for process in self.fleet.processes.values_mut() {
            let is_limited = matches!(&process.outlet, Some(Outlet::Ship(shipper)) if shipper.paused().is_some());
            let by_memory = process.held_back == Some(HELD_BY_MEMORY) && rss_bytes > limit / 4 * 3;
            let reason = if by_memory { Some(HELD_BY_MEMORY) } else { is_limited.then_some(HELD_BY_SERVER) };
            if reason != process.held_back || by_memory {
                if reason == Some(HELD_BY_SERVER) {
                    warn!(pid = %process.pid, "The server limits chunks for long; this target rests until then.");
                }
                process.held_back = reason;
                changed.push(process.pid);
            }
        }
        changed.into_iter().for_each(|pid| self.place(pid));
    }

    /// Opens a process at once that waits for it.
    pub(super) fn open_now(&mut self, pid: Pid) {
        let is_due = |it: &Process| it.place == Place::Waiting && it.retry.is_none();
        if self.fleet.processes.get(&pid).is_some_and(is_due) {
            self.open(pid);
        }
    }

    /// The profile hours of a month are used up from now on, or no longer: that decides about those who have not begun.
    pub(super) fn hours_allow(&mut self) {
        let may_begin = self.may_begin();
        if std::mem::replace(&mut self.accounts.may_begin, may_begin) != may_begin {
            let all: Vec<Pid> = self.fleet.processes.keys().copied().collect();
            all.into_iter().for_each(|pid| self.settle(pid));
        }
    }

    fn may_begin(&self) -> bool {
        let limit = self.loaded.settings.budget.hours_per_month;
        limit.is_none_or(|hours| self.hours.month().billed_us() / 3_600_000_000 < u64::from(hours))
    }
}

/// What a process is to be opened with, if it is to be read: what holds for it, its mode, and where its board is.
fn wanted(process: &Process) -> Option<(Effective, &'static str, Option<u64>)> {
    let board = process.client.as_ref().and_then(|client| client.board);
    let is_needed = process.held_back.is_none()
        && process.verdict.sampled
        && (board.is_some() || process.forced.is_on() || process.opened.is_some());
    is_needed.then(|| (process.effective.clone(), process.verdict.mode, board))
}

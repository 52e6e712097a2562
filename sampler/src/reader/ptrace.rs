//! The reader on ptrace and procfs: asks who ran, looks at those, and has stopped who must be. All calls come from one OS
//! thread: ptrace belongs to a thread.

use std::{collections::HashMap, sync::Arc, time::Duration};

use nix::errno::Errno;
use profile::id::{Pid, Tid};

use super::{
    Account, Known, Read, Reader, Tick,
    look::{Hands, Looker, Scene, Seen},
    stops::{Errand, Stops},
};
use crate::{
    procfs,
    quiet::Quiet,
    sampler::Settings,
    sys::{self, Urgency, monotonic_ns},
    target::Target,
    taskstats::{Runs, TaskStats},
    threads::{Thread, Threads},
    watchdog::Heartbeat,
};

/// More threads are not looked at with real-time priority: a microsecond each, in which the target may want the CPU.
const SWEEP_MAX: usize = 256;

/// The reader. Lives and dies on one thread.
#[derive(Debug)]
pub struct PtraceReader {
    task_stats: Option<TaskStats>,
    last: HashMap<Pid, Last>,
    quiet: Quiet,
    looker: Looker,
    stops: Stops,
    /// For when we were last to be woken, `CLOCK_MONOTONIC`, ns.
    due: u64,
    /// We may be real-time.
    may_hurry: bool,
}

/// How a process was left at the last tick.
#[derive(Clone, Copy, Default, Debug)]
struct Last {
    /// What taskstats said when every thread's count was known. `None`: not asked.
    runs: Option<Runs>,
    /// Somebody was on a CPU, and may have run on without being switched, which no count shows.
    running: bool,
}

impl PtraceReader {
    /// Whether a thread that was interrupted has not stopped yet.
    pub fn has_pending(&self) -> bool {
        self.stops.has_pending()
    }

    /// To be called on the thread that will read. SIGCHLD must be blocked in every thread.
    pub fn new(heartbeat: Arc<Heartbeat>, settings: &Settings) -> Result<Self, Errno> {
        Ok(Self {
            task_stats: TaskStats::open(),
            last: HashMap::new(),
            quiet: Quiet::default(),
            looker: Looker::new(run_count_moves(), settings),
            stops: Stops::new(heartbeat, settings.native)?,
            due: monotonic_ns(),
            // Who is late for a tick samples what others do at the end of their time slice, and who holds a thread stopped
            // must not wait for a CPU. Not permitted: so be it.
            may_hurry: sys::set_urgency(Urgency::Now).is_ok(),
        })
    }

    fn runs(&mut self, pid: Pid) -> Option<Runs> {
        self.task_stats.as_mut()?.runs(pid)
    }

    /// Looks at every thread that may have run. Gives what was seen and the sum of runs of which all is known now.
    fn look_around(&mut self, scene: &mut Scene<'_>, threads: &mut Threads, ask: &Ask) -> (Seen, Option<Runs>) {
        let mut seen = Seen::default();
        if ask.due_suffice {
            for tid in &ask.due {
                self.look_at(*tid, scene, threads, &mut seen);
            }
            let runs = self.runs(scene.target.pid);
            // Where a thread has ended, the sum may have lost what is still known of it.
            if seen.ended.is_empty() && runs.is_some_and(|runs| threads.ledger.is_current(runs.cpu_count)) {
                return (seen, runs);
            }
        }
        let unseen = |thread: &&Thread| thread.looked_at != scene.now;
        let tids: Vec<Tid> = threads.all.values().filter(unseen).map(|thread| thread.tid).collect();
        for some in tids.chunks(SWEEP_MAX) {
            self.stops.breathe();
            some.iter().for_each(|tid| self.look_at(*tid, scene, threads, &mut seen));
        }
        if let Some(before) = ask.before.filter(|_| !threads.ledger.is_exact())
            && let Some(after) = self.runs(scene.target.pid)
        {
            threads.ledger.swept(before.cpu_count, after.cpu_count);
        }
        (seen, ask.before)
    }

    fn look_at(&mut self, tid: Tid, scene: &mut Scene<'_>, threads: &mut Threads, seen: &mut Seen) {
        let Some(thread) = threads.all.get_mut(&tid) else { return };
        let (slots, pending) = self.stops.parts();
        self.looker.look_at(thread, scene, &mut Hands { ledger: &mut threads.ledger, slots, pending }, seen);
    }

    /// Lowers our priority where many threads are looked at. `true`: it has to be raised again.
    fn slow_down(&self, threads: usize) -> bool {
        self.may_hurry && threads > SWEEP_MAX && sys::set_urgency(Urgency::Normal).is_ok()
    }
}

/// How to find out who ran.
struct Ask {
    /// Threads that may have run, going by when they ran before.
    due: Vec<Tid>,
    /// Look at these first: the sum may then prove that nobody else ran.
    due_suffice: bool,
    /// The sum before anybody is looked at, where it was asked.
    before: Option<Runs>,
}

impl Reader for PtraceReader {
    fn read(&mut self, target: &Target, threads: &mut Threads, known: &Known, account: &mut Account) -> Tick {
        let now = monotonic_ns();
        let mut tick = Tick { at_ns: now, ..Tick::default() };
        let last = self.last.get(&target.pid).copied().unwrap_or(Last { runs: None, running: true });
        let is_new = known.python.is_some() && threads.states.is_new();
        let unsettled = std::mem::take(&mut threads.unsettled) || is_new;
        threads.ledger.begin_tick();
        let due = threads.ledger.due();
        // Where most threads run, one of them has run again before the question is answered.
        let few_are_due = due.len() <= threads.all.len() / 2;
        let may_be_quiet = few_are_due && !last.running && !unsettled;
        let proved = may_be_quiet && self.quiet.is_proved(target.pid);
        let asked = !proved && (may_be_quiet || !threads.ledger.is_exact());
        let before = if asked { self.runs(target.pid) } else { None };
        let stood = may_be_quiet && before.is_some() && before == last.runs;
        if proved || stood {
            if stood {
                self.quiet.confirm(target.pid, threads.all.len());
            }
            tick.samples = threads.all.len() as u64;
            threads.count_left_out(&mut account.counters);
            return tick;
        }
        if target.is_gone() {
            self.forget(target);
            return Tick { gone: true, ..tick };
        }
        self.quiet.moved(target.pid, may_be_quiet && before.is_some());
        let slow = self.slow_down(threads.count_now());
        let found = threads.discover(now, &mut || self.stops.breathe());
        tick.named = found.named;
        let python = known.python.as_deref();
        let mut read_again = false;
        if let Some(process) = python {
            let (pid, changed) = (threads.pid(), (now, found.changed));
            let looked = threads.states.look(process, pid, &mut threads.all, changed, &mut || self.stops.breathe());
            (tick.idents, read_again) = (looked.told, looked.again);
            let new = (now, !tick.idents.is_empty());
            tick.named.extend(threads.look_for_names(process, new, &mut || self.stops.breathe()));
        }
        let provable = self.looker.gate_works() && self.task_stats.is_some() && threads.ledger.is_exact();
        let settled = !found.changed && !unsettled && !read_again && tick.idents.is_empty();
        let due_suffice = provable && few_are_due && settled;
        let ask = Ask { due, due_suffice, before };
        let modules = &*known.modules;
        let mut scene = Scene { target, modules, python, account, now };
        let (seen, runs) = self.look_around(&mut scene, threads, &ask);
        if slow {
            self.may_hurry = sys::set_urgency(Urgency::Now).is_ok();
        }
        threads.count_left_out(&mut account.counters);
        let Seen { mut reads, to_stop, mut ended, unsettled, .. } = seen;
        self.stops.read_all(&to_stop, Errand { threads, modules, python, account, due: self.due }, &mut reads);
        ended.extend(reads.iter().filter(|(_, read)| matches!(read, Read::Ended)).map(|(tid, _)| *tid));
        reads.retain(|(_, read)| !matches!(read, Read::Ended));
        for tid in ended {
            threads.remove(tid);
            reads.push((tid, Read::Ended));
        }
        let unread = reads.iter().filter(|(_, read)| matches!(read, Read::Unread)).count();
        tick.samples = threads.all.len().saturating_sub(unread) as u64;
        tick.reads = reads;
        threads.unsettled |= unsettled || threads.stale;
        self.last.insert(target.pid, Last { runs, running: !to_stop.is_empty() });
        tick
    }

    fn idle(&mut self, deadline: u64) {
        self.due = deadline;
        self.stops.idle(deadline);
    }

    fn forget(&mut self, target: &Target) {
        self.last.remove(&target.pid);
        self.quiet.forget(target.pid);
    }

    fn drain(&mut self) -> bool {
        self.stops.drain()
    }
}

/// Whether our own run count moves when we sleep: on a kernel without CONFIG_SCHED_INFO it does not.
pub fn run_count_moves() -> bool {
    let Ok(own) = i32::try_from(std::process::id()) else { return false };
    let tid = Tid(nix::unistd::gettid().as_raw());
    let Ok(file) = procfs::Kept::open(Pid(own), tid, "schedstat") else { return false };
    let count = |file: &procfs::Kept| file.read(&mut [0; 128]).ok().and_then(procfs::parse_run_count);
    let before = count(&file);
    std::thread::sleep(Duration::from_millis(1));
    let after = count(&file);
    before.is_some() && after > before
}

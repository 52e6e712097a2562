//! The thread that ticks: takes targets in, reads them at each tick, hands the copies to the unwinding thread, and lets
//! everything go when told to stop.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use profile::{address::RemoteAddr, board::Board, counters::Counters, feed::Event, id::Pid, module::ModuleIndex};
use thiserror::Error;
use tracing::warn;

use crate::{
    board::Watched,
    clock::Clock,
    modules::ModuleFile,
    procfs,
    reader::{Account, Known, Read, Reader, Tick, ptrace::PtraceReader},
    sys::{monotonic_ns, process_cpu_ns},
    target::Target,
    threads::Threads,
    unwinding::{self, Learned, SharedModules, Work},
    watchdog::Heartbeat,
};

/// Ticks in flight between the two threads; beyond that the newest is dropped, and counted.
const QUEUE_MAX: usize = 256;
/// Quiet ticks are handed over together, at least this often.
const QUIET_MAX: usize = 25;
/// The first tick waits this long for the modules, so that deep stacks can be walked from the start.
const FIRST_WAIT_NS: u64 = 60_000_000;
/// Ticks that are left out at once where nobody needs them: in between it is seen who has ended.
const SKIP_MAX: u32 = 9;
const SECOND_NS: u64 = 1_000_000_000;

/// A target of this sampler: a number that is never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TargetId(pub u32);

/// What the sampler gives.
#[derive(Debug)]
pub enum Output {
    /// Something happened.
    Event(Event),
    /// The file of a module that was announced by [`Event::Module`] just before.
    ModuleFile(ModuleIndex, ModuleFile),
    /// What a user could do for better names.
    Hint(String),
    /// The target's board is another than before; without windows, or there is none any more. Comes before the ticks at whose reading it was so.
    Board {
        /// When it was seen, `CLOCK_MONOTONIC`.
        at_ns: u64,
        /// All of it.
        board: Board,
    },
    /// The target has ended, or was let go on request; nothing follows.
    Gone {
        /// When, `CLOCK_MONOTONIC`.
        at_ns: u64,
    },
}

/// Who takes it. Called on the unwinding thread: what takes long belongs elsewhere.
pub trait Sink: Send {
    /// One output of one target, in order.
    fn output(&mut self, target: TargetId, output: Output);

    /// Asked before each tick: `true` if stacks defined so far are forgotten, so that new samples must define theirs
    /// again. Keeps long sessions from growing.
    fn forgets_stacks(&mut self, target: TargetId) -> bool {
        let _ = target;
        false
    }
}

/// What is read of threads that run code of a language with a runtime of its own.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Native {
    /// The language's frames, and the native ones where they really were among them.
    #[default]
    Merged,
    /// The language's frames alone; native frames only of threads that have no others.
    Off,
    /// Native frames alone: no runtime is looked for.
    Only,
}

/// How to sample.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// Ticks a second, 1 to 1,000. 101 by default: prime, so that a target that works in periods of 10 ms is not always
    /// caught at the same spot.
    pub rate_hz: f64,
    /// Stop a sleeping thread whose stack cannot be followed without rbp, once a sleep, where its call restarts unseen.
    pub stop_for_rbp: bool,
    /// What is read of Python programs.
    pub native: Native,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rate_hz: 101.0, stop_for_rbp: false, native: Native::Merged }
    }
}

/// The sampler could not start.
#[derive(Debug, Error)]
pub enum SamplerError {
    /// A thread or a descriptor could not be had.
    #[error("cannot start the sampler")]
    Start(#[source] std::io::Error),
    /// The sampling thread has ended.
    #[error("the sampler has ended")]
    Ended,
}

/// A running sampler. Dropping it lets everything go.
#[derive(Debug)]
pub struct Sampler {
    commands: Sender<Command>,
    threads: Vec<JoinHandle<()>>,
    next: u32,
    attach_cpu: Arc<AtomicU64>,
}

/// Keeps the sampler from touching anybody. See [`Sampler::hold`].
#[derive(Debug)]
pub struct Hold {
    _release: Sender<()>,
}

#[derive(Debug)]
enum Command {
    Add(TargetId, Box<Target>, bool),
    Remove(TargetId),
    Pause(TargetId, bool),
    Watch(TargetId, Option<RemoteAddr>),
    Rest(TargetId),
    Every(TargetId, u32),
    Hold(Sender<bool>, Receiver<()>),
    Stop,
}

impl Sampler {
    /// Starts both threads. SIGCHLD must be blocked in the calling thread, so that it is in every other.
    pub fn start(settings: Settings, heartbeat: Arc<Heartbeat>, mut sink: Box<dyn Sink>) -> Result<Self, SamplerError> {
        let (commands, received) = channel();
        let (work, works) = sync_channel(QUEUE_MAX);
        let (learned, learning) = channel();
        let attach_cpu = Arc::new(AtomicU64::new(0));
        let spent = Arc::clone(&attach_cpu);
        let unwind = std::thread::Builder::new().name("sp-unwind".to_owned());
        let unwind = unwind
            .spawn(move || unwinding::run(&works, &learned, settings.native, &mut *sink, &spent))
            .map_err(SamplerError::Start)?;
        let (ready, started) = channel();
        let sample = std::thread::Builder::new().name("sp-sample".to_owned());
        let sample = sample
            .spawn(move || {
                heartbeat.is_mine();
                match PtraceReader::new(heartbeat, &settings) {
                    Ok(reader) => {
                        let _ = ready.send(Ok(()));
                        Loop::new(reader, settings, work, learning).run(&received);
                    }
                    Err(errno) => drop(ready.send(Err(errno))),
                }
            })
            .map_err(SamplerError::Start)?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self { commands, threads: vec![sample, unwind], next: 0, attach_cpu }),
            Ok(Err(errno)) => Err(SamplerError::Start(errno.into())),
            Err(_) => Err(SamplerError::Ended),
        }
    }

    /// CPU time that the first looks at targets took, nanoseconds: once for each, however seldom it is read.
    pub fn attach_cpu_ns(&self) -> u64 {
        self.attach_cpu.load(Ordering::Relaxed)
    }

    /// A number for a target that is to be added, so that the sink can know of it before its first output.
    pub fn reserve(&mut self) -> TargetId {
        let id = TargetId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }

    /// Samples a target from the next tick on; `paused`: from the call of [`Self::pause`] on.
    pub fn add(&self, id: TargetId, target: Target, paused: bool) -> Result<(), SamplerError> {
        self.commands.send(Command::Add(id, Box::new(target), paused)).map_err(|_| SamplerError::Ended)
    }

    /// Lets a target go; its [`Output::Gone`] follows.
    pub fn remove(&self, id: TargetId) {
        drop(self.commands.send(Command::Remove(id)));
    }

    /// Stops or resumes reading a target without letting it go.
    pub fn pause(&self, id: TargetId, paused: bool) {
        drop(self.commands.send(Command::Pause(id, paused)));
    }

    /// Looks at a target's board from now on, at each tick in which it ran, and reads a paused target while a window is open
    /// there; `None`: looks no more. What changes is told by [`Output::Board`].
    pub fn watch(&self, id: TargetId, board: Option<RemoteAddr>) {
        drop(self.commands.send(Command::Watch(id, board)));
    }

    /// The windows that are open on a target's board need no samples: a paused one is left alone until its board changes.
    pub fn rest(&self, id: TargetId) {
        drop(self.commands.send(Command::Rest(id)));
    }

    /// Reads a target at every so many-th tick only; the others are counted as skipped.
    pub fn every(&self, id: TargetId, ticks: u32) {
        drop(self.commands.send(Command::Every(id, ticks.max(1))));
    }

    /// Waits until no stop of ours is open, and samples nothing until what is returned is dropped. `None`: a thread
    /// that was interrupted may still stop.
    pub fn hold(&self) -> Option<Hold> {
        let (reply, answer) = channel();
        let (release, released) = channel();
        self.commands.send(Command::Hold(reply, released)).ok()?;
        answer.recv_timeout(Duration::from_secs(3)).unwrap_or(false).then_some(Hold { _release: release })
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        drop(self.commands.send(Command::Stop));
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// A target at work.
struct Job {
    target: Target,
    threads: Threads,
    account: Account,
    shared: Arc<SharedModules>,
    quiet: Vec<u64>,
    added: u64,
    paused: bool,
    board: Option<Watched>,
    /// What the board changed to, and when that was seen; not handed over yet.
    changed: Option<(u64, Box<[u8]>)>,
    /// It is read at every so many-th tick, and how many of them have passed.
    every: u32,
    passed: u32,
    /// What of ticks that did not fit into the queue must still be said.
    carried: Tick,
    /// Thread-samples that did not fit.
    dropped: u64,
    /// How long reading it took since the last account.
    busy_ns: u64,
    usage: Usage,
}

/// CPU and memory of a target, asked once a second.
struct Usage {
    at: u64,
    cpu_ticks: Option<u64>,
}

struct Loop {
    reader: PtraceReader,
    period: u64,
    work: SyncSender<Work>,
    learned: Receiver<Learned>,
    jobs: BTreeMap<TargetId, Job>,
    agent_cpu: u64,
    next_account: u64,
}

impl Loop {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of 1 to 1,000 gives 1e6 to 1e9")]
    fn new(reader: PtraceReader, settings: Settings, work: SyncSender<Work>, learned: Receiver<Learned>) -> Self {
        let period = (1e9 / settings.rate_hz.clamp(1.0, 1000.0)) as u64;
        Self { reader, period, work, learned, jobs: BTreeMap::new(), agent_cpu: process_cpu_ns(), next_account: 0 }
    }

    fn run(mut self, commands: &Receiver<Command>) {
        // A late wake-up is a late tick: the default slack of 50 us is a fifth of a short stop.
        let _ = nix::sys::prctl::set_timerslack(1);
        // Who holds a thread stopped should not wait for a CPU itself. Not permitted: so be it.
        let _ = rustix::process::setpriority_process(None, -10);
        let mut clock = Clock::new(monotonic_ns(), self.period, monotonic_ns());
        let mut began = monotonic_ns();
        loop {
            while let Ok(command) = commands.try_recv() {
                if !self.obey(command) {
                    return self.end();
                }
            }
            if !self.rest(&mut clock, commands) {
                return self.end();
            }
            let now = monotonic_ns();
            let (at, missed) = clock.next(now);
            self.overrun(missed);
            // Real-time: a sampler that cannot keep up must not take all of a CPU.
            let rest = now.saturating_sub(began) / 4;
            self.reader.idle(at.max(now.saturating_add(rest)));
            began = monotonic_ns();
            self.learn();
            let now = monotonic_ns();
            let ids: Vec<TargetId> = self.jobs.keys().copied().collect();
            let mut before = now;
            for id in ids {
                self.tick(id, now);
                let after = monotonic_ns();
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.busy_ns = job.busy_ns.saturating_add(after.saturating_sub(before));
                }
                before = after;
            }
            if now >= self.next_account {
                self.next_account = now.saturating_add(SECOND_NS);
                self.accounts(now);
            }
        }
    }

    /// Sleeps through ticks that nobody needs, until a command comes. `false`: it was the last.
    fn rest(&mut self, clock: &mut Clock, commands: &Receiver<Command>) -> bool {
        let ticks = self.jobs.values().map(Job::rests_for).min().unwrap_or(SKIP_MAX).min(SKIP_MAX);
        if ticks == 0 || self.reader.has_pending() {
            return true;
        }
        let began = monotonic_ns();
        let limit = Duration::from_nanos(self.period.saturating_mul(u64::from(ticks)));
        let goes_on = match commands.recv_timeout(limit) {
            Ok(command) => self.obey(command),
            Err(_) => true,
        };
        let now = monotonic_ns();
        let passed = u32::try_from(now.saturating_sub(began) / self.period).unwrap_or(ticks).min(ticks);
        self.jobs.values_mut().for_each(|job| job.pass(passed));
        clock.skip(now);
        goes_on
    }

    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Add(id, target, paused) => self.add(id, *target, paused),
            Command::Remove(id) => self.remove(id),
            Command::Pause(id, paused) => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    if job.paused && !paused {
                        job.has_next_turn();
                    }
                    job.paused = paused;
                }
            }
            Command::Watch(id, board) => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.watch(board);
                }
            }
            Command::Rest(id) => {
                if let Some(board) = self.jobs.get_mut(&id).and_then(|job| job.board.as_mut()) {
                    board.rest();
                }
            }
            Command::Every(id, every) => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    // Whoever is read less often from now on is read at the next tick, and then so often.
                    job.every = every;
                    job.has_next_turn();
                }
            }
            Command::Hold(reply, released) => {
                let held = self.reader.drain();
                let _ = reply.send(held);
                // Until the holder lets go, by hanging up, no thread is touched.
                if held {
                    let _ = released.recv();
                }
            }
            Command::Stop => return false,
        }
        true
    }

    fn add(&mut self, id: TargetId, target: Target, paused: bool) {
        let shared = SharedModules::new();
        let pid = target.pid;
        drop(self.work.send(Work::Attach { id, pid, shared: Arc::clone(&shared) }));
        let job = Job {
            threads: Threads::new(pid),
            target,
            account: Account::default(),
            shared,
            quiet: Vec::new(),
            added: monotonic_ns(),
            paused,
            board: None,
            changed: None,
            every: 1,
            passed: 0,
            carried: Tick::default(),
            dropped: 0,
            busy_ns: 0,
            usage: Usage { at: monotonic_ns(), cpu_ticks: None },
        };
        self.jobs.insert(id, job);
    }

    fn remove(&mut self, id: TargetId) {
        let at_ns = monotonic_ns();
        self.account(id, at_ns, 0);
        if let Some(job) = self.jobs.remove(&id) {
            self.reader.forget(&job.target);
            drop(self.work.send(Work::Gone { id, at_ns }));
        }
    }

    fn end(mut self) {
        if !self.reader.drain() {
            warn!("A thread that was interrupted has not stopped yet; it is let go by our end.");
        }
        let ids: Vec<TargetId> = self.jobs.keys().copied().collect();
        ids.into_iter().for_each(|id| self.remove(id));
    }

    fn overrun(&mut self, missed: u64) {
        for job in self.jobs.values_mut().filter(|_| missed > 0) {
            let lost = missed.saturating_mul(job.threads.all.len() as u64);
            Counters::count_many(&mut job.account.counters.skipped, "overrun", lost);
        }
    }

    fn tick(&mut self, id: TargetId, now: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if !job.has_its_turn() {
            return;
        }
        if job.paused && !job.has_open_window(id, &self.work) {
            if job.target.is_gone() {
                self.remove(id);
            }
            return;
        }
        let known = match job.shared.get() {
            Some(known) => known,
            None if now.saturating_sub(job.added) < FIRST_WAIT_NS => return job.has_next_turn(),
            None => Known::default(),
        };
        let tick = self.reader.read(&job.target, &mut job.threads, &known, &mut job.account);
        if tick.gone {
            return self.remove(id);
        }
        if tick.reads.is_empty() && tick.named.is_empty() && tick.idents.is_empty() && job.quiet.len() < QUIET_MAX {
            job.quiet.push(tick.at_ns);
            job.account.counters.samples = job.account.counters.samples.saturating_add(tick.samples);
            return;
        }
        // After the threads were read: a window that is open now was open when they were.
        job.look();
        if job.tell_board(id, &self.work) {
            job.hand_over(id, tick, &self.work);
        } else {
            job.carry(tick);
        }
    }

    /// What the unwinding thread found out about threads.
    fn learn(&mut self) {
        while let Ok(learned) = self.learned.try_recv() {
            let Some(job) = self.jobs.get_mut(&learned.id) else { continue };
            if learned.wants_state {
                job.threads.states.want();
            }
            let Some(thread) = job.threads.all.get_mut(&learned.tid) else { continue };
            if learned.number != thread.captures {
                // It was read again meanwhile; that one's unwind will tell.
                continue;
            }
            if learned.failed {
                (thread.run_count, thread.state) = (None, None);
                job.threads.unsettled = true;
                continue;
            }
            job.threads.unsettled |= thread.learn(learned.need, learned.cut);
            thread.wants_rbp = learned.wants_rbp;
            thread.fingerprint.sp = learned.sp;
            thread.fingerprint.pc = learned.pc;
            thread.fingerprint.words = learned.words;
        }
    }

    fn accounts(&mut self, now: u64) {
        // Also those that have no turn for long.
        let gone: Vec<TargetId> =
            self.jobs.iter().filter(|(_, job)| job.every > 1 && job.target.is_gone()).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.remove(id));
        let cpu = process_cpu_ns();
        let used = cpu.saturating_sub(self.agent_cpu);
        self.agent_cpu = cpu;
        // What the other threads do for a target goes with what is read of it.
        let all: u64 = self.jobs.values().map(|job| job.busy_ns).sum();
        let share = |job: &mut Job| {
            let part = u128::from(used) * u128::from(std::mem::take(&mut job.busy_ns)) / u128::from(all.max(1));
            u64::try_from(part / 1000).unwrap_or(u64::MAX)
        };
        let shares: Vec<(TargetId, u64)> = self.jobs.iter_mut().map(|(id, job)| (*id, share(job))).collect();
        shares.into_iter().for_each(|(id, us)| self.account(id, now, us));
    }

    /// Never waits for room in the queue: a late stop may come meanwhile. What does not fit is said a second later.
    fn account(&mut self, id: TargetId, now: u64, agent_cpu_us: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if !job.hand_over_quiet(id, &self.work) {
            return;
        }
        let mut account = Box::new(std::mem::take(&mut job.account));
        Counters::count_many(&mut account.counters.dropped, "queue_full", std::mem::take(&mut job.dropped));
        if let Err(TrySendError::Full(Work::Account { account, .. })) =
            self.work.try_send(Work::Account { id, account, agent_cpu_us })
        {
            job.account = *account;
        }
        if let Some(event) = job.usage.event(job.target.pid, now) {
            drop(self.work.try_send(Work::Events { id, events: vec![event] }));
        }
    }
}

impl Job {
    fn watch(&mut self, board: Option<RemoteAddr>) {
        self.board = board.map(Watched::new);
        self.changed = Some((monotonic_ns(), Box::default()));
    }

    /// Whether it is read at this tick.
    fn has_its_turn(&mut self) -> bool {
        if self.passed.saturating_add(1) >= self.every {
            self.passed = 0;
            return true;
        }
        self.pass(1);
        false
    }

    /// Has it read at the next tick, unless it is not read at all.
    fn has_next_turn(&mut self) {
        self.passed = if self.every == u32::MAX { 0 } else { self.every.saturating_sub(1) };
    }

    /// Ticks at which it has no turn. Where it would be read but for that, that is said of all its threads.
    fn pass(&mut self, ticks: u32) {
        self.passed = self.passed.saturating_add(ticks);
        if !self.paused || self.board.as_ref().is_some_and(Watched::is_open) {
            let threads = self.threads.all.len() as u64;
            Counters::count_many(
                &mut self.account.counters.skipped,
                "budget",
                threads.saturating_mul(u64::from(ticks)),
            );
        }
    }

    /// At how many of the next ticks it needs nothing.
    fn rests_for(&self) -> u32 {
        if self.paused && self.board.is_none() {
            return u32::MAX;
        }
        self.every.saturating_sub(self.passed.saturating_add(1))
    }

    /// Looks at the board of a target that is read only while a window is open there.
    fn has_open_window(&mut self, id: TargetId, work: &SyncSender<Work>) -> bool {
        self.look();
        self.tell_board(id, work) && self.board.as_ref().is_some_and(Watched::is_open)
    }

    fn look(&mut self) {
        let Some(board) = &mut self.board else { return };
        if let Some(bytes) = board.look(self.target.pid) {
            self.changed = Some((monotonic_ns(), bytes));
        }
    }

    /// Hands over what the board changed to, behind all ticks before. `false`: the queue is full.
    fn tell_board(&mut self, id: TargetId, work: &SyncSender<Work>) -> bool {
        if self.changed.is_none() {
            return true;
        }
        if !self.hand_over_quiet(id, work) {
            return false;
        }
        let Some((at_ns, bytes)) = self.changed.take() else { return true };
        match work.try_send(Work::Board { id, at_ns, bytes }) {
            Err(TrySendError::Full(Work::Board { at_ns, bytes, .. })) => {
                self.changed = Some((at_ns, bytes));
                false
            }
            _ => true,
        }
    }

    fn hand_over(&mut self, id: TargetId, mut tick: Tick, work: &SyncSender<Work>) {
        let carried = std::mem::take(&mut self.carried);
        tick.named.splice(..0, carried.named);
        tick.reads.splice(..0, carried.reads);
        tick.idents.splice(..0, carried.idents);
        let quiet = std::mem::take(&mut self.quiet);
        if let Err(TrySendError::Full(Work::Tick { quiet, tick, .. })) = work.try_send(Work::Tick { id, quiet, tick }) {
            self.quiet = quiet;
            self.carry(tick);
        }
    }

    /// The unwinding thread is behind. Threads that were read must be read again, so that none is taken to stand; their
    /// ends and names are said later.
    fn carry(&mut self, tick: Tick) {
        self.threads.unsettled = true;
        self.carried.named = tick.named;
        self.carried.idents = tick.idents;
        for (tid, read) in tick.reads {
            if let Some(thread) = self.threads.all.get_mut(&tid) {
                thread.run_count = None;
                thread.state = None;
                thread.captures += 1;
                thread.fingerprint.words.clear();
            }
            let keep = if matches!(read, Read::Ended) { Read::Ended } else { Read::Unread };
            self.dropped = self.dropped.saturating_add(u64::from(matches!(read, Read::Captured(_) | Read::Same(_))));
            if !self.carried.reads.iter().any(|(carried, read)| *carried == tid && matches!(read, Read::Unread)) {
                self.carried.reads.push((tid, keep));
            }
        }
    }

    /// Hands over ticks at which nothing happened. `false`: the queue is full.
    fn hand_over_quiet(&mut self, id: TargetId, work: &SyncSender<Work>) -> bool {
        let events = self.quiet.drain(..).map(|at_ns| Event::Tick { at_ns }).collect();
        match work.try_send(Work::Events { id, events }) {
            Err(TrySendError::Full(Work::Events { events, .. })) => {
                let at = |event| if let Event::Tick { at_ns } = event { Some(at_ns) } else { None };
                self.quiet = events.into_iter().filter_map(at).collect();
                false
            }
            _ => true,
        }
    }
}

impl Usage {
    fn event(&mut self, pid: Pid, now: u64) -> Option<Event> {
        let stat = procfs::process_stat(pid).ok()?;
        let elapsed = now.saturating_sub(self.at);
        let before = self.cpu_ticks.replace(stat.cpu_ticks);
        self.at = now;
        let used = stat.cpu_ticks.checked_sub(before?)?;
        #[allow(clippy::cast_precision_loss, reason = "a second's worth of clock ticks")]
        let cpu_percent = if elapsed == 0 { 0.0 } else { used as f64 * 1e7 / elapsed as f64 * 100.0 };
        Some(Event::Usage { at_ns: now, cpu_percent, rss_bytes: stat.rss_pages.saturating_mul(crate::memory::PAGE) })
    }
}

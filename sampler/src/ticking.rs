//! The thread that ticks: takes targets in, reads them at each tick, hands the copies to the unwinding thread, and lets
//! everything go when told to stop.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError},
    },
    time::Duration,
};

use profile::counters::Counters;
use tracing::warn;

use crate::{
    clock::Clock,
    job::{Job, QUIET_MAX},
    reader::{Known, Reader, ptrace::PtraceReader},
    sampler::{Command, Settings, TargetId},
    sys::{monotonic_ns, process_cpu_ns},
    target::Target,
    unwinding::{Learned, SharedModules, Work},
};

/// The first tick waits this long for the modules, so that deep stacks can be walked from the start.
const FIRST_WAIT_NS: u64 = 60_000_000;
/// Ticks that are left out at once where nobody needs them: in between it is seen who has ended.
const SKIP_MAX: u32 = 9;
const SECOND_NS: u64 = 1_000_000_000;

/// The sampling thread's own.
pub(crate) struct Loop {
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
    pub(crate) fn new(
        reader: PtraceReader,
        settings: Settings,
        work: SyncSender<Work>,
        learned: Receiver<Learned>,
    ) -> Self {
        let period = (1e9 / settings.rate_hz.clamp(1.0, 1000.0)) as u64;
        Self { reader, period, work, learned, jobs: BTreeMap::new(), agent_cpu: process_cpu_ns(), next_account: 0 }
    }

    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
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
        drop(self.work.send(Work::Attach { id, pid: target.pid, shared: Arc::clone(&shared) }));
        self.jobs.insert(id, Job::new(target, shared, paused));
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

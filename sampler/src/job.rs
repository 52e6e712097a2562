//! A target at work: when it has its turn, and what of it is still to be handed to the unwinding thread.

use std::sync::{
    Arc,
    mpsc::{SyncSender, TrySendError},
};

use profile::{address::RemoteAddr, counters::Counters, feed::Event, id::Pid};

use crate::{
    board::Watched,
    procfs,
    reader::{Account, Read, Tick},
    sampler::TargetId,
    sys::monotonic_ns,
    target::Target,
    threads::Threads,
    unwinding::{SharedModules, Work},
};

/// Quiet ticks are handed over together, at least this often.
pub(crate) const QUIET_MAX: usize = 25;
/// A target at work.
pub(crate) struct Job {
    pub target: Target,
    pub threads: Threads,
    pub account: Account,
    pub shared: Arc<SharedModules>,
    pub quiet: Vec<u64>,
    pub added: u64,
    pub paused: bool,
    pub board: Option<Watched>,
    /// What the board changed to, and when that was seen; not handed over yet.
    pub changed: Option<(u64, Box<[u8]>)>,
    /// It is read at every so many-th tick, and how many of them have passed.
    pub every: u32,
    pub passed: u32,
    /// What of ticks that did not fit into the queue must still be said.
    pub carried: Tick,
    /// Thread-samples that did not fit.
    pub dropped: u64,
    /// How long reading it took since the last account.
    pub busy_ns: u64,
    pub usage: Usage,
}

/// CPU and memory of a target, asked once a second.
pub(crate) struct Usage {
    at: u64,
    cpu_ticks: Option<u64>,
}

impl Job {
    /// Whose modules come by `shared`. `paused`: not read until it is told, or a window is open on its board.
    pub(crate) fn new(target: Target, shared: Arc<SharedModules>, paused: bool) -> Self {
        let now = monotonic_ns();
        Self {
            threads: Threads::new(target.pid),
            target,
            account: Account::default(),
            shared,
            quiet: Vec::new(),
            added: now,
            paused,
            board: None,
            changed: None,
            every: 1,
            passed: 0,
            carried: Tick::default(),
            dropped: 0,
            busy_ns: 0,
            usage: Usage { at: now, cpu_ticks: None },
        }
    }

    pub(crate) fn watch(&mut self, board: Option<RemoteAddr>) {
        self.board = board.map(Watched::new);
        self.changed = Some((monotonic_ns(), Box::default()));
    }

    /// Whether it is read at this tick.
    pub(crate) fn has_its_turn(&mut self) -> bool {
        if self.passed.saturating_add(1) >= self.every {
            self.passed = 0;
            return true;
        }
        self.pass(1);
        false
    }

    /// Has it read at the next tick, unless it is not read at all.
    pub(crate) fn has_next_turn(&mut self) {
        self.passed = if self.every == u32::MAX { 0 } else { self.every.saturating_sub(1) };
    }

    /// Ticks at which it has no turn. Where it would be read but for that, that is said of all its threads.
    pub(crate) fn pass(&mut self, ticks: u32) {
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
    pub(crate) fn rests_for(&self) -> u32 {
        if self.paused && self.board.is_none() {
            return u32::MAX;
        }
        self.every.saturating_sub(self.passed.saturating_add(1))
    }

    /// Looks at the board of a target that is read only while a window is open there.
    pub(crate) fn has_open_window(&mut self, id: TargetId, work: &SyncSender<Work>) -> bool {
        self.look();
        self.tell_board(id, work) && self.board.as_ref().is_some_and(Watched::is_open)
    }

    pub(crate) fn look(&mut self) {
        let Some(board) = &mut self.board else { return };
        if let Some(bytes) = board.look(self.target.pid) {
            self.changed = Some((monotonic_ns(), bytes));
        }
    }

    /// Hands over what the board changed to, behind all ticks before. `false`: the queue is full.
    pub(crate) fn tell_board(&mut self, id: TargetId, work: &SyncSender<Work>) -> bool {
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

    pub(crate) fn hand_over(&mut self, id: TargetId, mut tick: Tick, work: &SyncSender<Work>) {
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
    pub(crate) fn carry(&mut self, tick: Tick) {
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
    pub(crate) fn hand_over_quiet(&mut self, id: TargetId, work: &SyncSender<Work>) -> bool {
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
    pub(crate) fn event(&mut self, pid: Pid, now: u64) -> Option<Event> {
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

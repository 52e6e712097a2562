//! The pipeline's thread: keeps the sessions, and what comes of them.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use profile::{feed::Event, id::Pid};
use sampler::{Output, TargetId, sys::monotonic_ns};
use tracing::warn;

use super::{
    Finished, Message, Opening,
    building::Turns,
    progress::{Progress, SessionProgress, Shared},
};
use crate::{
    clocks,
    hours::{Hours, Kind},
    naming::Naming,
    outlet::{Outlet, discard},
    report::Summary,
    session::{ClosedChunk, Course, Keep, Session, Turned},
    shelf::{Built, Dropped, Made, Shelf},
    ship::Journal,
};

/// With no event for this long, what the journal holds back is written.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// How often what is kept of transactions is looked through.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// A session, and what the pipeline must know to keep what comes of it.
#[derive(Debug)]
pub(super) struct Open {
    pub session: Session,
    pub pid: Pid,
    given: bool,
    outlet: Outlet,
    skip_idle: bool,
    chunks: u64,
}

pub(super) struct Work {
    keep: Keep,
    naming: Naming,
    pub shelf: Arc<Shelf>,
    hours: Arc<Hours>,
    shared: Arc<Shared>,
    pub turns: Turns,
    tidy_at: Instant,
    /// The sum of the sessions that have ended.
    past: Progress,
    pub sessions: BTreeMap<TargetId, Open>,
    finished: Finished,
}

impl Work {
    pub(super) fn new(keep: Keep, naming: Naming, shelf: Arc<Shelf>, hours: Arc<Hours>, shared: Arc<Shared>) -> Self {
        Self {
            keep,
            naming,
            shelf,
            hours,
            shared,
            turns: Turns::default(),
            tidy_at: Instant::now(),
            past: Progress::default(),
            sessions: BTreeMap::new(),
            finished: Finished::default(),
        }
    }

    pub(super) fn run(&mut self, messages: &Receiver<Message>) -> Finished {
        loop {
            match messages.recv_timeout(self.turns.look_again().unwrap_or(FLUSH_EVERY)) {
                Ok(message) => self.work(message),
                Err(RecvTimeoutError::Timeout) => self.sessions.values_mut().for_each(|open| open.session.flush()),
                Err(RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.finished),
            }
            self.turns.build_one(&mut self.sessions, &self.shelf);
            self.tidy(Instant::now());
        }
    }

    /// Once a second: what is kept for nobody is given up.
    fn tidy(&mut self, now: Instant) {
        if now < self.tidy_at {
            return;
        }
        self.tidy_at = now + TIDY_EVERY;
        let at_ns = monotonic_ns();
        let ids: Vec<TargetId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(open) = self.sessions.get_mut(&id) else { continue };
            let turned = open.session.tidy(at_ns);
            self.take(id, turned);
        }
        self.shelf.sweep();
    }

    pub(super) fn work(&mut self, message: Message) {
        match message {
            Message::Open(id, opening) => self.open(id, *opening),
            Message::Output(id, Output::Event(event)) => self.event(id, &event),
            Message::Output(id, Output::ModuleFile(index, file)) => self.naming.module(id, index, file),
            Message::Output(_, Output::Hint(hint)) => self.naming.hint(hint),
            Message::Output(id, Output::Board { at_ns, board }) => {
                self.turn(id, |session| session.noted(board, at_ns));
            }
            Message::Output(id, Output::Gone { at_ns }) => self.gone(id, at_ns),
            Message::Run(id, run, at_ns) => self.turn(id, |session| session.forced(run, at_ns)),
            Message::Suspend(id, is, at_ns) => self.turn(id, |session| session.suspended(is, at_ns)),
            Message::Close(id) => {
                if let Some(closed) = self.sessions.get_mut(&id).and_then(|open| open.session.close(clocks::now())) {
                    self.keep(id, closed);
                }
            }
        }
    }

    pub(super) fn open(&mut self, id: TargetId, opening: Opening) {
        let Opening { info, given, course, outlet, journals, skip_idle } = opening;
        let wants_journal = self.keep.chunks && !matches!(course, Course::Transactions(_));
        let journal = journals.as_deref().filter(|_| wants_journal).and_then(|folder| {
            let journal = Journal::create(folder, &info, info.anchor.monotonic_ns);
            let told = journal.inspect_err(|error| {
                warn!(error = error as &dyn Error, "No journal: a crash would lose the open chunk.");
            });
            told.ok()
        });
        let pid = info.pid;
        let mut session = Session::new(id, info, self.keep, self.naming.clone(), journal);
        if !matches!(course, Course::Always) {
            let (told, journal) = session.told(course);
            session = told;
            discard(journal);
        }
        self.sessions.insert(id, Open { session, pid, given, outlet, skip_idle, chunks: 0 });
    }

    /// Tells a session something, and keeps what comes of it.
    fn turn(&mut self, id: TargetId, tell: impl FnOnce(&mut Session) -> Turned) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        let turned = tell(&mut open.session);
        self.take(id, turned);
        self.show_session(id);
    }

    fn take(&mut self, id: TargetId, turned: Turned) {
        let Some(open) = self.sessions.get(&id) else { return };
        for (id, why) in turned.dropped {
            // Only of those that go on is one too long.
            self.shelf.put(open.pid, Built { id, made: Made::Dropped(why), goes_on: why == Dropped::TooLong });
        }
        turned.ended.into_iter().for_each(|profile| self.shelf.ended(open.pid, profile));
        if open.session.ready_count() > 0 {
            self.turns.add(id);
        }
        turned.closed.into_iter().for_each(|closed| self.keep(id, closed));
    }

    fn event(&mut self, id: TargetId, event: &Event) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        // Once a second, which costs a microsecond.
        let clocks_stepped = matches!(event, Event::Cost { .. }) && open.session.compare_clocks(&clocks::now());
        if open.session.apply(event) || clocks_stepped {
            self.shared.due.get().insert(id);
        }
        match event {
            Event::Tick { at_ns } => self.rest_overdue(id, *at_ns),
            Event::Cost { .. } => {
                self.show_live(id);
                self.show_session(id);
                self.show();
            }
            _ => {}
        }
    }

    fn rest_overdue(&mut self, id: TargetId, at_ns: u64) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        if open.session.overdue(at_ns) {
            self.shared.resting.get().push(id);
        }
    }

    /// Once a second: what came since, for those who look at the page.
    fn show_live(&mut self, id: TargetId) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        let Outlet::Keep(local) = &open.outlet else { return };
        if !local.live().is_watched() {
            return open.session.unwatch();
        }
        if let Some(piece) = open.session.piece() {
            local.show(&piece);
        }
    }

    fn gone(&mut self, id: TargetId, at_ns: u64) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        let closed = open.session.end(at_ns);
        let is_told = open.session.sampled || open.given;
        if is_told {
            closed.into_iter().for_each(|closed| self.keep(id, closed));
        } else {
            discard(closed.and_then(|closed| closed.journal));
        }
        let Some(Open { mut session, pid, .. }) = self.sessions.remove(&id) else { return };
        if is_told {
            self.sum_up(&mut session, at_ns);
        }
        self.past.add(&session);
        self.naming.gone(id);
        self.shelf.forget(pid);
        self.shared.sessions.get().remove(&id);
        self.show();
        self.shared.ended.get().push(id);
    }

    fn sum_up(&mut self, session: &mut Session, at_ns: u64) {
        let report = &mut self.finished.report;
        let Some(recorded) = session.finish(at_ns) else {
            return session.summary(at_ns).into_iter().for_each(|row| report.add(row));
        };
        report.add(Summary::of(&recorded));
        if self.keep.whole {
            self.finished.recorded.push(recorded);
        } else {
            report.hottest.add(&recorded);
        }
    }

    fn keep(&mut self, id: TargetId, closed: ClosedChunk) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        let ClosedChunk { profiler_id, chunk, journal, platform, is_idle } = closed;
        match chunk {
            Some(chunk) => {
                let span_us = chunk.end_unix_ns.saturating_sub(chunk.start_unix_ns) / 1000;
                let ships = matches!(open.outlet, Outlet::Ship(_));
                if ships && is_idle && open.skip_idle {
                    self.hours.count(span_us, Kind::Skipped);
                    discard(journal);
                } else {
                    self.hours.count(span_us, if is_idle { Kind::Idle } else { Kind::Busy });
                    open.outlet.take(chunk, journal);
                }
                open.chunks += 1;
                self.shared.progress.get().chunks += 1;
            }
            None if self.keep.chunks => open.outlet.nothing(platform.as_str(), journal),
            None => {}
        }
        if let Some(Outlet::Keep(local)) = self.sessions.get(&id).map(|open| &open.outlet) {
            local.live().forget(profiler_id);
        }
    }

    fn show_session(&self, id: TargetId) {
        let Some(Open { session, chunks, .. }) = self.sessions.get(&id) else { return };
        self.shared.sessions.get().insert(id, SessionProgress::of(session, *chunks));
    }

    fn show(&self) {
        let mut progress = self.shared.progress.get();
        *progress = Progress { chunks: progress.chunks, processes: self.sessions.len(), ..self.past.clone() };
        for Open { session, .. } in self.sessions.values() {
            progress.add(session);
            progress.add_threads(session);
        }
    }
}

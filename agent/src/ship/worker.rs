//! The shipping thread: takes the oldest chunk from the spool, sends it, and acts on the answer. Everything that it
//! waits for ends when [`super::Shipper::drain`] says so.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::{
    client::{Outcome, Sender},
    envelope::{Content, compress},
    files,
    report::{Reason, Reports},
    shipper::{Shared, category_of},
    spool::Held,
};

/// The doubling of waits ends here; the longest wait is reached long before.
const DOUBLINGS_MAX: u32 = 16;

/// A chunk that ended so lately is no backlog.
const FRESH: Duration = Duration::from_secs(10);
/// Pauses between the chunks of a backlog come to this at most, however many they are.
const BACKLOG_MAX: Duration = Duration::from_secs(10);

pub(super) struct Worker {
    shared: Arc<Shared>,
    sender: Sender,
    stop: watch::Receiver<Option<Instant>>,
    /// Nothing is sent before.
    not_before: Option<Instant>,
    /// Failures in a row.
    failures: u32,
    /// When the folder was looked at.
    looked: Option<Instant>,
    draining: bool,
}

/// What to do after a step.
#[derive(Clone, Copy)]
enum Next {
    /// The next step.
    Step,
    /// Wait until then, or until something comes.
    Wait(Instant),
    /// Nothing to do until something comes.
    Idle,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, sender: Sender, stop: watch::Receiver<Option<Instant>>) -> Self {
        Self { shared, sender, stop, not_before: None, failures: 0, looked: None, draining: false }
    }

    pub(super) async fn run(mut self) {
        loop {
            let mut stop = self.stop.clone();
            // Not cut off by the stop itself: what is under way would only be sent twice.
            let next = tokio::select! {
                next = self.step() => next,
                () = expired(&mut stop) => return,
            };
            let until = match next {
                Next::Step => continue,
                // Nothing more can be done within the limit of the stop.
                Next::Wait(until) if self.draining && self.stop.borrow().is_some_and(|limit| until >= limit) => return,
                Next::Idle if self.draining => return,
                Next::Wait(until) => until,
                Next::Idle => Instant::now() + self.shared.settings.look_every,
            };
            self.rest(until).await;
        }
    }

    /// Waits until `until`, a new chunk, the stop or its limit.
    async fn rest(&mut self, until: Instant) {
        let mut stop = self.stop.clone();
        let begins = async {
            if self.draining {
                std::future::pending::<()>().await;
            }
            let _ = self.stop.wait_for(Option::is_some).await;
        };
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => {}
            () = self.shared.wake.notified() => {}
            () = begins => {}
            () = expired(&mut stop) => {}
        }
    }

    async fn step(&mut self) -> Next {
        if !self.draining && self.stop.borrow().is_some() {
            // One more try at once, whatever was being waited for.
            self.draining = true;
            self.not_before = None;
        }
        let now = Instant::now();
        if let Some(until) = self.not_before.filter(|until| *until > now) {
            return Next::Wait(until);
        }
        self.look(now);
        let taken = self.shared.spool().take();
        match taken {
            Some(held) => self.handle(held, now).await,
            None => self.report(now).await,
        }
    }

    /// Looks for chunks that other agents left, and gives up those too old.
    fn look(&mut self, now: Instant) {
        if self.looked.is_some_and(|looked| now.duration_since(looked) < self.shared.settings.look_every) {
            return;
        }
        self.looked = Some(now);
        let mut spool = self.shared.spool();
        if let Err(error) = spool.look() {
            warn!(%error, "The spool can't be read.");
        }
        let given_up = spool.make_room(0);
        drop(spool);
        self.shared.give_up_all(&given_up);
    }

    /// Sends a chunk, or does with it what a rate limit demands.
    async fn handle(&mut self, held: Held, now: Instant) -> Next {
        self.delete_journal(&held);
        let category = category_of(&held.header);
        let (paused, limited) = {
            let state = self.shared.state();
            (state.paused.until(category, now), state.limits.until(category, now))
        };
        if paused.is_some() {
            self.shared.give_up(Reason::RatelimitBackoff, category);
            self.forget(&held);
            return Next::Step;
        }
        match limited {
            Some(until) => match self.report(now).await {
                Next::Idle => Next::Wait(until),
                next => next,
            },
            None => self.send(Some(held)).await,
        }
    }

    /// A chunk leaves the spool only after its journal is gone. If whoever put it here died before deleting that, it would
    /// be built again at the next start, and come twice.
    fn delete_journal(&self, held: &Held) {
        let (Some(folder), Some(name)) = (&self.shared.settings.journals, &held.header.journal) else { return };
        let removed = if name.contains('/') { Ok(()) } else { files::remove(&folder.join(name)) };
        if let Err(error) = removed {
            warn!(%error, "A journal can't be deleted; its chunk may come twice.");
        }
    }

    /// Sends what was thrown away, alone, if nothing came by to take it along.
    async fn report(&mut self, now: Instant) -> Next {
        let Some(since) = self.shared.state().reports_since.filter(|_| self.shared.settings.client_reports) else {
            return Next::Idle;
        };
        let due = since + self.shared.settings.report_after;
        if due > now && !self.draining {
            return Next::Wait(due.min(now + self.shared.settings.look_every));
        }
        match self.send(None).await {
            // Not worth holding up the end for.
            _ if self.draining => Next::Idle,
            next => next,
        }
    }

    async fn send(&mut self, held: Option<Held>) -> Next {
        let reports = self.take_reports();
        let report = (!reports.is_empty()).then(|| reports.write(unix_seconds()));
        let client = &self.shared.settings.client;
        let sent_at = jiff::Timestamp::now().to_string();
        let content = Content {
            chunk: held.as_ref(),
            report: report.as_ref(),
            client: (&client.name, &client.version),
            sent_at: &sent_at,
        };
        let Ok(body) = compress(content) else { return Next::Idle };
        let sent = held.as_ref().map(|held| category_of(&held.header));
        let shared = self.shared.clone();
        let outcome = self.sender.send(body, |headers| shared.learn(headers, sent)).await;
        let lost = match &outcome {
            Outcome::Failed { .. } => true,
            // Refused for the chunk's sake, it can still come with the next one.
            Outcome::Refused(_) => held.is_some(),
            Outcome::Accepted | Outcome::Limited => false,
        };
        if lost {
            let mut state = self.shared.state();
            state.reports.put_back(reports);
            state.reports_since = (!state.reports.is_empty()).then(Instant::now);
        }
        self.act(outcome, held.as_ref());
        Next::Step
    }

    /// What becomes of a chunk (or of a report alone) by its answer.
    fn act(&mut self, outcome: Outcome, held: Option<&Held>) {
        match outcome {
            Outcome::Accepted => {
                if let Some(held) = held {
                    debug!(chunk = %held.header.chunk_id, bytes = held.payload.len(), "Chunk sent.");
                    self.forget(held);
                    self.shared.state().status.sent += 1;
                }
                self.shared.state().status.last_error = None;
                self.succeed(held);
            }
            // It waits in the spool, and the limits say how long, or that it is thrown away.
            Outcome::Limited => self.limited(held),
            Outcome::Refused(answer) => {
                if let Some(held) = held {
                    self.refuse(held, &answer);
                }
                self.succeed(held);
            }
            Outcome::Failed { why, not_before } => self.fail(&why, not_before),
        }
    }

    fn refuse(&mut self, held: &Held, answer: &str) {
        error!(chunk = %held.header.chunk_id, answer = answer.trim(), "The server refused a chunk; kept in the folder refused.");
        if let Err(error) = self.shared.spool().refuse(held, answer) {
            error!(%error, "A refused chunk can't be moved aside.");
        }
        let mut state = self.shared.state();
        state.status.refused += 1;
        state.status.last_error = answer.lines().next().map(|status| format!("the server refused a chunk: {status}"));
        state.count(Reason::SendError, category_of(&held.header), 1);
    }

    fn limited(&mut self, held: Option<&Held>) {
        self.failures = 0;
        let Some(held) = held else { return };
        let (category, now) = (category_of(&held.header), Instant::now());
        let mut state = self.shared.state();
        if state.paused.until(category, now).is_some() {
            // This one was counted by the server, so it is in no report.
            state.status.given_up += 1;
            drop(state);
            self.forget(held);
        }
    }

    fn forget(&self, held: &Held) {
        if let Err(error) = self.shared.spool().done(held) {
            error!(%error, "A chunk can't be deleted from the spool; it will come twice.");
        }
    }

    fn succeed(&mut self, held: Option<&Held>) {
        if self.failures > 0 {
            info!(after = self.failures, "The server answers again.");
        }
        self.failures = 0;
        self.not_before = Instant::now().checked_add(self.pause(held));
    }

    fn pause(&self, held: Option<&Held>) -> Duration {
        let ended = Duration::from_nanos(held.map_or(0, |held| held.header.end_unix_ns));
        let age = Duration::from_secs_f64(unix_seconds()).saturating_sub(ended);
        pause(self.shared.settings.pace, age, self.shared.spool().waiting().0)
    }

    /// Waits longer after each failure, a random part of a doubling time, and not less than a server asked for.
    fn fail(&mut self, why: &str, not_before: Option<Duration>) {
        let settings = &self.shared.settings;
        let doubled =
            settings.backoff_first.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(settings.backoff_max);
        let asked = not_before.unwrap_or_default().min(settings.wait_out_max);
        let wait = random_part(doubled).max(settings.pace).max(asked);
        if self.failures == 0 {
            warn!(why, "Sending failed; chunks wait on disk and are sent again.");
        } else {
            debug!(why, ?wait, failures = self.failures, "Sending failed again.");
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now().checked_add(wait);
        self.shared.state().status.last_error = Some(why.to_owned());
    }

    fn take_reports(&self) -> Reports {
        if !self.shared.settings.client_reports {
            return Reports::default();
        }
        let mut state = self.shared.state();
        state.reports_since = None;
        state.reports.take()
    }
}

/// Ready when the limit of the stop is over.
async fn expired(stop: &mut watch::Receiver<Option<Instant>>) {
    let limit = stop.wait_for(Option::is_some).await.ok().and_then(|limit| *limit);
    tokio::time::sleep_until(limit.unwrap_or_else(Instant::now).into()).await;
}

/// Full jitter: anything from nothing to all of it.
fn random_part(whole: Duration) -> Duration {
    let (random, nanos) = (uuid::Uuid::new_v4().as_u128(), whole.as_nanos());
    Duration::from_nanos(u64::try_from(random % nanos.saturating_add(1)).unwrap_or(0))
}

/// Until the next chunk, after one of an age while so many wait: nothing while chunks are sent as they come, of however many
/// processes they are; the pace where a backlog is sent, and less where so much waits that more would come than goes.
fn pause(pace: Duration, age: Duration, waiting: usize) -> Duration {
    if age < FRESH {
        return Duration::ZERO;
    }
    pace.min(BACKLOG_MAX / u32::try_from(waiting).unwrap_or(u32::MAX).max(1))
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the pause for chunks as they come, for a small backlog and for large ones.
    #[test]
    fn pauses() {
        let of = |age, waiting| pause(Duration::from_millis(100), Duration::from_secs(age), waiting).as_micros();
        let found = [of(3, 0), of(3, 5000), of(60, 0), of(60, 100), of(60, 1000), of(3600, 100_000)];
        assert_eq!(found, [0, 0, 100_000, 100_000, 10_000, 100]);
    }
}

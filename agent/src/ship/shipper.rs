//! The shipper as the pipeline sees it: takes chunks, tells how it goes. The sending is done by its thread (`worker`).

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use profile::chunk::Chunk;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use super::{
    client::Sender,
    journal::Closed,
    limits::{Category, Headers, Limits},
    report::{Reason, Reports},
    settings::ShipSettings,
    spool::{self, Arrival, GivenUp, Header, REFUSED, Spool},
    worker::Worker,
};

/// Why shipping can't begin, or a chunk could not be kept.
#[derive(Debug, Error)]
pub enum ShipError {
    /// The folder can't be made or read.
    #[error("cannot use the spool folder {}", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// The chunk is not on disk: it is lost, unless its journal is kept.
    #[error("cannot write a chunk to the spool folder {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// No root certificates, most likely.
    #[error(
        "cannot set up TLS (are the system's root certificates installed? Debian: apt-get install ca-certificates)"
    )]
    Tls(#[source] reqwest::Error),
    /// No thread to be had.
    #[error("cannot start the shipping thread")]
    Thread(#[source] io::Error),
}

/// How shipping goes, for the status line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// Chunks that a server answered 2xx, by this agent.
    pub sent: u64,
    /// Chunks in the spool, whoever put them there.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Chunks that a server refused for good, by this agent.
    pub refused: u64,
    /// Chunks that this agent threw away: too many, too old, rate limited for long.
    pub given_up: u64,
    /// Why the last attempt failed; `None` once one succeeds.
    pub last_error: Option<String>,
}

/// A rate limit too long to be waited out: there is no point in sampling for this DSN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pause {
    /// Until when.
    pub until: Instant,
}

/// Ships chunks to one DSN. Dropped without [`Shipper::drain`], it stops at once; what waits is sent at the next start.
#[derive(Debug)]
pub struct Shipper {
    shared: Arc<Shared>,
    stop: watch::Sender<Option<Instant>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    spooled_journals: Vec<String>,
}

/// What the pipeline's threads and the shipping thread both touch. No lock is held while something is sent.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: ShipSettings,
    pub(super) spool: Mutex<Spool>,
    pub(super) state: Mutex<State>,
    /// There is something new in the spool.
    pub(super) wake: Notify,
}

/// Counts and limits.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) status: Status,
    pub(super) limits: Limits,
    pub(super) paused: Limits,
    pub(super) reports: Reports,
    /// When the oldest count in `reports` came.
    pub(super) reports_since: Option<Instant>,
}

impl Shipper {
    /// Opens the spool and begins to send what waits there.
    pub fn start(settings: ShipSettings) -> Result<Self, ShipError> {
        // Fails only if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = settings.folder();
        let spool = Spool::open(&folder, settings.bounds).map_err(|error| ShipError::Folder(folder, error))?;
        let spooled_journals = spool.journals();
        look_at_others(&settings);
        let sender = Sender::new(&settings).map_err(ShipError::Tls)?;
        let shared = Shared { settings, spool: Mutex::new(spool), state: Mutex::default(), wake: Notify::new() };
        let (shared, (stop, stopped)) = (Arc::new(shared), watch::channel(None));
        let worker = Worker::new(shared.clone(), sender, stopped);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ShipError::Thread)?;
        let run = move || {
            runtime.block_on(worker.run());
            // A name server that doesn't answer must not hold up the end.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("ship".to_owned()).spawn(run).map_err(ShipError::Thread)?;
        Ok(Self { shared, stop, thread: Mutex::new(Some(thread)), spooled_journals })
    }

    /// Takes a chunk. When this returns, it is on disk (or counted as given up: see [`Shipper::paused`]).
    pub fn submit(&self, chunk: &Chunk) -> Result<(), ShipError> {
        self.put(arrival(chunk, None))
    }

    /// Takes a chunk and deletes its journal, so that after a death at any moment exactly one of both is used.
    pub fn submit_closing(&self, chunk: &Chunk, journal: Closed) -> Result<(), ShipError> {
        self.put(arrival(chunk, Some(&journal.name())))?;
        journal
            .delete()
            .unwrap_or_else(|error| error!(%error, "A journal can't be deleted; its chunk may come twice."));
        Ok(())
    }

    /// The folder of the journals from which its chunks are built.
    pub fn journals(&self) -> Option<PathBuf> {
        self.shared.settings.journals.clone()
    }

    /// The journals whose chunks had reached the spool before this start: for [`super::recover`].
    pub fn spooled_journals(&self) -> &[String] {
        &self.spooled_journals
    }

    /// Takes a chunk in parts: [`Shipper::submit`] for those who have no [`Chunk`].
    pub fn put(&self, chunk: Arrival<'_>) -> Result<(), ShipError> {
        let category = Category::of_platform(chunk.platform);
        if self.shared.state().paused.until(category, Instant::now()).is_some() {
            self.shared.give_up(Reason::RatelimitBackoff, category);
            return Ok(());
        }
        let mut given_up = Vec::new();
        let put = self.put_patiently(chunk, &mut given_up);
        self.shared.give_up_all(&given_up);
        self.shared.wake.notify_one();
        put.map_err(|error| ShipError::Write(self.shared.settings.folder(), error))
    }

    /// Waits a little where only chunks that are being sent could make room on a full disk: that is over soon, in one way
    /// or the other. The spool is free meanwhile, for who sends them.
    fn put_patiently(&self, chunk: Arrival<'_>, given_up: &mut Vec<GivenUp>) -> io::Result<()> {
        const LOOKS: u32 = 20;
        const WAIT: Duration = Duration::from_millis(50);
        for _ in 0..LOOKS {
            let mut spool = self.shared.spool();
            match spool.put(chunk, given_up) {
                Err(error) if spool::is_disk_full(&error) && spool.waiting().0 > 0 => {}
                done => return done,
            }
            drop(spool);
            std::thread::sleep(WAIT);
            self.shared.spool().look()?;
        }
        self.shared.spool().put(chunk, given_up)
    }

    /// Counts chunks that never came here, for the client reports: nothing in them that a server would take, say.
    pub fn count_lost(&self, reason: Reason, platform: &str, chunks: u64) {
        self.shared.state().count(reason, Category::of_platform(platform), chunks);
    }

    /// Whether a long rate limit holds: then chunks are thrown away, and sampling for this DSN should rest until it
    /// ends. Cheap enough for each tick.
    pub fn paused(&self) -> Option<Pause> {
        self.shared.state().paused.until(Category::ProfileChunk, Instant::now()).map(|until| Pause { until })
    }

    /// How it goes.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Stops: sends what can be sent within `limit`, the rest stays for the next start.
    pub fn drain(&self, limit: Duration) -> Status {
        self.stop.send_replace(Some(Instant::now() + limit));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            error!("The shipping thread died.");
        }
        self.status()
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        self.drain(Duration::ZERO);
    }
}

impl Shared {
    pub(super) fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a chunk that was thrown away.
    pub(super) fn give_up(&self, reason: Reason, category: Category) {
        let mut state = self.state();
        state.count(reason, category, 1);
        state.status.given_up = state.status.given_up.saturating_add(1);
        drop(state);
        error!(reason = reason.as_str(), "A chunk was thrown away unsent.");
    }

    /// The same for those that the spool gave up.
    pub(super) fn give_up_all(&self, chunks: &[GivenUp]) {
        for chunk in chunks {
            self.give_up(chunk.reason, category_of(&chunk.header));
        }
    }

    /// Takes in the limits that an answer tells of; `sent` is what it answers to. Long ones begin a pause.
    pub(super) fn learn(&self, answer: Headers<'_>, sent: Option<Category>) {
        let (now, mut state) = (Instant::now(), self.state());
        state.limits.learn(answer, sent, SystemTime::now(), now);
        for category in Category::ALL {
            let long = |until: &Instant| until.duration_since(now) > self.settings.wait_out_max;
            let Some(until) = state.limits.until(category, now).filter(long) else { continue };
            if state.paused.until(category, now) < Some(until) {
                state.paused.extend(category, until);
                let seconds = until.duration_since(now).as_secs();
                warn!(
                    seconds,
                    category = category.as_str(),
                    "Rate limited for long: chunks are thrown away, sampling rests."
                );
            }
        }
    }

    fn status(&self) -> Status {
        let (waiting, waiting_bytes) = self.spool().waiting();
        Status { waiting, waiting_bytes, ..self.state().status.clone() }
    }
}

impl State {
    pub(super) fn count(&mut self, reason: Reason, category: Category, chunks: u64) {
        self.reports.count(reason, category, chunks);
        if !self.reports.is_empty() {
            self.reports_since.get_or_insert_with(Instant::now);
        }
    }
}

/// Chunks for other DSNs wait until one of these is used again, or until they are too old.
fn look_at_others(settings: &ShipSettings) {
    let ours = settings.folder();
    let folders = fs::read_dir(&settings.spool).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    for folder in folders.filter(|folder| *folder != ours && folder.join(REFUSED).is_dir()) {
        let Ok(mut spool) = Spool::open(&folder, settings.bounds) else { continue };
        let given_up = spool.make_room(0).len();
        let (chunks, bytes) = spool.waiting();
        if chunks > 0 || given_up > 0 {
            info!(folder = %folder.display(), chunks, bytes, given_up, "Chunks for another DSN wait.");
        }
    }
}

pub(super) fn category_of(header: &Header) -> Category {
    Category::of_platform(&header.platform)
}

fn arrival<'a>(chunk: &'a Chunk, journal: Option<&'a str>) -> Arrival<'a> {
    Arrival {
        chunk_id: chunk.id,
        platform: chunk.platform.as_str(),
        span_unix_ns: (chunk.start_unix_ns, chunk.end_unix_ns),
        payload: &chunk.payload,
        journal,
    }
}

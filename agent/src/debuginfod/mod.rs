//! Debug files from debuginfod servers: asked by build id, kept on disk, in a thread of its own so that whoever names
//! frames never waits for a network. Off unless the settings say otherwise: it tells the servers which builds run here.
//!
//! `GET URL/buildid/HEX/debuginfo` answers with the ELF file, or 404 (debuginfod(8)). What comes is used only if it
//! states the build id that was asked for; and read as all ELF files are, for hostile.

mod cache;
mod client;

use std::{
    collections::HashSet,
    fs::File,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use profile::id::BuildId;
use reqwest::Url;
use tracing::{debug, warn};

use self::{
    cache::Cache,
    client::{Outcome, Servers},
};

/// Builds that wait to be asked for; more are not asked for at all. A browser maps 300 modules.
const QUEUE_MAX: usize = 1024;
/// Shorter build ids are no hash of anything: GNU's have 20 bytes, LLVM's 8.
const BUILD_ID_MIN: usize = 8;

/// Whom to ask, and within which bounds.
#[derive(Clone)]
pub struct Settings {
    /// In this order. May hold a password.
    pub servers: Vec<Url>,
    /// Where files are kept.
    pub folder: PathBuf,
    /// Bytes kept; those longest unused go first.
    pub bytes_max: u64,
    /// Bytes of one file; larger ones are not taken.
    pub file_max: u64,
    /// How long a build that no server has is not asked for again, and when one is that could not be asked for.
    pub miss_age: Duration,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Between two pieces of an answer.
    pub read_timeout: Duration,
    /// For a whole file.
    pub total_timeout: Duration,
}

impl Settings {
    /// The defaults.
    pub fn new(servers: Vec<Url>, folder: PathBuf) -> Self {
        Self {
            servers,
            folder,
            // Debug files of a server's programs and libraries: 4 MB for libc, 300 MB for PostgreSQL with LLVM.
            bytes_max: 2 << 30,
            file_max: 1 << 30,
            // As elfutils has it (cache_miss_s).
            miss_age: Duration::from_mins(10),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_mins(10),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hosts: Vec<&str> = self.servers.iter().map(client::host).collect();
        f.debug_struct("Settings").field("servers", &hosts).field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The files that are here, and the thread that gets more. It ends some time after the last handle; the end of the
/// process does not wait for it.
#[derive(Debug)]
pub struct Debuginfod {
    queue: SyncSender<BuildId>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cache: Cache,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Asked for, and neither here nor given up yet.
    under_way: HashSet<BuildId>,
    /// How many of them no server could say anything about: they are asked for again later.
    postponed: usize,
    arrived: Vec<BuildId>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debuginfod {
    /// Opens the folder and starts the thread.
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        // Fails only if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = settings.folder.display();
        let cache = Cache::open(settings).with_context(|| format!("cannot open the folder {folder}"))?;
        let servers = Servers::new(settings).context("cannot make a client for debuginfod")?;
        let shared = Arc::new(Shared { cache, state: Mutex::default() });
        let (queue, asked) = sync_channel(QUEUE_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sharing, again_after) = (Arc::clone(&shared), settings.miss_age);
        let run = move || {
            work(&asked, &sharing, servers, &runtime, again_after);
            // A name server that does not answer must not hold up the end.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("sp-fetch".to_owned()).spawn(run)?;
        Ok(Self { queue, shared })
    }

    /// The builds whose files have come since this was last asked.
    pub fn take_arrived(&self) -> Vec<BuildId> {
        std::mem::take(&mut self.shared.state().arrived)
    }

    /// Whether files are being asked for, or have come and were not taken.
    pub fn has_work(&self) -> bool {
        let state = self.shared.state();
        state.under_way.len() > state.postponed || !state.arrived.is_empty()
    }
}

impl symbolizer::Fetch for Debuginfod {
    fn debug_file(&self, build_id: &BuildId) -> Option<File> {
        if build_id.0.len() < BUILD_ID_MIN {
            return None;
        }
        if let Some(file) = self.shared.cache.get(build_id) {
            return Some(file);
        }
        let mut state = self.shared.state();
        if !state.under_way.contains(build_id)
            && !self.shared.cache.is_missing(build_id)
            && self.queue.try_send(build_id.clone()).is_ok()
        {
            state.under_way.insert(build_id.clone());
        }
        None
    }
}

/// Gets what is asked for, one after the other, and asks again later for what no server could say anything about.
fn work(
    asked: &Receiver<BuildId>,
    shared: &Shared,
    mut servers: Servers,
    runtime: &tokio::runtime::Runtime,
    again_after: Duration,
) {
    let mut again: Vec<(Instant, BuildId)> = Vec::new();
    loop {
        // All wait equally long, so the first is due first.
        let due = again.first().map(|(due, _)| due.saturating_duration_since(Instant::now()));
        let build_id = match asked.recv_timeout(due.unwrap_or(again_after)) {
            Ok(build_id) => build_id,
            Err(RecvTimeoutError::Timeout) if again.is_empty() => continue,
            Err(RecvTimeoutError::Timeout) => {
                shared.state().postponed -= 1;
                again.remove(0).1
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        match get(&build_id, shared, &mut servers, runtime) {
            Outcome::Failed if again.len() < QUEUE_MAX => {
                again.push((Instant::now() + again_after, build_id));
                shared.state().postponed += 1;
                continue;
            }
            Outcome::Found => shared.state().arrived.push(build_id.clone()),
            Outcome::Missing => shared.cache.set_missing(&build_id),
            Outcome::Failed => {}
        }
        shared.state().under_way.remove(&build_id);
    }
}

fn get(build_id: &BuildId, shared: &Shared, servers: &mut Servers, runtime: &tokio::runtime::Runtime) -> Outcome {
    let mut part = match shared.cache.part(build_id) {
        Ok(part) => part,
        Err(error) => {
            warn!(%error, "The folder for debug files cannot be written.");
            return Outcome::Failed;
        }
    };
    let outcome = runtime.block_on(servers.get(build_id, &mut part.file));
    debug!(%build_id, ?outcome, "Asked debuginfod for a debug file.");
    match (outcome, matches!(outcome, Outcome::Found).then(|| shared.cache.keep(part))) {
        (_, Some(Err(error))) => {
            warn!(%error, "A debug file cannot be kept.");
            Outcome::Failed
        }
        (outcome, _) => outcome,
    }
}

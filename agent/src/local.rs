//! A store, the receiver and the page in this process, for when there is no Sentry to send to.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use anyhow::Context;
use profile::{chunk::Chunk, received::Received, wire::read};
use server::Trigger;
use store::{
    ChunkStore, StoreError,
    embedded::Embedded,
    item::{Batch, ProjectId, Refused},
    live::Piece,
};
use tracing::{error, warn};

use crate::{about::About, clocks, exit::Failure, live::Live, settings};

/// The project of what is sampled here.
const PROJECT: ProjectId = ProjectId(1);
/// Agents that profile side by side on one machine have a folder each; so many are a mistake.
const FOLDERS_MAX: u32 = 100;

/// The running store and server.
#[derive(Debug)]
pub struct Local {
    /// `None`: a database has it all.
    folder: Option<PathBuf>,
    address: SocketAddr,
    store: Arc<dyn ChunkStore>,
    live: Arc<Live>,
    stop: Trigger,
    thread: Option<JoinHandle<()>>,
}

impl Local {
    /// Opens the store of the settings, or a folder beside it if another agent has that one, and serves it where the settings
    /// say, or at another port if that one is taken.
    pub fn start(settings: &config::Settings) -> Result<Self, Failure> {
        crate::serve::may_listen(settings)?;
        let folder = settings::store_folder(settings);
        let (folder, store): (Option<PathBuf>, Arc<dyn ChunkStore>) = if settings.store.url.is_some() {
            (None, crate::store::open(settings, &folder)?)
        } else {
            let (folder, store) = open_free(&folder)?;
            (Some(folder), Arc::new(store))
        };
        Ok(Self::serve(settings, folder, store)?)
    }

    fn serve(settings: &config::Settings, folder: Option<PathBuf>, store: Arc<dyn ChunkStore>) -> anyhow::Result<Self> {
        let listen = settings.server.listen;
        let live = Arc::new(Live::new(PROJECT));
        let listener = TcpListener::bind(listen)
            .or_else(|_| TcpListener::bind((listen.ip(), 0)))
            .with_context(|| format!("cannot listen on {}", listen.ip()))?;
        let address = listener.local_addr().context("cannot listen")?;
        let project = folder.as_deref().map(server::projects::generated).transpose();
        let project = project.context("cannot keep the project's key")?;
        let looking: Arc<dyn store::live::Live> = live.clone();
        let mut served = server::Settings::new(project.into_iter().collect());
        served.token = settings.server.token.as_ref().map(|token| token.reveal().to_owned());
        let about = About::new(settings, address, folder.as_deref());
        let server = crate::store::server(served, about, &store, Some(looking));
        crate::store::retain(Arc::clone(&store), settings)?;
        let (stop, asked) = server::shutdown::pair();
        let thread = std::thread::Builder::new().name("sp-server".to_owned());
        let run = move || {
            if let Err(error) = server.run(listener, asked) {
                error!(error = &error as &dyn std::error::Error, "The page is not served any more.");
            }
        };
        let thread = Some(thread.spawn(run).context("cannot start the server")?);
        Ok(Self { folder, address, store, live, stop, thread })
    }

    /// Where the page is.
    pub fn page(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Where chunks are kept, if it is a folder.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Who looks on.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Keeps a chunk: on disk when this returns.
    pub fn keep(&self, chunk: &Chunk) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        match received(chunk) {
            Ok(received) => batch.profiles.push((PROJECT, received)),
            // A bug of ours. It must not come back at every start.
            Err(refused) => batch.refused.push(*refused),
        }
        self.store.append(batch)?;
        Ok(())
    }

    /// Shows a piece of an open chunk to those who look on.
    pub fn show(&self, piece: &Chunk) {
        if let Ok(received) = received(piece) {
            self.live.add(piece.profiler_id, Piece::new(PROJECT, &received));
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.stop.shut_down();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("The server's thread died.");
        }
    }
}

/// The first folder that no other agent has open.
fn open_free(wanted: &Path) -> anyhow::Result<(PathBuf, Embedded)> {
    for number in 1..=FOLDERS_MAX {
        let mut folder = wanted.as_os_str().to_owned();
        if number > 1 {
            folder.push(format!(".{number}"));
        }
        let folder = PathBuf::from(folder);
        match Embedded::open(&folder) {
            Ok(store) => return Ok((folder, store)),
            Err(StoreError::Locked(_)) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot open the store {}", folder.display())),
        }
    }
    anyhow::bail!("the store {} and all beside it are open in other processes", wanted.display())
}

fn received(chunk: &Chunk) -> Result<Received, Box<Refused>> {
    let taken = read::chunk(&chunk.payload, Some(chunk.platform.as_str()));
    taken.map(|taken| taken.received).map_err(|refusal| {
        warn!(chunk = %chunk.id, %refusal, "A chunk of our own is refused; it is listed under refused.");
        let head: Vec<u8> = chunk.payload.iter().take(1024).copied().collect();
        Box::new(Refused {
            project: PROJECT,
            at_us: clocks::now().unix_ns / 1000,
            item: "profile_chunk".to_owned(),
            reason: refusal.outcome().unwrap_or("profiling_invalid_json").to_owned(),
            detail: refusal.to_string(),
            client: concat!("sentry-profiled/", env!("CARGO_PKG_VERSION")).to_owned(),
            head: String::from_utf8_lossy(&head).into_owned(),
            bytes: chunk.payload.len() as u64,
        })
    })
}

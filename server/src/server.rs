//! The server as a whole: what it is made of, and its run from a listener to the end that was asked for.

use std::{io, sync::Arc};

use axum::{Router, middleware};
use store::ChunkStore;
use thiserror::Error;
use tracing::info;

use crate::{
    guard::{Guard, guard},
    ingest::{self, Counts, Ingest},
    listen,
    settings::Settings,
    shutdown::Shutdown,
};

/// Threads that may be busy with requests beside the one that has the connections. More only wait for the store.
const BLOCKING_THREADS_MAX: usize = 96;

/// A server. It binds nothing: [`Server::run`] is given a listener.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    ingest: Arc<Ingest>,
    reading: Router,
    open: Router,
}

/// Why a server cannot run.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Beyond loopback everybody could read.
    #[error("listening on {0} needs a token for reading")]
    NoToken(std::net::SocketAddr),
    /// The listener or the threads failed.
    #[error("cannot listen")]
    Io(#[from] io::Error),
}

impl Server {
    /// A server that keeps what it gets in `store`.
    pub fn new(settings: Settings, store: Arc<dyn ChunkStore>) -> Self {
        let ingest = Arc::new(Ingest::new(&settings, store));
        Self { settings, ingest, reading: Router::new(), open: Router::new() }
    }

    /// Adds routes for those who may read: the questions. They are behind the token.
    #[must_use]
    pub fn reading(mut self, routes: Router) -> Self {
        self.reading = self.reading.merge(routes);
        self
    }

    /// Adds routes for everybody: the page, which holds no data.
    #[must_use]
    pub fn open(mut self, routes: Router) -> Self {
        self.open = self.open.merge(routes);
        self
    }

    /// What came in so far.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.ingest.counts)
    }

    /// All routes as one service: for tests, or within another server.
    pub fn router(&self) -> Router {
        let guarded = Guard { token: self.settings.token.clone() };
        let reading = self.reading.clone().layer(middleware::from_fn_with_state(guarded, guard));
        ingest::routes(Arc::clone(&self.ingest)).merge(reading).merge(self.open.clone())
    }

    /// Serves until the end is asked for and running requests are done. Blocks; runs all connections in this thread.
    pub fn run(self, listener: std::net::TcpListener, shutdown: Shutdown) -> Result<(), ServerError> {
        let address = listener.local_addr()?;
        if self.settings.token.is_none() && !address.ip().is_loopback() {
            return Err(ServerError::NoToken(address));
        }
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("server")
            .build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            info!(%address, projects = self.settings.projects.len(), "Receiving.");
            listen::serve(listener, self.router(), self.settings.limits, shutdown).await;
            Ok(())
        })
    }
}

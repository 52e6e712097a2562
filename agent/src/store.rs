//! The store that the settings name, and what serves it. The only place that knows which stores there are.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use server::Server;
use store::{
    ChunkStore, StoreError, clickhouse::ClickHouse, embedded::Embedded, item::Retention, live::Live, query::Queries,
};
use tracing::error;

use crate::{about::About, exit::Failure};

/// How often what is too old is looked for.
const RETAIN_EVERY: Duration = Duration::from_mins(10);

/// Opens the database that the settings name, or the store in `folder`, which is made if it is not there.
pub fn open(settings: &config::Settings, folder: &Path) -> Result<Arc<dyn ChunkStore>, Failure> {
    if let Some(url) = &settings.store.url {
        let opened = ClickHouse::open(url.reveal()).context("cannot open the database of store.url")?;
        return Ok(Arc::new(opened));
    }
    match Embedded::open(folder) {
        Ok(opened) => Ok(Arc::new(opened)),
        Err(locked @ StoreError::Locked(_)) => {
            Err(Failure::Hinted(locked.into(), "give --store another folder, or ask the server that has this one"))
        }
        Err(error) => {
            Err(anyhow::Error::new(error).context(format!("cannot open the store {}", folder.display())).into())
        }
    }
}

/// A server in front of a store: envelopes, questions and the page.
pub fn server(
    settings: server::Settings,
    about: About,
    store: &Arc<dyn ChunkStore>,
    live: Option<Arc<dyn Live>>,
) -> Server {
    let queries = Queries { store: Arc::clone(store), live };
    let projects = settings.projects.clone();
    let server = Server::new(settings, Arc::clone(store));
    let status = Some(about.source(projects, server.counts()));
    let questions = server::api::router(queries, server::api::Settings { status, ..Default::default() });
    server.reading(questions).open(server::page::router())
}

/// How long things stay, and how much of them.
pub fn retention(settings: &config::Settings) -> Retention {
    let days = settings.store.retention.0.as_secs().div_ceil(24 * 3600);
    Retention { days: u32::try_from(days).unwrap_or(u32::MAX), bytes: settings.store.retention_max.0 }
}

/// Removes what is too old, now and then. The thread ends with the process.
pub fn retain(store: Arc<dyn ChunkStore>, settings: &config::Settings) -> anyhow::Result<()> {
    let retention = retention(settings);
    let remove = move || {
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            if let Err(failed) = store.retain(retention, u64::try_from(now.as_micros()).unwrap_or(u64::MAX)) {
                error!(error = %failed, "What is too old cannot be removed; the store grows.");
            }
            std::thread::sleep(RETAIN_EVERY);
        }
    };
    std::thread::Builder::new().name("sp-retain".to_owned()).spawn(remove).context("cannot start a thread")?;
    Ok(())
}

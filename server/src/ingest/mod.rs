//! `POST /api/<project>/envelope/`, as Sentry's SDKs speak it. An answer of 200 means: what was taken is in the store.

mod answer;
mod auth;
mod body;
mod counts;
mod items;
mod quota;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::{Extension, Path, Request, State},
    http::request::Parts,
    middleware,
    response::Response,
    routing::{MethodRouter, post},
};
use profile::wire::envelope;
use store::{
    ChunkStore, StoreError,
    item::{Batch, ProjectId},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{error, warn};

pub use self::counts::{Counts, Tally};
use self::{
    answer::{Answer, NotTaken},
    auth::Client,
    items::Sorted,
    quota::Quotas,
};
use crate::{
    budget::{Budget, Lease},
    connections::Connection,
    settings::{Limits, Settings},
};

/// Requests that are read or in the store's hands at a time, a thread each: so many share one commit.
const APPENDS_MAX: usize = 64;

/// All that the endpoint needs.
#[derive(Debug)]
pub(crate) struct Ingest {
    store: Arc<dyn ChunkStore>,
    projects: auth::Projects,
    limits: Limits,
    budget: Arc<Budget>,
    /// Of those whose headers do not say who they are.
    nameless: Arc<Budget>,
    quotas: Quotas,
    /// What came in so far.
    pub(crate) counts: Arc<Counts>,
    /// Decompressing and parsing take a CPU each.
    parsers: Arc<Semaphore>,
    appends: Arc<Semaphore>,
}

impl Ingest {
    pub(crate) fn new(settings: &Settings, store: Arc<dyn ChunkStore>) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            store,
            projects: auth::Projects::new(&settings.projects),
            limits: settings.limits,
            budget: Budget::new(settings.limits.bytes_in_flight),
            nameless: Budget::new(settings.limits.bytes_in_flight / 4),
            quotas: Quotas::new(&settings.projects),
            counts: Arc::new(Counts::default()),
            parsers: Arc::new(Semaphore::new(cpus)),
            appends: Arc::new(Semaphore::new(APPENDS_MAX)),
        }
    }
}

/// The endpoint, with the slash at its end and without.
pub(crate) fn routes(ingest: Arc<Ingest>) -> Router {
    let endpoint = || -> MethodRouter<Arc<Ingest>> { post(receive).options(|| async { answer::preflight() }) };
    Router::new()
        .route("/api/{project}/envelope/", endpoint())
        .route("/api/{project}/envelope", endpoint())
        .layer(middleware::map_response(|answer| async { answer::allow_browsers(answer) }))
        .with_state(ingest)
}

async fn receive(
    State(ingest): State<Arc<Ingest>>,
    Path(project): Path<String>,
    connection: Option<Extension<Connection>>,
    request: Request,
) -> Response {
    let (parts, mut body) = request.into_parts();
    let taken = take(&ingest, &project, connection.as_deref(), &parts, &mut body).await;
    if let Err(refused) = &taken {
        ingest.counts.answered(refused.status().as_u16());
        // An answer to half a request is lost when the connection is closed on the other half.
        body::discard(&mut body).await;
    }
    taken.map_or_else(NotTaken::answer, Answer::answer)
}

async fn take(
    ingest: &Arc<Ingest>,
    project: &str,
    connection: Option<&Connection>,
    parts: &Parts,
    body: &mut Body,
) -> Result<Answer, NotTaken> {
    let project = project.parse::<u64>().map_err(|_| NotTaken::BadRequest("project is not a number".to_owned()))?;
    // Until the body is there, the connection waits for its client.
    if let Some(connection) = connection {
        connection.wait();
    }
    let client = auth::client(parts)?;
    if let Some(client) = &client {
        ingest.projects.check(project, &client.key)?;
    }
    let encoding = body::Encoding::of(&parts.headers)?;
    let mut lease = if client.is_some() { &ingest.budget } else { &ingest.nameless }.lease();
    let sent = body::collect(body, encoding, &ingest.limits, &mut lease).await?;
    if let Some(connection) = connection {
        connection.work();
    }
    let user_agent = auth::user_agent(&parts.headers);
    // In this order: who has a CPU waits for no place.
    let place = permit(&ingest.appends).await?;
    let cpu = permit(&ingest.parsers).await?;
    in_a_thread({
        let ingest = Arc::clone(ingest);
        move || {
            let (sorted, _lease) = read(&ingest, project, client, user_agent, encoding, sent, lease)?;
            drop(cpu);
            let kept = keep(&ingest, project, sorted);
            drop(place);
            kept
        }
    })
    .await?
}

async fn permit(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, NotTaken> {
    Arc::clone(of).acquire_owned().await.map_err(|_| NotTaken::Overloaded)
}

/// Decompresses and takes apart.
fn read(
    ingest: &Ingest,
    project: u64,
    client: Option<Client>,
    user_agent: Option<String>,
    encoding: body::Encoding,
    sent: Vec<u8>,
    mut lease: Lease,
) -> Result<(Sorted, Lease), NotTaken> {
    let bytes = body::decode(sent, encoding, &ingest.limits, &mut lease)?;
    let envelope = match (envelope::parse(&bytes), &client) {
        (Ok(envelope), _) => envelope,
        (Err(error), None) => return Err(NotTaken::of_envelope(&error)),
        // Its key was right: it is one of ours.
        (Err(error), Some(client)) => {
            let name = client.name.as_deref().or(user_agent.as_deref()).unwrap_or_default();
            return Ok((items::broken(ProjectId(project), name, &error, &bytes, now_us()), lease));
        }
    };
    let client = auth::with_envelope(project, client, &envelope)?;
    ingest.projects.check(project, &client.key)?;
    let oversized = envelope.items.iter().find(|item| item.payload.len() > profile::wire::limits::ITEM_BYTES_MAX);
    if let Some(item) = oversized {
        return Err(NotTaken::TooLarge(format!("item of type {:?} has {} bytes", item.kind(), item.payload.len())));
    }
    let name = client.name.or(user_agent).unwrap_or_default();
    let sorted = items::sort(ProjectId(project), &name, &envelope, &bytes, now_us(), &ingest.quotas);
    Ok((sorted, lease))
}

/// In the store, or not taken.
fn keep(ingest: &Ingest, project: u64, sorted: Sorted) -> Result<Answer, NotTaken> {
    let Sorted { batch, answer, tally, failed } = sorted;
    if !is_empty(&batch)
        && let Err(failed) = append(ingest.store.as_ref(), batch)
    {
        let cause = std::error::Error::source(&failed).map(ToString::to_string).unwrap_or_default();
        error!(project, error = %failed, cause, "An envelope could not be kept; its sender was told.");
        return Err(NotTaken::StoreFailed);
    }
    ingest.counts.add(&tally);
    if let Some(failed) = failed {
        return Err(failed);
    }
    ingest.counts.answered(200);
    Ok(answer)
}

/// Into the store. A profile that is too large for it is refused like any other that we cannot take.
fn append(store: &dyn ChunkStore, batch: Batch) -> Result<(), StoreError> {
    // Most envelopes hold one chunk and nothing else: no copy for what never happens.
    let (again, alone) = match batch.profiles.as_slice() {
        [(project, one)] if is_one_profile(&batch) => (None, Some((*project, one.head.chunk_id))),
        _ => (Some(batch.clone()), None),
    };
    match (store.append(batch), again, alone) {
        (Err(StoreError::TooLarge(detail)), _, Some((project, chunk_id))) => {
            let refused = vec![items::too_large(project, chunk_id, detail, now_us())];
            store.append(Batch { refused, ..Batch::default() }).map(drop)
        }
        (Err(StoreError::TooLarge(_)), Some(batch), _) => append_apart(store, batch),
        (appended, ..) => appended.map(drop),
    }
}

/// Each profile for itself, then the rest.
fn append_apart(store: &dyn ChunkStore, batch: Batch) -> Result<(), StoreError> {
    let Batch { profiles, transactions, spans, refused } = batch;
    for profile in profiles {
        append(store, Batch { profiles: vec![profile], ..Batch::default() })?;
    }
    store.append(Batch { transactions, spans, refused, ..Batch::default() }).map(drop)
}

fn is_one_profile(batch: &Batch) -> bool {
    batch.profiles.len() == 1 && batch.transactions.is_empty() && batch.spans.is_empty() && batch.refused.is_empty()
}

fn is_empty(batch: &Batch) -> bool {
    batch.profiles.is_empty() && batch.transactions.is_empty() && batch.spans.is_empty() && batch.refused.is_empty()
}

/// Work that takes a CPU or waits for a disk.
async fn in_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotTaken> {
    tokio::task::spawn_blocking(work).await.map_err(|failed| {
        // A bug, or the end of the process.
        warn!(%failed, "A request was given up.");
        NotTaken::StoreFailed
    })
}

fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

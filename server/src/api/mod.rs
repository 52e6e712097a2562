//! Questions over HTTP: `/api/v1/...`, described by `openapi.json` beside this crate. Reads the store and changes nothing.
//! What the questions mean is `store::query`'s; this is their names, their parameters and their JSON.

mod answers;
mod error;
mod export;
mod local;
mod parameters;
mod reply;
mod routes;
mod spans;
pub mod status;
mod time;
mod view;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    extract::{RawPathParams, RawQuery, State, rejection::RawPathParamsRejection},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use store::query::Queries;
use tokio::sync::Semaphore;
use tower_http::compression::{
    CompressionLayer, CompressionLevel,
    predicate::{NotForContentType, Predicate, SizeAbove},
};

use self::{error::ApiError, parameters::Parameters, reply::Reply, routes::Route, status::StatusSource};
pub use self::{
    error::refuse,
    export::Format,
    local::{Local, Taker},
};

/// Where it hangs. Sentry's own paths are `/api/0/...` and `/api/PROJECT/...`, the project a number.
pub const PREFIX: &str = "/api/v1";

/// Its description, OpenAPI 3.1.
pub const OPENAPI: &str = include_str!("../../openapi.json");

/// Questions that may wait for their turn; more are told to come again. A page asks about ten at once.
const WAITING_MAX: usize = 256;

/// Answers below are not worth the work, bytes.
const COMPRESSED_MIN: u64 = 860;

/// How the questions are answered.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Questions that are worked on at once: each takes a thread and the memory of its answer.
    pub at_once: usize,
    /// What the server says of itself; `None`: there is no server, only a store.
    pub status: Option<StatusSource>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { at_once: 4, status: None }
    }
}

/// All that a question needs.
#[derive(Debug)]
struct Api {
    queries: Queries,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    status: Option<StatusSource>,
}

/// The routes below [`PREFIX`], ready to be merged into a server's, which says who may ask.
pub fn router(queries: Queries, settings: Settings) -> Router {
    let turns = Arc::new(Semaphore::new(settings.at_once.max(1)));
    let api = Arc::new(Api { queries, turns, waiting: AtomicUsize::new(0), status: settings.status });
    let mut routes: Router<Arc<Api>> = Router::new().route("/openapi.json", get(openapi)).route("/status", get(status));
    for route in routes::ROUTES {
        let answer = move |state, path, query| answer(route, state, path, query);
        routes = routes.route(route.path, get(answer));
    }
    let routes = routes
        .method_not_allowed_fallback(|| async { ApiError::Method.into_response() })
        .fallback(no_route)
        .layer(compression())
        .with_state(api);
    // The bare prefix with a slash is no path of the nested ones.
    Router::new().nest(PREFIX, routes).route(&format!("{PREFIX}/"), any(no_route))
}

async fn no_route() -> Response {
    ApiError::NoRoute.into_response()
}

/// By `Accept-Encoding`. Profiles are text that says the same over and over: the fastest level makes a tenth of it.
fn compression() -> CompressionLayer<impl Predicate> {
    let worth = SizeAbove::new(COMPRESSED_MIN).and(NotForContentType::const_new("application/gzip"));
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth)
}

async fn openapi() -> Response {
    reply::description(OPENAPI)
}

/// Looks at the disk and at processes, so it blocks.
async fn status(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let source = api.status.clone().ok_or_else(|| ApiError::NotKept("the status of a server".to_owned()))?;
    let turn = turn(&api).await?;
    let work = move || Reply::json(&(source.0)()).map(|reply| (reply, turn));
    let (reply, _turn) = tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::Broken)??;
    Ok(reply.into_response())
}

async fn answer(
    route: &'static Route,
    State(api): State<Arc<Api>>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    let answered = async {
        let path = path.map_err(|_| ApiError::parameter("path", "is no text", "write it in UTF-8"))?;
        let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let parameters = Parameters::parse(route.parameters, path, query.as_deref().unwrap_or_default())?;
        work(Arc::clone(&api), route, parameters).await
    };
    answered.await.unwrap_or_else(IntoResponse::into_response)
}

/// On a thread that may block, when it is its turn. Who hangs up meanwhile leaves the turn to be used up: no more work goes
/// on at once than is allowed.
async fn work(api: Arc<Api>, route: &'static Route, parameters: Parameters) -> Result<Response, ApiError> {
    let turn = turn(&api).await?;
    let job = move || (route.answer)(&api.queries, &parameters, turn);
    let replied = tokio::task::spawn_blocking(job).await.map_err(|_| ApiError::Broken)??;
    Ok(replied.into_response())
}

/// The right to be worked on; given back when it is dropped.
type Turn = tokio::sync::OwnedSemaphorePermit;

async fn turn(api: &Api) -> Result<Turn, ApiError> {
    let _waiting = Waiting::begin(&api.waiting)?;
    Arc::clone(&api.turns).acquire_owned().await.map_err(|_| ApiError::Broken)
}

/// Counts who waits, also those who give up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Result<Self, ApiError> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) < WAITING_MAX { Ok(waiting) } else { Err(ApiError::Busy) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;

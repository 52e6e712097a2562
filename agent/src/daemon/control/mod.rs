//! The control socket: HTTP over a unix socket, in a thread of its own. What is asked goes to the main thread, which alone
//! knows the targets; who asks is what the kernel says.

mod listen;
pub(crate) mod peer;
mod throttle;
pub(crate) mod told;

use std::{
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use anyhow::Context;
use axum::{
    Extension, Json, Router,
    extract::{
        Path as PathOf, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use nix::sys::eventfd::EventFd;
use sampler::sys::thread_cpu_ns;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;
use tracing::{error, warn};
use uuid::Uuid;

use self::{
    listen::Socket,
    peer::Peer,
    told::{Ask, Looked, Refusal, Registration},
};
use crate::shelf::{Dropped, Fetched, Made, Shelf};

/// A body of a client's options is some hundred bytes.
const BODY_MAX: usize = 64 << 10;
/// And comes with its head.
const BODY_TIME: Duration = Duration::from_secs(5);
/// A client asks for changes for so long at most.
const WAIT_MAX_S: u64 = 60;
/// The main thread answers within milliseconds, or is being ended.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What a request needs: the way to the main thread.
#[derive(Clone, Debug)]
struct Desk {
    asks: mpsc::SyncSender<Ask>,
    bell: Arc<EventFd>,
    shelf: Arc<Shelf>,
    /// How often somebody asked for what only root may.
    refused: Arc<AtomicU64>,
    /// CPU time of the thread that serves, nanoseconds.
    cpu: Arc<AtomicU64>,
}

/// Requests that wait for the main thread at most.
const ASKS_MAX: usize = 1024;

/// The main thread's end: what is asked, and a descriptor that shows that something is.
#[derive(Debug)]
pub(crate) struct Asks {
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) bell: Arc<EventFd>,
    /// CPU time of the thread that serves, nanoseconds.
    pub(crate) cpu: Arc<AtomicU64>,
}

/// Starts the thread that serves the socket at `path` and, if wanted, metrics in Prometheus' text format at an address.
pub(crate) fn start(path: &Path, metrics: Option<std::net::SocketAddr>, shelf: Arc<Shelf>) -> anyhow::Result<Asks> {
    let socket =
        Socket::bind(path).with_context(|| format!("cannot listen on the control socket {}", path.display()))?;
    let metrics = metrics.map(listen_for_metrics).transpose()?;
    let bell = Arc::new(
        EventFd::from_flags(nix::sys::eventfd::EfdFlags::EFD_NONBLOCK | nix::sys::eventfd::EfdFlags::EFD_CLOEXEC)
            .context("cannot make an event descriptor")?,
    );
    let (asks, received) = mpsc::sync_channel(ASKS_MAX);
    let cpu = Arc::new(AtomicU64::new(0));
    let desk = Desk { asks, bell: Arc::clone(&bell), shelf, refused: Arc::default(), cpu: Arc::clone(&cpu) };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?;
    let serve = move || {
        let ended = runtime.block_on(async move {
            tokio::spawn(tell_cpu(Arc::clone(&desk.cpu)));
            if let Some(listener) = metrics {
                tokio::spawn(serve_metrics(listener, desk.clone()));
            }
            listen::serve(socket, router(desk)).await
        });
        if let Err(error) = ended {
            error!(%error, "The control socket is not served any more.");
        }
    };
    std::thread::Builder::new()
        .name("sp-control".to_owned())
        .spawn(serve)
        .context("cannot start the control thread")?;
    Ok(Asks { asks: received, bell, cpu })
}

/// What serving costs is nothing that a target costs.
async fn tell_cpu(cpu: Arc<AtomicU64>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        cpu.store(thread_cpu_ns(), Ordering::Relaxed);
    }
}

fn listen_for_metrics(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address} for metrics"))?;
    listener.set_nonblocking(true).context("cannot listen for metrics")?;
    Ok(listener)
}

async fn serve_metrics(listener: TcpListener, desk: Desk) {
    let app = Router::new().route("/metrics", get(metrics)).with_state(desk);
    let served = async { axum::serve(tokio::net::TcpListener::from_std(listener)?, app).await };
    if let Err(error) = served.await {
        warn!(%error, "Metrics are not served any more.");
    }
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/v1/self", post(register).get(look))
        .route("/v1/self/start", post(async |state, peer| run_self(state, peer, true).await))
        .route("/v1/self/stop", post(async |state, peer| run_self(state, peer, false).await))
        .route("/v1/self/profiles/{id}", get(fetch))
        .route("/v1/status", get(status))
        .route("/v1/targets", get(targets))
        .route("/v1/targets/{pid}/start", post(async |state, peer, pid| run_other(state, peer, pid, true).await))
        .route("/v1/targets/{pid}/stop", post(async |state, peer, pid| run_other(state, peer, pid, false).await))
        .route("/v1/reload", post(reload))
        .fallback(async || refuse(&Refusal::new(404, "no such path", "docs/control.md lists what there is")))
        .method_not_allowed_fallback(async || {
            refuse(&Refusal::new(405, "no such method here", "docs/control.md lists what there is"))
        })
        .with_state(desk)
}

impl Desk {
    /// Asks the main thread.
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Refusal> {
        let busy = || Refusal::new(503, "the agent is ending, or has too much to do", "try again later");
        let (reply, answer) = oneshot::channel();
        self.asks.try_send(ask(reply)).map_err(|_| busy())?;
        // Fails only where the bell rings already.
        let _ = self.bell.write(1);
        match tokio::time::timeout(ANSWER_MAX, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(busy()),
        }
    }
}

async fn register(State(desk): State<Desk>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    let body = match body(request).await {
        Ok(body) => body,
        Err(refusal) => return refuse(&refusal),
    };
    let wrong = |error: serde_json::Error| {
        Refusal::new(400, format!("the body is not what it should be: {error}"), "see docs/control.md")
    };
    let registration: Registration = match serde_json::from_slice(&body) {
        Ok(registration) => registration,
        Err(error) => return refuse(&wrong(error)),
    };
    answer(desk.ask(|reply| Ask::Register(peer, Box::new(registration), reply)).await.and_then(|looked| looked))
}

/// All of a body, if it is short and comes soon.
async fn body(request: Request) -> Result<axum::body::Bytes, Refusal> {
    let too_long = || Refusal::new(413, "the body is too long", "64 KiB are enough for all options");
    let length = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_MAX) {
        return Err(too_long());
    }
    match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(request.into_body(), BODY_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(too_long()),
        Err(_) => Err(Refusal::new(408, "the body did not come in time", "send it with its head")),
    }
}

fn answer(looked: Looked) -> Response {
    match looked {
        Ok((answer, _)) => Json(answer).into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

/// How long is waited.
#[derive(Debug, Deserialize)]
struct Wait {
    after: Option<u64>,
    wait: Option<f64>,
}

impl Wait {
    fn limit(&self) -> Duration {
        let seconds = self.wait.filter(|seconds| seconds.is_finite()).unwrap_or(0.0);
        #[allow(clippy::cast_precision_loss, reason = "a minute")]
        Duration::from_secs_f64(seconds.clamp(0.0, WAIT_MAX_S as f64))
    }
}

/// A query or part of a path that is not what it should be.
fn no(rejection: impl std::fmt::Display) -> Response {
    refuse(&Refusal::new(400, rejection.to_string(), "docs/control.md says what there may be"))
}

async fn look(
    State(desk): State<Desk>,
    Extension(peer): Extension<Peer>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Response, Response> {
    let Query(wait) = wait.map_err(no)?;
    let deadline = tokio::time::Instant::now() + wait.limit();
    let ask = || async { desk.ask(|reply| Ask::Look(peer, reply)).await.and_then(|looked| looked) };
    let first = ask().await;
    let (Some(after), Ok((_, changed))) = (wait.after, &first) else { return Ok(answer(first)) };
    loop {
        let told = changed.notified();
        tokio::pin!(told);
        // From here on it is told, also of a change that comes before it is waited for.
        told.as_mut().enable();
        let looked = ask().await;
        let is_new = looked.as_ref().is_ok_and(|(answer, _)| answer.change > after);
        if is_new || looked.is_err() || tokio::time::timeout_at(deadline, told).await.is_err() {
            return Ok(answer(looked));
        }
    }
}

async fn fetch(
    State(desk): State<Desk>,
    Extension(peer): Extension<Peer>,
    id: Result<PathOf<Uuid>, PathRejection>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Response, Response> {
    let (PathOf(id), Query(wait)) = (id.map_err(no)?, wait.map_err(no)?);
    Ok(match desk.shelf.fetch(peer.pid, id, wait.limit()).await {
        Fetched::Made(Made::Profile(profile)) => ([("content-type", "application/json")], profile).into_response(),
        Fetched::Made(Made::TooLittle) => {
            refuse(&Refusal::new(410, "fewer than two ticks were seen of it", "it was too short for a profile"))
        }
        Fetched::Made(Made::Dropped(why)) => dropped(why),
        Fetched::Unknown => {
            refuse(&Refusal::new(404, "no such profile came in time", "it may be late, fetched already, or given up"))
        }
    })
}

/// As a refusal, with the reason for clients that count.
fn dropped(why: Dropped) -> Response {
    let error = "the profile was dropped";
    let hint = "profile fewer transactions; docs/guide/troubleshooting.md has the reasons";
    (StatusCode::GONE, Json(json!({"error": error, "hint": hint, "dropped": why.as_ref()}))).into_response()
}

async fn run_self(state: State<Desk>, Extension(peer): Extension<Peer>, start: bool) -> Response {
    run(state, peer, peer.pid.0, start).await
}

async fn run_other(
    state: State<Desk>,
    Extension(peer): Extension<Peer>,
    pid: Result<PathOf<i32>, PathRejection>,
    start: bool,
) -> Result<Response, Response> {
    let PathOf(pid) = pid.map_err(no)?;
    only_root(&state, peer).map_err(|refusal| refuse(&refusal))?;
    Ok(run(state, peer, pid, start).await)
}

async fn run(State(desk): State<Desk>, peer: Peer, pid: i32, start: bool) -> Response {
    match desk.ask(|reply| Ask::Run(peer, pid, start, reply)).await.and_then(|done| done) {
        Ok(started) => Json(started).into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

fn only_root(desk: &Desk, peer: Peer) -> Result<(), Refusal> {
    if peer.may_do_all() {
        return Ok(());
    }
    let refused = desk.refused.fetch_add(1, Ordering::Relaxed) + 1;
    if refused.is_power_of_two() {
        warn!(pid = peer.pid.0, user = peer.user, refused, "A process asked for what only root may; refused.");
    }
    Err(Refusal::new(
        403,
        "only root may do that",
        "ask as root (sudo) or as the agent's own user, and not from another container; a process may act on itself alone: /v1/self",
    ))
}

async fn status(State(desk): State<Desk>, Extension(peer): Extension<Peer>) -> Response {
    told(&desk, peer, desk.ask(Ask::Status)).await
}

async fn targets(State(desk): State<Desk>, Extension(peer): Extension<Peer>) -> Response {
    told(&desk, peer, desk.ask(Ask::Targets)).await
}

async fn reload(State(desk): State<Desk>, Extension(peer): Extension<Peer>) -> Response {
    told(&desk, peer, async { desk.ask(Ask::Reload).await.and_then(|done| done) }).await
}

async fn told(desk: &Desk, peer: Peer, asked: impl Future<Output = Result<serde_json::Value, Refusal>>) -> Response {
    if let Err(refusal) = only_root(desk, peer) {
        return refuse(&refusal);
    }
    match asked.await {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

async fn metrics(State(desk): State<Desk>) -> Response {
    match desk.ask(Ask::Metrics).await {
        Ok(text) => ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(json!({"error": refusal.error, "hint": refusal.hint}))).into_response()
}

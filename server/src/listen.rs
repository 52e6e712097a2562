//! Connections: how many, and for how long they may be silent. HTTP/1.1 only: no SDK speaks anything else.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::{
    connections::{Connection, Connections},
    settings::Limits,
    shutdown::Shutdown,
};

/// No descriptor is left: others have to be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A request line with headers; SDKs send a few hundred bytes, a page's cookies some thousand.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// Takes connections until the end is asked for, then lets requests that are running finish.
pub(crate) async fn serve(listener: TcpListener, app: Router, limits: Limits, mut shutdown: Shutdown) {
    let connections = Arc::new(Connections::default());
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut running = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.asked() => break,
            accepted = accept(&listener, &connections, &permits) => accepted,
            Some(_) = running.join_next(), if !running.is_empty() => continue,
        };
        match accepted {
            Ok((stream, permit)) => {
                let connection = connections.open();
                running.spawn(run(stream, permit, connection, app.clone(), limits, shutdown.clone()));
            }
            // Most often: no descriptors.
            Err(error) => {
                warn!(%error, "A connection could not be taken.");
                connections.close_oldest();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(limits.drain_time, async { while running.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        warn!(connections = running.len(), "Requests did not end in time; their connections were closed.");
    }
}

/// The right to have one more connection, and the connection; the one that has waited for longest goes for it. The right
/// comes first: when this is given up half-way, no connection is lost.
async fn accept(
    listener: &TcpListener,
    connections: &Connections,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        permit
    } else {
        connections.close_oldest();
        Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?
    };
    let (stream, _) = listener.accept().await?;
    // Answers are small and whole.
    let _ = stream.set_nodelay(true);
    Ok((stream, permit))
}

async fn run(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    connection: Connection,
    app: Router,
    limits: Limits,
    mut shutdown: Shutdown,
) {
    let of_request = connection.clone();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        let (app, connection) = (app.clone(), of_request.clone());
        connection.work();
        request.extensions_mut().insert(connection.clone());
        async move {
            let answer = app.oneshot(request.map(axum::body::Body::new) as Request).await;
            connection.wait();
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_buf_size(HEADER_BYTES_MAX);
    let mut stream = TimeoutStream::new(stream);
    // Who takes nothing of an answer would have us keep it.
    stream.set_write_timeout(Some(limits.reader_time));
    let served = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
    tokio::pin!(served);
    let mut ending = false;
    loop {
        tokio::select! {
            end = served.as_mut() => {
                if let Err(error) = end {
                    debug!(%error, "A connection ended early.");
                }
                break;
            }
            () = connection.must_close() => break,
            () = shutdown.asked(), if !ending => {
                ending = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
    drop(permit);
}

//! The HTTP side of the receiver: port, connections, and the ways to fail. What a request is worth is `judge`'s.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use hyper::{
    Response,
    body::{Body, Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
    time::Sleep,
};
use tokio_rustls::TlsAcceptor;

use super::{Answer, Order, Request, Shared, judge, tls::Tls};

/// So that what was written gets out before the connection breaks.
const BREAK_AFTER: Duration = Duration::from_millis(20);

/// Runs until it is told to end.
pub(super) fn serve(
    listener: std::net::TcpListener,
    address: SocketAddr,
    shared: &Arc<Shared>,
    tls: Option<&Tls>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut listener = Some(TcpListener::from_std(listener).expect("the socket is non-blocking"));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Up(up, done)) => {
                        listener = None;
                        connections.shutdown().await;
                        if up {
                            listener = Some(TcpListener::bind(address).await.expect("the port is still free"));
                        }
                        let _ = done.send(());
                    }
                    Some(Order::End) | None => return,
                },
                stream = accept(listener.as_ref()) => {
                    shared.state().connections += 1;
                    connections.spawn(encrypt(stream, tls.map(Tls::acceptor), shared.clone()));
                }
            }
        }
    });
}

async fn accept(listener: Option<&TcpListener>) -> tokio::net::TcpStream {
    match listener {
        Some(listener) => listener.accept().await.expect("loopback accepts").0,
        None => std::future::pending().await,
    }
}

async fn encrypt(stream: tokio::net::TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    match tls {
        None => converse(stream, shared).await,
        Some(tls) => {
            // A client that doesn't trust us ends here.
            if let Ok(stream) = tls.accept(stream).await {
                converse(stream, shared).await;
            }
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, shared.clone()));
    // Connections that we or the client break off are what tests are about.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: hyper::Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Text>> {
    let answer = shared.next_answer();
    let line = format!("{} {}", request.method(), request.uri());
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = request.headers().iter().map(header).collect();
    let mut body = request.into_body();
    if answer == Answer::DieInRequest {
        let first =
            body.frame().await.and_then(Result::ok).and_then(|frame| frame.into_data().ok()).unwrap_or_default();
        let request = Request { refusal: Some("died".to_owned()), ..judge::unread(line, headers, first.to_vec()) };
        shared.record(request);
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let raw = body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
    let judged = judge::judge(line, headers, raw);
    act(answer, Request { at: Instant::now(), ..judged }, &shared).await
}

async fn act(answer: Answer, mut request: Request, shared: &Shared) -> io::Result<Response<Text>> {
    let (status, headers, body) = match answer {
        Answer::Accept | Answer::DieInRequest => (None, Vec::new(), String::new()),
        Answer::AcceptWith(headers) => (None, headers, String::new()),
        Answer::Slow(by) => {
            tokio::time::sleep(by).await;
            (None, Vec::new(), String::new())
        }
        Answer::Refuse { status, headers, body } => (Some(status), headers, body),
        Answer::DieAfterRequest => {
            request.status = None;
            shared.record(request);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Answer::DieInAnswer => {
            shared.record(Request { status: Some(503), refusal: Some("died".to_owned()), ..request });
            let text = Text { left: Some("half of".into()), breaks: Some(Box::pin(tokio::time::sleep(BREAK_AFTER))) };
            return Ok(response(503, &[("content-length", "100".to_owned())], text));
        }
        Answer::Babble => {
            shared.record(request);
            return Ok(response(200, &[], Text { left: Some(vec![0xff; 1 << 20].into()), breaks: None }));
        }
        Answer::Silence => {
            shared.record(Request { status: None, refusal: Some("silent".to_owned()), ..request });
            return std::future::pending().await;
        }
    };
    if let Some(status) = status {
        request.status = Some(status);
        request.refusal.get_or_insert_with(|| format!("planned {status}"));
    }
    let status = request.status.unwrap_or(200);
    let body = if body.is_empty() {
        request.refusal.clone().map_or_else(|| "{}".to_owned(), |why| format!("{{\"detail\":\"{why}\"}}"))
    } else {
        body
    };
    shared.record(request);
    Ok(response(status, &headers, Text { left: Some(body.into()), breaks: None }))
}

fn response(status: u16, headers: &[(&'static str, String)], text: Text) -> Response<Text> {
    let builder = Response::builder().status(status);
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, value));
    builder.body(text).expect("the test's headers are headers")
}

/// The text of an answer, which may break off.
struct Text {
    left: Option<Bytes>,
    breaks: Option<Pin<Box<Sleep>>>,
}

impl Body for Text {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(bytes) = self.left.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let Some(breaks) = &mut self.breaks else { return Poll::Ready(None) };
        breaks.as_mut().poll(context).map(|()| Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }
}

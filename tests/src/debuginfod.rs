//! A debuginfod server of one's own on loopback: what it answers to which path is the test's to say. Knows no ELF.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::oneshot};

/// What a path is answered with.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 and these bytes.
    File(Vec<u8>),
    /// This status, and a `Location` if it is not empty.
    Status(u16, String),
    /// The same as another, but later.
    After(Duration, Box<Reply>),
}

/// The server. Ends with this value.
#[derive(Debug)]
pub struct Debuginfod {
    address: SocketAddr,
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    replies: Mutex<HashMap<String, Reply>>,
    /// Path, and `Authorization` if there was one.
    requests: Mutex<Vec<String>>,
}

impl Debuginfod {
    /// Listens on a free port. All paths answer 404.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let (end, ended) = oneshot::channel();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, serving) => {}
                    _ = ended => {}
                }
            });
        });
        Self { address, shared, end: Some(end), thread: Some(thread) }
    }

    /// `http://127.0.0.1:PORT`, with a user and a password in it, if there are any.
    pub fn url(&self, user: &str) -> String {
        format!("http://{user}{}", self.address)
    }

    /// What to answer when that build's debug file is asked for.
    pub fn has(&self, build_id: &str, reply: Reply) {
        self.set(&format!("/buildid/{build_id}/debuginfo"), reply);
    }

    /// What to answer to a path.
    pub fn set(&self, path: &str, reply: Reply) {
        self.shared.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), reply);
    }

    /// Paths asked for so far, each with the credentials that came along.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Debuginfod {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("the socket is non-blocking");
    loop {
        let (stream, _) = listener.accept().await.expect("loopback accepts");
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            // Connections that the client breaks off are what tests are about.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let credentials = request.headers().get("authorization").map(|value| format!(" {}", value.to_str().unwrap_or("?")));
    let seen = path.clone() + &credentials.unwrap_or_default();
    shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    let mut reply = shared.replies.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
    while let Some(Reply::After(by, later)) = reply {
        tokio::time::sleep(by).await;
        reply = Some(*later);
    }
    let (status, location, body) = match reply {
        Some(Reply::File(bytes)) => (200, String::new(), bytes),
        Some(Reply::Status(status, location)) => (status, location, Vec::new()),
        _ => (404, String::new(), b"Not found".to_vec()),
    };
    let response = Response::builder().status(status);
    let response = if location.is_empty() { response } else { response.header("location", location) };
    Ok(response.body(Full::new(body.into())).expect("the test's headers are headers"))
}

//! A server that takes envelopes as Relay does, over real HTTP/1.1 on loopback: checks path, auth and framing, judges chunks by
//! Relay's rules, remembers every byte, and fails in every way that a test asks for. Sends nothing on its own.
//!
//! ```no_run
//! # use tests::receiver::{Answer, Receiver};
//! let receiver = Receiver::start();
//! receiver.plan([Answer::status(503), Answer::DieInRequest]); // for the next two requests; then Answer::Accept
//! // ... run something with receiver.dsn() ...
//! let chunks = receiver.chunks(); // in order of arrival, each once; fails if one came twice with other bytes
//! ```

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

mod http;
mod judge;
mod tls;

/// The key that is let in.
pub const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The project that is there.
pub const PROJECT: &str = "42";

/// Where a proxy may have put the server: requests below it are taken too.
pub const PREFIX: &str = "/sentry/eu";

/// A test that waits longer has failed.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// What to do with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// 200 if it is in order; else what Relay answers.
    Accept,
    /// 200 if it is in order, with these headers.
    AcceptWith(Vec<(&'static str, String)>),
    /// This status, whatever came. Nothing is taken.
    Refuse {
        /// The status.
        status: u16,
        /// More headers.
        headers: Vec<(&'static str, String)>,
        /// The text.
        body: String,
    },
    /// Closes the connection after the first bytes of the body.
    DieInRequest,
    /// Takes what came, then closes the connection without an answer.
    DieAfterRequest,
    /// Answers 503 with half of the text that it promised.
    DieInAnswer,
    /// As [`Answer::Accept`], but only after this time.
    Slow(Duration),
    /// Reads everything, never answers. Nothing is taken.
    Silence,
    /// Takes what came, and answers 200 with a megabyte that is no text.
    Babble,
}

impl Answer {
    /// A bare status.
    pub fn status(status: u16) -> Self {
        Self::Refuse { status, headers: Vec::new(), body: String::new() }
    }

    /// A status with one header.
    pub fn with(status: u16, name: &'static str, value: &str) -> Self {
        Self::Refuse { status, headers: vec![(name, value.to_owned())], body: String::new() }
    }
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// When its body had come.
    pub at: Instant,
    /// Method and target, as in the first line.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came over the wire.
    pub raw: Vec<u8>,
    /// The envelope, decompressed; empty if that failed.
    pub envelope: Vec<u8>,
    /// The status that was answered; `None` if none was.
    pub status: Option<u16>,
    /// Why it was not taken, in words, if it was not.
    pub refusal: Option<String>,
    /// The chunk in it, whether or not it was taken.
    pub chunk: Option<Chunk>,
    /// The client report in it.
    pub report: Option<Value>,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A chunk that came.
#[derive(Clone, PartialEq, Debug)]
pub struct Chunk {
    /// From its payload.
    pub chunk_id: String,
    /// From its item header.
    pub platform: String,
    /// The bytes.
    pub payload: Vec<u8>,
    /// What Relay would drop or refuse of it.
    pub refusals: Vec<String>,
}

impl Chunk {
    /// The payload.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).expect("a payload that was judged is JSON")
    }
}

/// The server. It ends with this value.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    orders: mpsc::UnboundedSender<Order>,
    tls: Option<tls::Tls>,
    thread: Option<JoinHandle<()>>,
}

/// What the server's thread and the test share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    planned: VecDeque<Answer>,
    usual: Option<Answer>,
    requests: Vec<Request>,
    /// Connections that were accepted.
    connections: usize,
}

/// Open or close the port; the answer comes when that is done.
#[derive(Debug)]
enum Order {
    Up(bool, oneshot::Sender<()>),
    End,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_answer(&self) -> Answer {
        let mut state = self.state();
        state.planned.pop_front().or_else(|| state.usual.clone()).unwrap_or(Answer::Accept)
    }

    fn record(&self, request: Request) {
        self.state().requests.push(request);
        self.changed.notify_all();
    }
}

impl Receiver {
    /// Listens on a free port of loopback.
    pub fn start() -> Self {
        Self::serve(Ipv4Addr::LOCALHOST.into(), None).expect("loopback has a free port")
    }

    /// The same on IPv6; `None` where there is none.
    pub fn start_v6() -> Option<Self> {
        Self::serve(Ipv6Addr::LOCALHOST.into(), None).ok()
    }

    /// The same with TLS, for clients that trust [`Receiver::certificate`].
    pub fn start_tls() -> Self {
        Self::serve(Ipv4Addr::LOCALHOST.into(), Some(tls::Tls::new())).expect("loopback has a free port")
    }

    fn serve(at: IpAddr, tls: Option<tls::Tls>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((at, 0))?;
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let (shared, (orders, ordered)) = (Arc::new(Shared::default()), mpsc::unbounded_channel());
        let (serving, showing) = (shared.clone(), tls.clone());
        let thread = std::thread::spawn(move || http::serve(listener, address, &serving, showing.as_ref(), ordered));
        Ok(Self { shared, address, orders, tls, thread: Some(thread) })
    }

    /// Listens on a port where nothing listens yet.
    pub fn start_down() -> Self {
        let receiver = Self::start();
        receiver.set_up(false);
        receiver
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What lets a client in.
    pub fn dsn(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{KEY}@{}/{PROJECT}", self.address)
    }

    /// The same below [`PREFIX`].
    pub fn dsn_with_prefix(&self) -> String {
        format!("http://{KEY}@{}{PREFIX}/{PROJECT}", self.address)
    }

    /// Its certificate as PEM: what the file named by `SSL_CERT_FILE` must hold. Empty without TLS.
    pub fn certificate(&self) -> &str {
        self.tls.as_ref().map_or("", tls::Tls::pem)
    }

    /// Closes the port and every connection, or opens it again.
    pub fn set_up(&self, up: bool) {
        let (done, wait) = oneshot::channel();
        self.orders.send(Order::Up(up, done)).expect("the server runs");
        wait.blocking_recv().expect("the server runs");
    }

    /// What to do with the next requests, one each.
    pub fn plan(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.state().planned.extend(answers);
    }

    /// What to do with requests that nothing is planned for.
    pub fn usually(&self, answer: Answer) {
        self.shared.state().usual = Some(answer);
    }

    /// How many planned answers nobody has got yet.
    pub fn planned(&self) -> usize {
        self.shared.state().planned.len()
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// Waits until as many requests have come. Fails after 20 s.
    pub fn wait_for_requests(&self, many: usize) -> Vec<Request> {
        self.wait(|requests| requests.len() >= many);
        self.requests()
    }

    /// Waits until as many different chunks were taken, and gives them in order of their first arrival. Fails after 20 s.
    pub fn wait_for_chunks(&self, many: usize) -> Vec<Chunk> {
        self.wait(|requests| distinct(requests).len() >= many);
        self.chunks()
    }

    /// The chunks that were taken, in order of their first arrival.
    ///
    /// # Panics
    /// If one came again with other bytes.
    pub fn chunks(&self) -> Vec<Chunk> {
        distinct(&self.requests())
    }

    /// How often each chunk of [`Receiver::chunks`] came, taken or not.
    pub fn arrivals(&self) -> Vec<usize> {
        let requests = self.requests();
        let ids = requests.iter().filter_map(|request| Some(&request.chunk.as_ref()?.chunk_id));
        let count = |chunk: &Chunk| ids.clone().filter(|id| **id == chunk.chunk_id).count();
        self.chunks().iter().map(count).collect()
    }

    /// The sum of all client reports that were taken: `reason category quantity`, in order.
    pub fn reported(&self) -> Vec<String> {
        judge::sum_reports(
            self.requests().iter().filter(|request| is_taken(request)).filter_map(|request| request.report.as_ref()),
        )
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    fn wait(&self, enough: impl Fn(&[Request]) -> bool) {
        let until = Instant::now() + WAIT_MAX;
        while !enough(&self.requests()) {
            assert!(Instant::now() < until, "waited {WAIT_MAX:?}; so far: {:#?}", summary(&self.requests()));
            let _ = self.shared.changed.wait_timeout(self.shared.state(), Duration::from_millis(100));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Whether the server kept what came, whatever it answered.
fn is_taken(request: &Request) -> bool {
    request.refusal.is_none()
}

fn distinct(requests: &[Request]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut all: Vec<Chunk> = Vec::new();
    for request in requests {
        let Some(chunk) = &request.chunk else { continue };
        match all.iter().find(|known| known.chunk_id == chunk.chunk_id) {
            Some(known) => assert!(known.payload == chunk.payload, "chunk {} came with other bytes", chunk.chunk_id),
            None => all.push(chunk.clone()),
        }
        if is_taken(request) && !chunks.iter().any(|known| known.chunk_id == chunk.chunk_id) {
            chunks.push(chunk.clone());
        }
    }
    chunks
}

fn summary(requests: &[Request]) -> Vec<String> {
    let id = |request: &Request| request.chunk.as_ref().map_or("no chunk".to_owned(), |chunk| chunk.chunk_id.clone());
    requests.iter().map(|request| format!("{} {:?} {:?}", id(request), request.status, request.refusal)).collect()
}

//! Connections of the control socket: how many a process and a user may have, and how long one may be silent. Knows no
//! route.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{Router, extract::Request, http::HeaderValue};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::{
    peer::{Of, Peer},
    throttle::Throttle,
    told::Refusal,
};

/// Of one process: its client has one, and one that waits for changes.
const OF_PROCESS_MAX: usize = 4;
/// Of one user: a host has some hundred workers of a service.
const OF_USER_MAX: usize = 1024;
/// Of all.
const ALL_MAX: usize = 4096;
/// Until a request's head has come; also the longest that a connection may be idle.
const SILENT_MAX: Duration = Duration::from_secs(75);
/// No descriptor is left: others have to be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// An agent that was killed is gone within this time; until then it seems to listen.
const DYING_MAX: Duration = Duration::from_secs(1);
const DYING_LOOK: Duration = Duration::from_millis(20);
/// Between two that are refused for the number of connections.
const REFUSED_PAUSE: Duration = Duration::from_millis(1);
/// A request line with headers.
const HEADER_BYTES_MAX: usize = 8 << 10;

/// The socket's file. Removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    listener: std::os::unix::net::UnixListener,
}

impl Socket {
    /// Makes it, in place of one that a dead agent left. Everybody may connect: who asks is known, and acts on itself.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let in_use = || io::Error::new(io::ErrorKind::AddrInUse, "another agent listens there");
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            fs::create_dir_all(folder)?;
        }
        if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
            let began = Instant::now();
            while std::os::unix::net::UnixStream::connect(path).is_ok() {
                if began.elapsed() > DYING_MAX {
                    return Err(in_use());
                }
                std::thread::sleep(DYING_LOOK);
            }
            fs::remove_file(path)?;
        }
        let listener = std::os::unix::net::UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        listener.set_nonblocking(true)?;
        Ok(Self { path: path.to_owned(), listener })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// How many connections there are, by process and user.
#[derive(Debug, Default)]
struct Open(Mutex<HashMap<Of, usize>>);

/// One of them.
#[derive(Debug)]
struct Seat(Arc<Open>, Peer);

impl Open {
    /// Room for one more, if its process, its user and all together may have it. Root's are not counted among those of all, so
    /// that an operator always gets in.
    fn seat(self: &Arc<Self>, peer: Peer) -> Option<Seat> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = Self::keys(peer).all(|(of, max)| open.get(&of).copied().unwrap_or(0) < max);
        if !has_room {
            return None;
        }
        Self::keys(peer).for_each(|(of, _)| *open.entry(of).or_default() += 1);
        Some(Seat(Arc::clone(self), peer))
    }

    fn keys(peer: Peer) -> impl Iterator<Item = (Of, usize)> {
        Of::each(peer).map(|of| match of {
            Of::Process(_) => (of, OF_PROCESS_MAX),
            Of::User(0) | Of::All => (of, ALL_MAX),
            Of::User(_) => (of, OF_USER_MAX),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (of, _) in Open::keys(self.1) {
            if let Some(count) = open.get_mut(&of) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&of);
                }
            }
        }
    }
}

/// Takes connections for ever.
pub(crate) async fn serve(socket: Socket, app: Router) -> io::Result<()> {
    let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
    let (open, throttle) = (Arc::new(Open::default()), Arc::new(Throttle::default()));
    let mut refused = 0_u64;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "A connection to the control socket could not be taken.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(peer) = Peer::of(&stream) else { continue };
        if let Some(seat) = open.seat(peer) {
            tokio::spawn(run(stream, seat, app.clone(), Arc::clone(&throttle)));
        } else {
            // Whoever connects again and again does not get all of our time.
            tokio::time::sleep(REFUSED_PAUSE).await;
            refused += 1;
            if refused.is_power_of_two() {
                warn!(
                    pid = peer.pid.0,
                    user = peer.user,
                    refused,
                    "Too many connections to the control socket; refused."
                );
            }
        }
    }
}

async fn run(stream: UnixStream, seat: Seat, app: Router, throttle: Arc<Throttle>) {
    let peer = seat.1;
    // A connection counts as a request: making one costs as much.
    tokio::time::sleep(throttle.wait(peer, Instant::now())).await;
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (app, throttle) = (app.clone(), Arc::clone(&throttle));
        async move {
            tokio::time::sleep(throttle.wait(peer, Instant::now())).await;
            if peer.is_still() {
                return app.oneshot(request.map(axum::body::Body::new) as Request).await;
            }
            let hint = "it has another program or user now; connect again";
            let mut refused = super::refuse(&Refusal::new(403, "the process that asks is not what connected", hint));
            refused.headers_mut().insert("connection", HeaderValue::from_static("close"));
            Ok(refused)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SILENT_MAX).max_buf_size(HEADER_BYTES_MAX);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        debug!(pid = peer.pid.0, %error, "A connection to the control socket ended early.");
    }
    drop(seat);
}

#[cfg(test)]
mod tests {
    use super::{super::peer::tests::peer, *};

    /// Check that a process and a user have bounds of their own, that root always gets in, and that room comes back.
    #[test]
    fn seats() {
        let open = Arc::new(Open::default());
        let mut mine: Vec<Seat> = (0..OF_PROCESS_MAX).map(|_| open.seat(peer(1, 1000)).unwrap()).collect();
        assert!(open.seat(peer(1, 1000)).is_none() && open.seat(peer(2, 1000)).is_some());
        mine.pop();
        assert!(open.seat(peer(1, 1000)).is_some());
        let many: Vec<Seat> =
            (10..5000).flat_map(|pid| [(); 3].map(|()| open.seat(peer(pid, 1000)))).flatten().collect();
        assert_eq!(mine.len() + many.len(), OF_USER_MAX);
        assert!(open.seat(peer(2, 1000)).is_none() && open.seat(peer(2, 1001)).is_some());
        let others: Vec<Option<Seat>> =
            (0..5000).zip(0_u32..).map(|(pid, number)| open.seat(peer(10_000 + pid, 2000 + number / 500))).collect();
        assert_eq!(others.iter().flatten().count(), ALL_MAX - OF_USER_MAX);
        assert!(open.seat(peer(3, 0)).is_some());
        drop((mine, many, others));
        assert!(open.0.lock().unwrap().is_empty());
    }

    /// Check that the socket takes the place of a dead agent's, and leaves a living one's.
    #[test]
    fn binding() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/control.sock");
        let first = Socket::bind(&path).unwrap();
        assert_eq!(Socket::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        drop(first);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(Socket::bind(&path).is_ok());
        fs::write(&path, "mine").unwrap();
        assert!(Socket::bind(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}

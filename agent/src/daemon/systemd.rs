//! What systemd is told: that we are ready, what we do, that we live (`sd_notify(3)`, the protocol of `NOTIFY_SOCKET`). Where it
//! does not ask, nothing is told.

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::{Duration, Instant},
};

use sampler::sys::monotonic_ns;
use tracing::warn;

/// The service manager, if there is one that asks.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that we live.
    every: Option<Duration>,
    told: Instant,
}

impl Manager {
    /// By the environment.
    pub(crate) fn new() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let socket = variable("NOTIFY_SOCKET").and_then(|path| {
            connected(&path).inspect_err(|error| warn!(%error, "systemd's socket cannot be reached.")).ok()
        });
        let ours = variable("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let limit = variable("WATCHDOG_USEC").filter(|_| ours).and_then(|text| text.parse::<u64>().ok());
        // Half of the limit, as sd_watchdog_enabled(3) advises.
        let every = limit.map(|limit| Duration::from_micros(limit / 2));
        Self { socket, every, told: Instant::now() }
    }

    /// We profile.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The settings are being read again; [`Self::ready`] follows.
    pub(crate) fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns() / 1000));
    }

    /// We are about to end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// A line for `systemctl status`.
    pub(crate) fn status(&self, text: &str) {
        self.tell(&format!("STATUS={text}"));
    }

    /// We live; as often as it wants to hear it.
    pub(crate) fn alive(&mut self) {
        if self.every.is_some_and(|every| self.told.elapsed() >= every) {
            self.told = Instant::now();
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket {
            // A manager that does not listen is none.
            let _ = socket.send(what.as_bytes());
        }
    }
}

fn connected(path: &str) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the words that a manager gets, by path and by abstract name.
    #[test]
    fn words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("sentry-profiled-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let listeners = [
            (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}"), UnixDatagram::bind_addr(&abstract_name).unwrap()),
        ];
        for (address, listener) in listeners {
            let socket = connected(&address).ok();
            let mut manager = Manager { socket, every: Some(Duration::ZERO), told: Instant::now() };
            manager.ready();
            manager.status("2 targets");
            manager.alive();
            let mut buffer = [0; 100];
            let words = [(); 3].map(|()| {
                let read = listener.recv(&mut buffer).unwrap();
                String::from_utf8_lossy(&buffer[..read]).into_owned()
            });
            assert_eq!(words, ["READY=1", "STATUS=2 targets", "WATCHDOG=1"]);
        }
    }
}

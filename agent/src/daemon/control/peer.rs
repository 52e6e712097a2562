//! Who speaks on a connection: what the kernel says, asked once. Trusts nothing that is sent.

use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use profile::id::Pid;
use sampler::procfs;

/// The process at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    /// In our pid namespace. 0: it is in none that we see.
    pub(crate) pid: Pid,
    /// Clock ticks after boot at which it began: the pid alone may be another's later.
    pub(crate) start_time: u64,
    /// In our user namespace.
    pub(crate) user: u32,
}

impl Peer {
    /// Of a connection that was just made. `None`: it has ended already.
    pub(crate) fn of(stream: &impl AsFd) -> Option<Self> {
        let credentials = getsockopt(stream, PeerCredentials).ok()?;
        let pid = Pid(credentials.pid());
        let start_time = if pid.0 > 0 { procfs::process_stat(pid).ok()?.start_time } else { 0 };
        Some(Self { pid, start_time, user: credentials.uid() })
    }

    /// Root, and whoever we run as ourselves.
    pub(crate) fn may_do_all(self) -> bool {
        self.user == 0 || self.user == nix::unistd::geteuid().as_raw()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Check that the peer of our own pair of sockets is ourselves.
    #[test]
    fn ourselves() {
        let (one, _other) = UnixStream::pair().unwrap();
        let own = Pid(i32::try_from(std::process::id()).unwrap());
        let start_time = procfs::process_stat(own).unwrap().start_time;
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer, Peer { pid: own, start_time, user: nix::unistd::geteuid().as_raw() });
        assert!(peer.may_do_all());
    }
}

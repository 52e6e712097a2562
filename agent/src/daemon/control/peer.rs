//! Who speaks on a connection: what the kernel says, asked once. Trusts nothing that is sent.

use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use profile::id::{Pid, Tid};
use sampler::procfs;

use super::super::fleet::lives;
use crate::facts::{Program, program_of};

/// The process at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    /// In our pid namespace. 0: it is in none that we see.
    pub(crate) pid: Pid,
    /// Clock ticks after boot at which it began: the pid alone may be another's later.
    pub(crate) start_time: u64,
    /// In our user namespace.
    pub(crate) user: u32,
    /// It is in our own pid namespace, not in one below it.
    is_near: bool,
    /// What it ran as it connected, and as whom: an exec may give it rights that it had not, while another process still has its
    /// end of the connection.
    ran: (Option<Program>, Option<[u32; 3]>),
}

impl Peer {
    /// Of a connection that was just made. `None`: it has ended already.
    pub(crate) fn of(stream: &impl AsFd) -> Option<Self> {
        let credentials = getsockopt(stream, PeerCredentials).ok()?;
        let pid = Pid(credentials.pid());
        let start_time = if pid.0 > 0 { procfs::process_stat(pid).ok()?.start_time } else { 0 };
        let is_near = procfs::namespace_pids(pid, Tid(pid.0)).len() == 1;
        Some(Self { pid, start_time, user: credentials.uid(), is_near, ran: runs(pid) })
    }

    /// Root, and whoever we run as ourselves; not that of a container, to which no more than itself belongs.
    pub(crate) fn may_do_all(self) -> bool {
        self.is_near && (self.user == 0 || self.user == nix::unistd::geteuid().as_raw())
    }

    /// Whether it is still the same process, with the same program and rights.
    pub(crate) fn is_still(self) -> bool {
        self.pid.0 == 0 || (lives(self.pid, self.start_time) && runs(self.pid) == self.ran)
    }
}

/// Of whom there may be only so much.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Of {
    Process(i32),
    User(u32),
    /// All users but root, so that an operator always gets in.
    All,
}

impl Of {
    /// Those to whom a peer belongs.
    pub(super) fn each(peer: Peer) -> impl Iterator<Item = Self> {
        let all = (peer.user != 0).then_some(Self::All);
        [Self::Process(peer.pid.0), Self::User(peer.user)].into_iter().chain(all)
    }
}

/// What a process runs, and as whom.
fn runs(pid: Pid) -> (Option<Program>, Option<[u32; 3]>) {
    (program_of(pid), procfs::users(pid, Tid(pid.0)))
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// One that is not there.
    pub(crate) fn peer(pid: i32, user: u32) -> Peer {
        Peer { pid: Pid(pid), start_time: 0, user, is_near: true, ran: (None, None) }
    }

    /// Check that the peer of our own pair of sockets is ourselves, and that one with another program, other rights or another
    /// beginning is not.
    #[test]
    fn ourselves() {
        let (one, _other) = UnixStream::pair().unwrap();
        let own = Pid(i32::try_from(std::process::id()).unwrap());
        let peer = Peer::of(&one).unwrap();
        assert_eq!((peer.pid, peer.user), (own, nix::unistd::geteuid().as_raw()));
        assert!(peer.may_do_all() && peer.is_still());
        assert!(!Peer { is_near: false, ..peer }.may_do_all());
        assert!(!Peer { start_time: peer.start_time + 1, ..peer }.is_still());
        assert!(!Peer { ran: (Some((0, 0)), peer.ran.1), ..peer }.is_still());
        assert!(!Peer { ran: (peer.ran.0, Some([1, 0, 0])), ..peer }.is_still());
    }
}

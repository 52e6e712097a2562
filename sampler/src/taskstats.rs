//! One question for a whole process: how often were its threads put on a CPU? Generic netlink `TASKSTATS`
//! (`include/uapi/linux/taskstats.h`). Needs CAP_NET_ADMIN in the initial user namespace; without it, look per thread.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};
use profile::id::Pid;

const NETLINK_HEADER: usize = 16;
const GENERIC_HEADER: usize = 4;
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const TASKSTATS_CMD_GET: u8 = 1;
const TASKSTATS_CMD_ATTR_TGID: u16 = 2;
const TASKSTATS_TYPE_STATS: u16 = 3;
const TASKSTATS_TYPE_AGGR_TGID: u16 = 5;
/// `offsetof(struct taskstats, cpu_count)`.
const CPU_COUNT: usize = 16;
/// `offsetof(struct taskstats, nvcsw)`, then `nivcsw`.
const SWITCHES: usize = 272;

/// A socket to ask on.
#[derive(Debug)]
pub struct TaskStats {
    socket: OwnedFd,
    family: u16,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// Sums over the process's threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Runs {
    /// How often any of them was put on a CPU.
    pub cpu_count: u64,
    /// How often any of them was taken off.
    pub switches: u64,
}

impl TaskStats {
    /// `None` where the kernel or our rights do not allow it (tried on ourselves).
    pub fn open() -> Option<Self> {
        let socket =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkGeneric).ok()?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).ok()?;
        let timeout = nix::sys::time::TimeVal::new(0, 100_000);
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::ReceiveTimeout, &timeout).ok()?;
        let mut open = Self { socket, family: GENL_ID_CTRL, request: Vec::with_capacity(64), answer: vec![0; 4096] };
        open.family = open.family_id()?;
        let own = Pid(i32::try_from(std::process::id()).ok()?);
        open.runs(own)?;
        Some(open)
    }

    /// `None` when the process is gone or the answer makes no sense.
    pub fn runs(&mut self, pid: Pid) -> Option<Runs> {
        let pid = u32::try_from(pid.0).ok()?;
        let family = self.family;
        let answer = self.ask(family, TASKSTATS_CMD_GET, TASKSTATS_CMD_ATTR_TGID, &pid.to_ne_bytes())?;
        let aggregate = attribute(answer, TASKSTATS_TYPE_AGGR_TGID)?;
        let stats = attribute(aggregate, TASKSTATS_TYPE_STATS)?;
        Some(Runs {
            cpu_count: number(stats, CPU_COUNT)?,
            switches: number(stats, SWITCHES)?.wrapping_add(number(stats, SWITCHES + 8)?),
        })
    }

    fn family_id(&mut self) -> Option<u16> {
        let answer = self.ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, b"TASKSTATS\0")?;
        let id = attribute(answer, CTRL_ATTR_FAMILY_ID)?;
        Some(u16::from_ne_bytes(id.get(..2)?.try_into().ok()?))
    }

    /// Sends one request with one attribute; the attributes of the answer.
    fn ask(&mut self, family: u16, command: u8, kind: u16, value: &[u8]) -> Option<&[u8]> {
        let attribute_len = value.len().checked_add(4)?;
        let total = attribute_len.next_multiple_of(4).checked_add(NETLINK_HEADER + GENERIC_HEADER)?;
        let request = &mut self.request;
        request.clear();
        request.extend(u32::try_from(total).ok()?.to_ne_bytes());
        request.extend(family.to_ne_bytes());
        request.extend(u16::try_from(libc::NLM_F_REQUEST).ok()?.to_ne_bytes());
        request.extend([0; 8]); // sequence, port
        request.extend([command, 1, 0, 0]); // version 1
        request.extend(u16::try_from(attribute_len).ok()?.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend(value);
        request.resize(total, 0);
        send(self.socket.as_raw_fd(), request, MsgFlags::empty()).ok()?;
        let len = recv(self.socket.as_raw_fd(), &mut self.answer, MsgFlags::empty()).ok()?;
        let answer = self.answer.get(..len)?;
        let message_type = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
        if i32::from(message_type) == libc::NLMSG_ERROR {
            return None;
        }
        answer.get(NETLINK_HEADER + GENERIC_HEADER..)
    }
}

/// The value of the first attribute of a kind (`struct nlattr`: length with header, type; 4-byte aligned).
pub(crate) fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let found = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = attributes.get(4..len)?;
        if found == kind {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4).max(4)..)?;
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that our own count moves when we sleep and come back, and that damage is no panic.
    #[test]
    fn own_runs_move() {
        let Some(mut stats) = TaskStats::open() else {
            eprintln!("skipped: no CAP_NET_ADMIN, or a kernel without TASKSTATS");
            return;
        };
        let own = Pid(i32::try_from(std::process::id()).unwrap());
        let before = stats.runs(own).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        let after = stats.runs(own).unwrap();
        assert!(after.cpu_count > before.cpu_count, "{before:?} {after:?}");
        assert_eq!(attribute(&[4, 0, 9, 0, 200, 0, 1, 0], 1), None);
        assert_eq!(attribute(&[0, 0, 9, 0], 1), None);
    }
}

//! Which processes were born since the last look, at next to no cost where none was. Opens nobody; who belongs to whom is
//! for the caller to say.
//!
//! The kernel hands out process ids in ascending order and shows the last one in `/proc/loadavg`. So whoever was born since
//! has an id between the one shown then and the one shown now, and where they are equal, nobody was: one small read,
//! whatever the number of processes and threads (docs/decisions/0011-forked-children.md).

use std::{fs::File, ops::Range, os::fd::AsFd};

use nix::{
    errno::Errno,
    sys::statfs::{PROC_SUPER_MAGIC, fstatfs},
};
use profile::id::Pid;

use crate::{procfs, sys::monotonic_ns};

/// More ids than these are not asked one by one: the list of all processes is shorter.
const WINDOW_MAX: i32 = 4096;
/// The kernel begins again here when it has come to the largest id (`RESERVED_PIDS` of `kernel/pid.c`).
const FIRST_AFTER_WRAP: i32 = 300;
/// All processes are listed at most this often, and only if any was born: an id may be out of its turn (`set_tid` of
/// clone3) or be given long before its process shows (a fork that is throttled).
const LIST_EVERY_NS: u64 = 5_000_000_000;
/// And so rarely that it takes no more than a two-thousandth of the time: many processes, or a slow /proc.
const LIST_SHARE: u64 = 2000;

/// A process that may be new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Born {
    /// Its id.
    pub pid: Pid,
    /// Its parent, or who took a dead parent's place.
    pub parent: Pid,
    /// Who began its session.
    pub session: Pid,
    /// Clock ticks after boot at which it began.
    pub start_time: u64,
}

/// Finds them.
#[derive(Debug)]
pub struct Births {
    /// `None`: what this machine shows there is not the kernel's own.
    newest: Option<File>,
    /// The newest id at the last look.
    seen: Option<i32>,
    /// Ids that were new then, and nobody's: an id is given a moment before its process shows.
    unborn: Vec<i32>,
    /// Somebody was born since the last list.
    unlisted: bool,
    next_list: u64,
}

impl Births {
    /// From now on.
    pub fn new() -> Self {
        let file = File::open("/proc/loadavg").ok();
        // In containers, lxcfs puts a file of its own there.
        let is_kernels = |file: &File| fstatfs(file.as_fd()).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC);
        let newest = file.filter(is_kernels);
        let seen = newest.as_ref().and_then(read_newest);
        Self { newest, seen, unborn: Vec::new(), unlisted: false, next_list: monotonic_ns() }
    }

    /// Whether births show at once; otherwise only in the list of all processes, every few seconds where there are many.
    pub fn are_shown(&self) -> bool {
        self.seen.is_some()
    }

    /// Who was born since the last look. After a list, some are told again.
    pub fn look(&mut self) -> Vec<Born> {
        let newest = self.newest.as_ref().and_then(read_newest);
        let Some((last, now)) = self.seen.zip(newest) else { return self.list_when_due() };
        self.seen = Some(now);
        self.unlisted |= last != now;
        let again = std::mem::take(&mut self.unborn);
        match window(last, now, pid_max) {
            Some(window) if !(self.unlisted && monotonic_ns() >= self.next_list) => {
                let mut found: Vec<Born> = again.into_iter().filter_map(born).collect();
                for pid in window {
                    match born(pid) {
                        Some(born) => found.push(born),
                        None => self.unborn.push(pid),
                    }
                }
                found
            }
            _ => self.list(),
        }
    }

    fn list_when_due(&mut self) -> Vec<Born> {
        if monotonic_ns() < self.next_list { Vec::new() } else { self.list() }
    }

    /// Every process that there is.
    pub fn list(&mut self) -> Vec<Born> {
        let began = monotonic_ns();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let found = entries.filter_map(|entry| born(entry.file_name().to_str()?.parse().ok()?)).collect();
        let ended = monotonic_ns();
        let rest = ended.saturating_sub(began).saturating_mul(LIST_SHARE);
        // Where nothing else shows births, they are to be found soon all the same.
        let rest = if self.are_shown() { rest.max(LIST_EVERY_NS) } else { rest / 20 };
        self.unlisted = false;
        self.next_list = ended.saturating_add(rest);
        found
    }
}

impl Default for Births {
    fn default() -> Self {
        Self::new()
    }
}

/// The ids given out after `before` up to `now`, in that order; `None`: too many.
fn window(before: i32, now: i32, max: impl Fn() -> i32) -> Option<impl Iterator<Item = i32>> {
    let (after, end) = (before.saturating_add(1), now.saturating_add(1));
    let (first, second) = if before <= now {
        (after..end, 0..0)
    } else {
        (after..max().saturating_add(1), FIRST_AFTER_WRAP.min(now)..end)
    };
    let count = |ids: &Range<i32>| ids.end.saturating_sub(ids.start).max(0);
    (count(&first).saturating_add(count(&second)) <= WINDOW_MAX).then(|| first.chain(second))
}

/// The largest id that the kernel gives.
fn pid_max() -> i32 {
    let text = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    text.trim().parse().unwrap_or(i32::MAX)
}

/// A process by its id, if it lives. Most ids of a window are of processes and threads that have ended, and of threads: to
/// ask for a session takes a tenth of a microsecond, to be refused a descriptor half of one.
fn born(pid: i32) -> Option<Born> {
    let raw = rustix::process::Pid::from_raw(pid.max(0))?;
    // Denied by a security module: that it lives is enough.
    if nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))) == Err(Errno::ESRCH) {
        return None;
    }
    // EINVAL, since Linux 6.9 ENOENT: a thread that leads no process.
    drop(rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty()).ok()?);
    let stat = procfs::process_stat(Pid(pid)).ok()?;
    let lives = !matches!(stat.state, b'Z' | b'X');
    let born = Born { pid: Pid(pid), parent: stat.parent, session: stat.session, start_time: stat.start_time };
    // A leader that has ended shows as a zombie while its threads go on.
    (lives || stat.threads > 1).then_some(born)
}

fn read_newest(file: &File) -> Option<i32> {
    let mut text = [0; 128];
    let len = nix::sys::uio::pread(file.as_fd(), &mut text, 0).ok()?;
    parse_newest(text.get(..len)?)
}

/// The last field of `0.12 0.34 0.56 1/1079 804` (`fs/proc/loadavg.c`): the last id given in our pid namespace.
fn parse_newest(text: &[u8]) -> Option<i32> {
    let field = text.trim_ascii_end().rsplit(|byte| *byte == b' ').next()?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleep() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Check that a child shows at the next look with its parent, not once more at the one after, and in the list; and that
    /// a thread does not.
    #[test]
    fn child_is_found() {
        let own = Pid(i32::try_from(std::process::id()).unwrap());
        let mut births = Births::new();
        births.next_list = u64::MAX;
        assert!(births.are_shown());
        let child = sleep();
        let pid = Pid(i32::try_from(child.id()).unwrap());
        let (sender, thread) = std::sync::mpsc::channel();
        let (over, wait) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            sender.send(Pid(nix::unistd::gettid().as_raw())).unwrap();
            wait.recv().unwrap_err();
        });
        let thread = thread.recv().unwrap();
        let parents = |found: Vec<Born>| found.iter().find(|born| born.pid == pid).map(|born| born.parent);
        let found = births.look();
        assert!(!found.iter().any(|born| born.pid == thread), "{found:?}");
        drop(over);
        assert_eq!([found, births.look()].map(parents), [Some(own), None]);
        assert_eq!(parents(births.list()), Some(own));
        end(child);
        assert_eq!(parents(births.list()), None);
    }

    /// Check that a machine that hides the newest id has the list.
    #[test]
    fn list_where_nothing_shows() {
        let mut births = Births { newest: None, seen: None, next_list: 0, ..Births::new() };
        let child = sleep();
        let pid = Pid(i32::try_from(child.id()).unwrap());
        assert!(births.look().iter().any(|born| born.pid == pid));
        assert_eq!(births.look(), [], "not at once again");
        end(child);
    }

    /// Check the ids between two looks, over the end of the range too, and that too many are not asked one by one.
    #[test]
    fn windows() {
        let ids = |before, now| window(before, now, || 32_768).map(Iterator::collect::<Vec<_>>);
        assert_eq!(ids(804, 804), Some(vec![]));
        assert_eq!(ids(804, 807), Some(vec![805, 806, 807]));
        assert_eq!(ids(32_767, 301), Some(vec![32_768, 300, 301]));
        assert_eq!(ids(32_768, 5), Some(vec![5]), "a namespace of which we were the first");
        assert_eq!(ids(10_000, 20_000), None);
        assert_eq!(ids(10_000, 9_999), None);
    }

    /// Check the parser on what kernels print and on nonsense.
    #[test]
    fn parse_loadavg() {
        assert_eq!(parse_newest(b"0.12 0.34 0.56 3/1079 804\n"), Some(804));
        assert_eq!(parse_newest(b""), None);
        assert_eq!(parse_newest(b"a b"), None);
    }
}

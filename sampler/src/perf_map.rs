//! The `perf-PID.map` of a target: found in its own `/tmp`, taken only from whom it may come, and read as it grows. The
//! file is the target's to forge, to cut and to swap at any time: it is never mapped, and costs a bounded time. What its
//! lines say is [`runtimes::perf_map`].

use std::{
    cmp::Ordering,
    fs::{File, Metadata},
    os::unix::fs::{FileExt, MetadataExt},
};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::{SysconfVar, sysconf},
};
use profile::{
    address::RemoteAddr,
    id::{Pid, Tid},
};
use runtimes::perf_map::PerfMap;
use thiserror::Error;
use tracing::{info, warn};

use crate::{modules::Root, procfs};

/// The file is asked at most this often whether it has changed: once a tick, at usual rates. Only for code that has no name it is
/// asked again.
const GREW_NS: u64 = 5_000_000;
/// And its path at most this often whether there is one, or another: that takes some ten system calls.
const PATH_NS: u64 = 1_000_000_000;
/// Bytes read at once: what is parsed in 20 ms, while other targets wait.
const READ_MAX: u64 = 4 << 20;
/// Bytes that may be read without a pause: the map of a server that has run for days.
const BURST: u64 = 64 << 20;
/// Bytes a second that may be read after that, 2 % of a CPU.
const RATE: u64 = 4 << 20;
/// A larger file is not read: of 100,000 functions V8 writes a tenth of it.
const FILE_MAX: u64 = 512 << 20;
/// As much of what was read last is looked at again, to see that the file was appended to and not written anew.
const TAIL: usize = 64;
/// A file last written so long before the process began is an older process's of the same id. Less proves nothing: the start
/// is known by ticks of 10 ms, and clocks are slewed.
const START_SLACK_S: i64 = 2;

/// Why a map is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum Refused {
    #[error("it belongs to user {0}, neither the process's own nor root")]
    Owner(u32),
    #[error("it has more than one name")]
    Linked,
    #[error("it was written before the process began")]
    Old,
    #[error("it has more than {} MiB", FILE_MAX >> 20)]
    TooLarge,
}

/// The map of one target.
#[derive(Debug)]
pub(crate) struct MapFile {
    pid: Pid,
    open: Option<Open>,
    map: PerfMap,
    path_looked_at: Option<u64>,
    allowance: Allowance,
    /// As it was told.
    refused: Option<Refused>,
}

impl MapFile {
    /// Has not looked yet.
    pub(crate) fn new(pid: Pid) -> Self {
        let allowance = Allowance { left: BURST, at_ns: 0 };
        Self { pid, open: None, map: PerfMap::new(), path_looked_at: None, allowance, refused: None }
    }

    /// Whether there is one that may be read.
    pub(crate) fn is_there(&self) -> bool {
        self.open.is_some()
    }

    /// The process runs another program: what its map said is void.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self { allowance: self.allowance, ..Self::new(self.pid) };
    }

    /// Reads what has come, if it is time to. `rewrites`: a changed file was written anew, all of it.
    pub(crate) fn look(&mut self, tid: Tid, now_ns: u64, rewrites: bool) {
        self.look_if(tid, now_ns, rewrites, |open| now_ns.saturating_sub(open.looked_at) >= GREW_NS);
    }

    /// Reads what has come since, for code that was not there then.
    pub(crate) fn look_again(&mut self, tid: Tid, now_ns: u64, rewrites: bool) {
        self.look_if(tid, now_ns, rewrites, Open::has_grown);
    }

    fn look_if(&mut self, tid: Tid, now_ns: u64, rewrites: bool, is_due: impl FnOnce(&Open) -> bool) {
        if self.path_looked_at.is_none_or(|at| now_ns.saturating_sub(at) >= PATH_NS) {
            self.path_looked_at = Some(now_ns);
            self.look_at_path(tid);
        }
        let Some(open) = self.open.as_mut().filter(|open| is_due(open)) else { return };
        open.looked_at = now_ns;
        if let Err(why) = open.read(&mut self.map, &mut self.allowance, now_ns, rewrites) {
            self.refuse(why);
        }
    }

    /// What the code at an address is called. Nothing, as long as a part of the file is unread: it may say otherwise.
    pub(crate) fn find(&self, at: RemoteAddr) -> Option<&str> {
        self.open.as_ref().filter(|open| open.is_read())?;
        self.map.find(at)
    }

    fn look_at_path(&mut self, tid: Tid) {
        match find(self.pid, tid) {
            Ok(Some((_, meta))) if self.open.as_ref().is_some_and(|open| open.is(&meta)) => {}
            Ok(Some((file, meta))) => {
                if self.refused.is_none() {
                    info!(pid = %self.pid, "The process has a map of the code that it generates.");
                }
                self.map = PerfMap::new();
                self.open = Some(Open::new(file, &meta));
            }
            // One that has lost its name is still written to by whom it is.
            Ok(None) => {}
            // Another file has its name now, and it is still written to by whom it is.
            Err(_) if self.open.is_some() => {}
            Err(why) => self.refuse(why),
        }
    }

    fn refuse(&mut self, why: Refused) {
        if self.refused.replace(why) != Some(why) {
            warn!(pid = %self.pid, %why, "The map of the code that the process generates is not read.");
        }
        self.open = None;
        self.map = PerfMap::new();
    }
}

/// How many bytes may still be read.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u64,
    at_ns: u64,
}

impl Allowance {
    fn take(&mut self, wanted: u64, now_ns: u64) -> u64 {
        let elapsed = u128::from(now_ns.saturating_sub(self.at_ns));
        let earned = elapsed.saturating_mul(RATE.into()) / 1_000_000_000;
        self.left = self.left.saturating_add(u64::try_from(earned).unwrap_or(u64::MAX)).min(BURST);
        self.at_ns = now_ns;
        let taken = wanted.min(self.left);
        self.left = self.left.saturating_sub(taken);
        taken
    }
}

/// A file that is being read.
#[derive(Debug)]
struct Open {
    file: File,
    identity: (u64, u64),
    /// When it was last asked; 0: never.
    looked_at: u64,
    /// As it was at the last look.
    size: u64,
    modified: (i64, i64),
    /// It was written to, but has not grown: so it was at the last look.
    touched: bool,
    read_to: u64,
    /// The bytes before that.
    tail: Vec<u8>,
}

impl Open {
    fn new(file: File, meta: &Metadata) -> Self {
        let identity = (meta.dev(), meta.ino());
        Self { file, identity, looked_at: 0, size: 0, modified: (0, 0), touched: false, read_to: 0, tail: Vec::new() }
    }

    fn is(&self, meta: &Metadata) -> bool {
        self.identity == (meta.dev(), meta.ino())
    }

    fn is_read(&self) -> bool {
        self.looked_at > 0 && self.read_to >= self.size
    }

    fn has_grown(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.size() > self.size)
    }

    /// Takes into `map` what is new.
    fn read(
        &mut self,
        map: &mut PerfMap,
        allowance: &mut Allowance,
        now_ns: u64,
        rewrites: bool,
    ) -> Result<(), Refused> {
        let Ok(meta) = self.file.metadata() else { return Ok(()) };
        if meta.size() > FILE_MAX {
            return Err(Refused::TooLarge);
        }
        if self.is_anew(&meta, rewrites) {
            *map = PerfMap::new();
            self.read_to = 0;
            self.tail.clear();
        }
        self.size = meta.size();
        if !self.touched {
            self.modified = (meta.mtime(), meta.mtime_nsec());
        }
        let unread = self.size.saturating_sub(self.read_to).min(READ_MAX);
        if unread > 0 {
            self.take(map, allowance.take(unread, now_ns));
        }
        Ok(())
    }

    /// Whether what was read of the file is void.
    fn is_anew(&mut self, meta: &Metadata, rewrites: bool) -> bool {
        let was_written = self.modified != (meta.mtime(), meta.mtime_nsec());
        let was_touched = std::mem::replace(&mut self.touched, was_written && meta.size() == self.size);
        match meta.size().cmp(&self.size) {
            Ordering::Less => true,
            // A write sets the time first, and the size a moment later: only if it does not grow was it written over.
            Ordering::Equal => was_touched && std::mem::take(&mut self.touched),
            Ordering::Greater => rewrites || !self.still_has_tail(),
        }
    }

    fn still_has_tail(&self) -> bool {
        let mut now = [0; TAIL];
        let Some(now) = now.get_mut(..self.tail.len()) else { return false };
        let at = self.read_to.saturating_sub(self.tail.len() as u64);
        self.file.read_exact_at(now, at).is_ok() && *now == *self.tail
    }

    fn take(&mut self, map: &mut PerfMap, len: u64) {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        // Less, if it is being cut: the next look sees that.
        let len = self.file.read_at(&mut bytes, self.read_to).unwrap_or(0);
        let Some(bytes) = bytes.get(..len) else { return };
        map.extend(bytes);
        self.read_to = self.read_to.saturating_add(len as u64);
        self.tail.extend_from_slice(bytes.get(len.saturating_sub(TAIL)..).unwrap_or(bytes));
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
    }
}

/// Opens the map that the process writes: by the id that it knows itself by, else by those that others know it by. A link is
/// not followed, and nothing that is no regular file is opened.
fn find(pid: Pid, tid: Tid) -> Result<Option<(File, Metadata)>, Refused> {
    let Some(owner) = procfs::effective_user(pid, tid) else { return Ok(None) };
    let root = Root::of(pid, tid);
    let mut refused = None;
    for id in procfs::namespace_pids(pid, tid).into_iter().rev() {
        let Some(file) = root.open_unlinked(&format!("/tmp/perf-{id}.map")) else { continue };
        let Ok(meta) = file.metadata() else { continue };
        match check(&meta, owner, start_s(pid)) {
            Ok(()) => return Ok(Some((file, meta))),
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    refused.map_or(Ok(None), Err)
}

/// Whether the file may be the process's: `/tmp` is anybody's. `start_s`: when the process began, seconds since 1970.
fn check(meta: &Metadata, owner: u32, start_s: Option<i64>) -> Result<(), Refused> {
    if meta.uid() != owner && meta.uid() != 0 {
        return Err(Refused::Owner(meta.uid()));
    }
    if meta.nlink() > 1 {
        return Err(Refused::Linked);
    }
    if start_s.is_some_and(|start| meta.mtime().saturating_add(START_SLACK_S) < start) {
        return Err(Refused::Old);
    }
    Ok(())
}

/// When a process began, seconds since 1970, by the clocks of now.
fn start_s(pid: Pid) -> Option<i64> {
    let ticks = procfs::process_stat(pid).ok()?.start_time;
    let tick_hz = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let now = clock_gettime(ClockId::CLOCK_REALTIME).ok()?.tv_sec();
    let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?.tv_sec();
    now.checked_sub(since_boot)?.checked_add_unsigned(ticks.checked_div(tick_hz)?)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, path::Path, time::Duration};

    use super::*;

    /// A map of our own at a path, and a time that goes on by a look each.
    struct Reading {
        file: MapFile,
        now_ns: u64,
    }

    impl Reading {
        fn of(path: &Path) -> Self {
            let file = File::open(path).unwrap();
            let open = Open::new(file, &fs::metadata(path).unwrap());
            Self { file: MapFile { open: Some(open), path_looked_at: Some(0), ..MapFile::new(Pid(0)) }, now_ns: 0 }
        }

        /// What is at these addresses, at the next look.
        fn look(&mut self, rewrites: bool, at: &[u64]) -> Vec<Option<String>> {
            self.now_ns += GREW_NS;
            // Never so late that the path is looked at: there is no process 0.
            assert!(self.now_ns < PATH_NS);
            self.file.look(Tid(0), self.now_ns, rewrites);
            at.iter().map(|at| self.file.find(RemoteAddr(*at)).map(str::to_owned)).collect()
        }
    }

    fn names(names: &[&str]) -> Vec<Option<String>> {
        names.iter().map(|name| (!name.is_empty()).then(|| (*name).to_owned())).collect()
    }

    fn append(path: &Path, text: &str) {
        fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Time enough that what is written now has another time than what was written before.
    fn clock_tick() {
        std::thread::sleep(Duration::from_millis(20));
    }

    /// Check that what is appended is read once its line is whole, and nothing twice.
    #[test]
    fn grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        fs::write(&path, "10 10 one\n20 10 tw").unwrap();
        let mut reading = Reading::of(&path);
        assert_eq!(reading.look(false, &[0x10, 0x20]), names(&["one", ""]));
        append(&path, "o\n10 10 new\n");
        assert_eq!(reading.look(false, &[0x10, 0x20]), names(&["new", "two"]));
        assert_eq!(reading.look(false, &[0x10, 0x20]), names(&["new", "two"]));
        // A moment later, when the next look is not due.
        append(&path, "30 10 three\n");
        reading.now_ns -= GREW_NS - 1;
        assert_eq!(reading.look(false, &[0x10, 0x30]), names(&["new", ""]));
        reading.file.look_again(Tid(0), reading.now_ns, false);
        assert_eq!(reading.file.find(RemoteAddr(0x30)), Some("three"));
        assert_eq!((reading.file.map.len(), reading.file.map.left_out().garbage), (3, 0));
    }

    /// Check that a file that was written anew is read anew: shorter, as long, or longer than before.
    #[test]
    fn written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        fs::write(&path, "10 10 one\n20 10 two\n").unwrap();
        let mut reading = Reading::of(&path);
        assert_eq!(reading.look(false, &[0x10, 0x20]), names(&["one", "two"]));
        fs::write(&path, "10 10 uno\n").unwrap();
        assert_eq!(reading.look(false, &[0x10, 0x20]), names(&["uno", ""]), "shorter");
        clock_tick();
        fs::write(&path, "20 10 due\n").unwrap();
        reading.look(false, &[]);
        assert_eq!(reading.look(false, &[0x10, 0x20]), names(&["", "due"]), "as long");
        fs::write(&path, "30 10 tre\n40 10 four\n").unwrap();
        assert_eq!(reading.look(false, &[0x10, 0x20, 0x30]), names(&["", "", "tre"]), "longer");
    }

    /// Check that of a runtime that always writes all of it, what is not there any more is forgotten.
    #[test]
    fn rewriting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        let long = "n".repeat(2 * TAIL);
        fs::write(&path, format!("10 10 one\n80 8 {long}\n")).unwrap();
        let mut reading = Reading::of(&path);
        assert_eq!(reading.look(true, &[0x10, 0x20]), names(&["one", ""]));
        // The end that was read last is where it was.
        fs::write(&path, format!("20 10 two\n80 8 {long}\n90 8 new\n")).unwrap();
        assert_eq!(reading.look(true, &[0x10, 0x20, 0x90]), names(&["", "two", "new"]));
    }

    /// Check that a large file is read piece by piece, and names nothing before its end: it may say otherwise.
    #[test]
    fn piece_by_piece() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        let line = format!("10 10 {}\n", "n".repeat(1000));
        fs::write(&path, line.repeat(2 * usize::try_from(READ_MAX).unwrap() / 1000) + "10 10 last\n").unwrap();
        let mut reading = Reading::of(&path);
        assert_eq!(reading.look(false, &[0x10]), names(&[""]));
        assert_eq!(reading.look(false, &[0x10]), names(&[""]));
        assert_eq!(reading.look(false, &[0x10]), names(&["last"]));
        reading.file.allowance.left = 0;
        append(&path, &line.repeat(100));
        assert_eq!(reading.look(false, &[0x10]), names(&[""]), "as much as may be read in {GREW_NS} ns");
    }

    /// Check that a file beyond the limit is given up, and said so.
    #[test]
    fn too_large() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        fs::write(&path, "10 10 one\n").unwrap();
        let mut reading = Reading::of(&path);
        assert_eq!(reading.look(false, &[0x10]), names(&["one"]));
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(FILE_MAX + 1).unwrap();
        assert_eq!(reading.look(false, &[0x10]), names(&[""]));
        assert_eq!((reading.file.is_there(), reading.file.refused), (false, Some(Refused::TooLarge)));
    }

    /// Check whose files are taken, with how many names, and of what time.
    #[test]
    fn whose() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        fs::write(&path, "").unwrap();
        let meta = fs::metadata(&path).unwrap();
        let (owner, written) = (meta.uid(), Some(meta.mtime()));
        assert_eq!(check(&meta, owner, written), Ok(()));
        let other = if owner == 0 { Ok(()) } else { Err(Refused::Owner(owner)) };
        assert_eq!(check(&meta, owner + 1, written), other, "root's is taken");
        assert_eq!(check(&meta, owner, written.map(|at| at + START_SLACK_S + 1)), Err(Refused::Old));
        assert_eq!(check(&meta, owner, written.map(|at| at + START_SLACK_S)), Ok(()));
        fs::hard_link(&path, folder.path().join("other")).unwrap();
        assert_eq!(check(&fs::metadata(&path).unwrap(), owner, written), Err(Refused::Linked));
        let nobody = folder.path().join("nobody");
        fs::write(&nobody, "").unwrap();
        if std::os::unix::fs::chown(&nobody, Some(65_534), None).is_err() {
            return println!("skipped: only root gives files away");
        }
        assert_eq!(check(&fs::metadata(&nobody).unwrap(), owner, written), Err(Refused::Owner(65_534)));
    }

    /// Check that our own start is in the past, and near.
    #[test]
    fn start() {
        let ours = Pid(i32::try_from(std::process::id()).unwrap());
        let now = clock_gettime(ClockId::CLOCK_REALTIME).unwrap().tv_sec();
        let age = now - start_s(ours).unwrap();
        assert!((-1..3600).contains(&age), "{age}");
    }
}

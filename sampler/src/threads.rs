//! The threads of a target: their open descriptors, what is known of each, and when to look for new ones.
//! Reads no memory, stops nobody.

use std::collections::BTreeMap;

use profile::{
    counters::Counters,
    id::{Pid, Tid},
    thread::ThreadState,
};
use runtimes::python::Process;

use crate::{
    interpreter::{PythonThread, States},
    ledger::Ledger,
    procfs::{self, Kept, Stat},
    target::thread_ids,
    thread_names::PythonNames,
};

/// The first copy of a stack: 99 % of stacks of servers fit (docs/measurements.md).
pub const COPY_FIRST: usize = 16 * 1024;
/// The largest copy in one piece; deeper stacks are walked.
pub const COPY_MAX: usize = 256 * 1024;
/// The largest copy of a sleeper's stack: nobody is stopped meanwhile, so it may take longer.
pub const SNAPSHOT_MAX: usize = 1024 * 1024;
/// A new thread is walked that often, until its stacks have shown to fit into a copy.
const WALKS_FIRST: u32 = 20;
/// And so often after a stack that nearly did not fit: depth comes back.
const WALKS_AFTER_DEEP: u32 = 1000;
/// The least that is worth a call.
const COPY_MIN: usize = 1024;
/// More threads of one process are not sampled, but counted as skipped: each takes two descriptors.
pub const THREADS_MAX: usize = 20_000;
/// Look for threads that `st_nlink` did not show at least this often.
const DISCOVERY_NS: u64 = 1_000_000_000;

/// One word that the last unwind read from the copy: when all of them are as they were, so is the stack.
pub type Word = (u64, u64);

/// A sleeping thread's last stack, to know it again without unwinding.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    /// Stack pointer.
    pub sp: u64,
    /// Program counter.
    pub pc: u64,
    /// What the unwinder read, in ascending order of address.
    pub words: Vec<Word>,
}

/// What is known of a thread.
#[derive(Debug)]
pub struct Thread {
    /// Its id.
    pub tid: Tid,
    /// `schedstat`.
    pub schedstat: Kept,
    /// `syscall`.
    pub syscall: Kept,
    /// How often it had been put on a CPU at the last consistent read.
    pub run_count: Option<u64>,
    /// The same as last read at all: for the ledger.
    pub counted: u64,
    /// As last seen; `None` before the first read.
    pub state: Option<ThreadState>,
    /// How many bytes to copy.
    pub copy_len: usize,
    /// Its frames lie on more pages than a walk reads: copy as much as possible before it.
    pub dense: bool,
    /// How many more samples are walked page by page rather than copied in one piece: its stack was deep lately.
    pub walks: u32,
    /// The last snapshot was cut for want of bytes: take another although it has not run.
    pub again: bool,
    /// The last snapshot was cut for want of rbp.
    pub wants_rbp: bool,
    /// Pages above the copy that the last unwind read.
    pub pages: Vec<u64>,
    /// To know the last stack again.
    pub fingerprint: Fingerprint,
    /// Not before this time: another tracer holds it.
    pub retry_at: u64,
    /// How often in a row it was held.
    pub retries: u32,
    /// An interrupt is under way that has not come in time.
    pub late: bool,
    /// When it was found.
    pub since: u64,
    /// The tick at which it was looked at last.
    pub looked_at: u64,
    /// Counts its captures, so that what the unwind of an older one tells is not taken for the last one's.
    pub captures: u64,
    /// How long it was held at its last stop, from the moment that it stood.
    pub stop_ns: u64,
    /// Its Python side, if it runs any.
    pub python: Option<PythonThread>,
    /// The id is known that it has in its own pid namespace.
    pub is_numbered: bool,
}

impl Thread {
    fn open(pid: Pid, tid: Tid, now: u64) -> std::io::Result<Self> {
        Ok(Self {
            tid,
            schedstat: Kept::open(pid, tid, "schedstat")?,
            syscall: Kept::open(pid, tid, "syscall")?,
            run_count: None,
            counted: 0,
            state: None,
            copy_len: COPY_FIRST,
            dense: false,
            walks: WALKS_FIRST,
            again: false,
            wants_rbp: false,
            pages: Vec::new(),
            fingerprint: Fingerprint::default(),
            retry_at: 0,
            retries: 0,
            late: false,
            since: now,
            looked_at: 0,
            captures: 0,
            stop_ns: 0,
            python: None,
            is_numbered: false,
        })
    }

    /// Takes in what an unwind of this thread needed: `need` bytes from the stack pointer on; `cut`: more than the
    /// copy held. Gives whether a sleeper should be read again although it has not run.
    pub fn learn(&mut self, need: u64, cut: bool) -> bool {
        let before = self.copy_len;
        let need = usize::try_from(need).unwrap_or(usize::MAX);
        let with_room = need.saturating_add(need / 4).saturating_add(512).next_multiple_of(512);
        let wanted = if cut { before.saturating_mul(4) } else { with_room };
        self.copy_len = wanted.clamp(COPY_MIN, SNAPSHOT_MAX);
        self.walks = if cut || need > COPY_FIRST / 2 { WALKS_AFTER_DEEP } else { self.walks.saturating_sub(1) };
        self.dense = cut || self.dense && need > COPY_FIRST;
        self.again = cut && self.copy_len > before && self.state.is_some_and(ThreadState::is_blocked);
        self.again
    }

    /// Whether its stack is to be walked page by page.
    pub fn is_walked(&self) -> bool {
        self.walks > 0
    }

    /// Another tracer holds it: leave it alone for a while, longer each time, at most a second.
    pub fn back_off(&mut self, now: u64) {
        self.retries = self.retries.saturating_add(1).min(7);
        self.retry_at = now.saturating_add(10_000_000_u64 << self.retries).min(now.saturating_add(1_000_000_000));
    }
}

/// What a discovery found.
#[derive(Debug, Default)]
pub struct Found {
    /// New threads with their names.
    pub named: Vec<(Tid, String)>,
    /// The set of threads may have changed: look at each.
    pub changed: bool,
}

/// The thread table of one target.
#[derive(Debug)]
pub struct Threads {
    pid: Pid,
    /// By tid.
    pub all: BTreeMap<Tid, Thread>,
    /// Threads that run no user code (io_uring workers).
    ignored: BTreeMap<Tid, u64>,
    /// How many were left out at the last discovery because of a limit, by reason.
    left_out: BTreeMap<&'static str, u64>,
    names: BTreeMap<Tid, String>,
    links: u64,
    next_discovery: u64,
    /// A kept descriptor answered that its thread has ended.
    pub stale: bool,
    /// What is known of all run counts together.
    pub ledger: Ledger,
    /// Somebody must be looked at again although nobody ran.
    pub unsettled: bool,
    /// The thread states of its interpreter.
    pub states: States,
    python_names: PythonNames,
}

impl Threads {
    /// An empty table.
    pub fn new(pid: Pid) -> Self {
        Self {
            pid,
            all: BTreeMap::new(),
            ignored: BTreeMap::new(),
            left_out: BTreeMap::new(),
            names: BTreeMap::new(),
            links: 0,
            next_discovery: 0,
            stale: true,
            ledger: Ledger::default(),
            unsettled: false,
            states: States::default(),
            python_names: PythonNames::default(),
        }
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// How many threads there are now, found or not.
    pub fn count_now(&self) -> usize {
        usize::try_from(self.link_count().saturating_sub(2)).unwrap_or(usize::MAX).max(self.all.len())
    }

    /// Counts one tick of the threads that are left out.
    pub fn count_left_out(&self, counters: &mut Counters) {
        for (why, many) in &self.left_out {
            Counters::count_many(&mut counters.skipped, why, *many);
        }
        Counters::count_many(&mut counters.skipped, "kernel_worker", self.ignored.len() as u64);
    }

    /// Looks for new threads if there may be any. Calls `between` now and then: many take long.
    pub fn discover(&mut self, now: u64, between: &mut dyn FnMut()) -> Found {
        let links = self.link_count();
        if !self.stale && links == self.links && now < self.next_discovery {
            return Found::default();
        }
        let periodic = now >= self.next_discovery;
        let before = std::mem::replace(&mut self.links, links);
        let stale = std::mem::take(&mut self.stale);
        if periodic {
            self.next_discovery = now.saturating_add(DISCOVERY_NS);
        }
        let mut found = Found { changed: links != before || stale, ..Found::default() };
        let Ok(tids) = thread_ids(self.pid) else { return found };
        self.ignored.retain(|tid, _| tids.binary_search(tid).is_ok() || tids.contains(tid));
        self.left_out.clear();
        for tid in &tids {
            between();
            if !self.all.contains_key(tid) && !self.ignored.contains_key(tid) {
                self.add(*tid, now, &mut found);
            }
        }
        if periodic {
            self.rename(now, &mut found);
        }
        found
    }

    /// The names that a Python program has given its threads since the last call; `changed`: some are new. They stand in the
    /// place of the kernel's from then on.
    pub fn look_for_names(
        &mut self,
        process: &Process,
        when: (u64, bool),
        between: &mut dyn FnMut(),
    ) -> Vec<(Tid, String)> {
        let found = self.python_names.look(process, &self.all, when, between);
        self.unsettled |= self.python_names.is_behind();
        let is_new = |(tid, name): &(Tid, String)| self.names.insert(*tid, name.clone()).as_ref() != Some(name);
        found.into_iter().filter(is_new).collect()
    }

    /// Forgets a thread that has ended.
    pub fn remove(&mut self, tid: Tid) {
        if let Some(thread) = self.all.remove(&tid) {
            self.ledger.ended(tid, thread.counted);
        }
        self.names.remove(&tid);
        self.python_names.forget(tid);
        self.stale = true;
    }

    /// `st_nlink` of the task folder: its threads and two. One microsecond, whatever their number.
    fn link_count(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(format!("/proc/{}/task", self.pid)).map_or(0, |meta| meta.nlink())
    }

    fn add(&mut self, tid: Tid, now: u64, found: &mut Found) {
        if self.all.len() >= THREADS_MAX {
            return self.leave_out("too_many_threads");
        }
        // Threads that end between the listing and here were never seen: nothing to count.
        let stat = match procfs::thread_stat(self.pid, tid) {
            Ok(stat) => stat,
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => return self.leave_out("descriptor_limit"),
            Err(_) => return,
        };
        if stat.is_kernel_worker() {
            self.ignored.insert(tid, now);
            return;
        }
        if is_over(stat) {
            return;
        }
        match Thread::open(self.pid, tid, now) {
            Ok(thread) if thread.schedstat.is_among_last() => self.leave_out("descriptor_limit"),
            Ok(thread) => {
                self.all.insert(tid, thread);
                self.name(tid, found);
            }
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => self.leave_out("descriptor_limit"),
            Err(_) => {}
        }
    }

    fn leave_out(&mut self, why: &'static str) {
        *self.left_out.entry(why).or_default() += 1;
    }

    fn name(&mut self, tid: Tid, found: &mut Found) {
        if self.python_names.has(tid) {
            return;
        }
        let Ok(name) = procfs::comm(self.pid, tid) else { return };
        if self.names.get(&tid) != Some(&name) {
            self.names.insert(tid, name.clone());
            found.named.push((tid, name));
        }
    }

    /// Programs name a thread after they have made it: names of young threads are read again.
    fn rename(&mut self, now: u64, found: &mut Found) {
        const YOUNG_NS: u64 = 2_500_000_000;
        let young: Vec<Tid> = self
            .all
            .values()
            .filter(|thread| now.saturating_sub(thread.since) < YOUNG_NS)
            .map(|thread| thread.tid)
            .collect();
        for tid in young {
            self.name(tid, found);
        }
    }
}

fn is_over(stat: Stat) -> bool {
    matches!(stat.state, b'Z' | b'X')
}

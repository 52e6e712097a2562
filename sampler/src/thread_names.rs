//! When to look for the names that a Python program gives its threads, which win over the kernel's: those are cut at 15 bytes
//! and most often the program's own. Looks while the target runs; stops nobody, decides nothing about samples.

use std::collections::BTreeMap;

use profile::id::Tid;
use runtimes::python::{Process, ThreadName, ThreadNames};

use crate::{memory::Now, threads::Thread};

/// Thread objects that are looked at in one tick: 20 us each, a fifth of a tick at 101 Hz.
const LOOKS_MAX: usize = 100;
/// A program names most threads as it makes them, and some soon after.
const YOUNG_NS: u64 = 10_000_000_000;
/// So long a young thread's name is taken to stand.
const YOUNG_WAIT_NS: u64 = 1_000_000_000;
/// `threading` comes to know a thread a moment after the interpreter does; some never get a name, and others may not live long.
/// So long a new one is looked at in every tick ...
const NEW_NS: u64 = 100_000_000;
/// ... and until it is no longer young, so often.
const NAMELESS_WAIT_NS: u64 = 50_000_000;
/// And the name of an older one.
const WAIT_NS: u64 = 30_000_000_000;

/// The names of one process's threads.
#[derive(Default, Debug)]
pub struct PythonNames {
    reader: ThreadNames,
    known: BTreeMap<Tid, Known>,
    /// When somebody is to be looked at again.
    next: u64,
}

#[derive(Debug)]
struct Known {
    /// Of the thread state: another thread may get the id.
    since: u64,
    again: u64,
    name: Option<ThreadName>,
}

impl PythonNames {
    /// Whether the program itself has named a thread.
    pub fn has(&self, tid: Tid) -> bool {
        self.known.get(&tid).is_some_and(|known| known.name.is_some())
    }

    /// Whether threads are left that were never looked at.
    pub fn is_behind(&self) -> bool {
        self.next == 0
    }

    /// A thread has ended.
    pub fn forget(&mut self, tid: Tid) {
        self.known.remove(&tid);
    }

    /// Reads the names that are due, some at a time: `changed` if there are threads that were not there before. Gives those that
    /// are new. Calls `between` before each: many take long.
    pub fn look(
        &mut self,
        process: &Process,
        threads: &BTreeMap<Tid, Thread>,
        (now, changed): (u64, bool),
        between: &mut dyn FnMut(),
    ) -> Vec<(Tid, String)> {
        if now < self.next && !changed {
            return Vec::new();
        }
        self.reader.begin();
        self.next = u64::MAX;
        let (mut found, mut looks) = (Vec::new(), 0);
        for thread in threads.values() {
            let new = Known { since: now, again: 0, name: None };
            let Some(state) = thread.python.as_ref().and_then(|python| python.states.first()) else { continue };
            let known = self.known.entry(thread.tid).or_insert(new);
            if known.again <= now && looks == LOOKS_MAX {
                self.next = 0;
                break;
            }
            if known.again <= now {
                between();
                looks += known.look(process, state, (thread, now), &mut self.reader, &mut found);
            }
            self.next = self.next.min(known.again);
        }
        found
    }
}

impl Known {
    /// Looks at one thread: how many thread objects were read.
    fn look(
        &mut self,
        process: &Process,
        state: &runtimes::python::ThreadState,
        (thread, now): (&Thread, u64),
        reader: &mut ThreadNames,
        found: &mut Vec<(Tid, String)>,
    ) -> usize {
        self.again = now.saturating_add(match now.saturating_sub(self.since) {
            0..NEW_NS if self.name.is_none() => 0,
            0..YOUNG_WAIT_NS if self.name.is_none() => NAMELESS_WAIT_NS,
            0..YOUNG_NS => YOUNG_WAIT_NS,
            _ => WAIT_NS,
        });
        let mut memory = Now(thread.tid);
        if self.name.as_ref().is_some_and(|name| name.is_still(&mut memory)) {
            return 0;
        }
        let name = reader.name(process, state, &mut memory);
        // While it lives, no other thread has its ident, by which the name was found.
        if let Some(name) = name.filter(|_| thread.schedstat.read(&mut [0; 128]).is_ok()) {
            found.push((thread.tid, name.name.clone()));
            self.name = Some(name);
        }
        1
    }
}

//! Looks at threads without disturbing them: whether each ran, where it sleeps, and what its stack holds. Stops nobody: who
//! has to be stopped to be read is only listed.

use nix::errno::Errno;
use profile::{
    address::RemoteAddr,
    counters::Counters,
    id::{Pid, Tid},
    thread::ThreadState,
};
use runtimes::python::Process;
use unwinder::{ModuleMap, Registers};

use super::{
    Account, Capture, Read, eintr,
    stops::Pending,
    window::{Slots, copied, learn_pages, stop_copy},
};
use crate::{
    interpreter,
    ledger::Ledger,
    memory,
    procfs::{self, Syscall},
    sampler::{Native, Settings},
    target::Target,
    threads::{Fingerprint, SNAPSHOT_MAX, Thread},
};

/// What a tick of one target is about: the same for each of its threads.
pub(super) struct Scene<'t> {
    pub(super) target: &'t Target,
    pub(super) modules: &'t ModuleMap,
    pub(super) python: Option<&'t Process>,
    pub(super) account: &'t mut Account,
    pub(super) now: u64,
}

/// What looking works with.
pub(super) struct Hands<'h> {
    pub(super) ledger: &'h mut Ledger,
    /// For walks of deep stacks; nobody is stopped meanwhile, so they are free.
    pub(super) slots: &'h mut Slots,
    /// Interrupted threads that have not stopped yet.
    pub(super) pending: &'h [Pending],
}

/// What looking at threads led to.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) reads: Vec<(Tid, Read)>,
    /// They run: to be read, they must be stopped.
    pub(super) to_stop: Vec<Tid>,
    pub(super) ended: Vec<Tid>,
    /// Somebody must be looked at again although nobody ran.
    pub(super) unsettled: bool,
    /// The process is stopped by a signal; asked when it first matters.
    group_stopped: Option<bool>,
}

/// Looks at threads.
#[derive(Debug)]
pub(super) struct Looker {
    /// The kernel counts runs by thread.
    gate_works: bool,
    /// A setting, off by default: stop a sleeper whose stack needs rbp where its call restarts unseen.
    stop_for_rbp: bool,
    native: Native,
    scratch: Box<[u8]>,
}

/// What looking at one thread led to.
enum Look {
    Stands,
    Stop,
    Read(Read),
    Unread,
    Ended,
}

/// Where a sleeper is.
#[derive(Clone, Copy)]
struct Found {
    state: ThreadState,
    registers: Registers,
    /// The futex that it sleeps in.
    futex: Option<RemoteAddr>,
}

impl Looker {
    pub(super) fn new(gate_works: bool, settings: &Settings) -> Self {
        let Settings { stop_for_rbp, native, .. } = *settings;
        Self { gate_works, stop_for_rbp, native, scratch: vec![0; SNAPSHOT_MAX].into_boxed_slice() }
    }

    pub(super) fn gate_works(&self) -> bool {
        self.gate_works
    }

    /// Looks at one thread, and notes in `seen` what is to be done about it.
    pub(super) fn look_at(
        &mut self,
        thread: &mut Thread,
        scene: &mut Scene<'_>,
        hands: &mut Hands<'_>,
        seen: &mut Seen,
    ) {
        let tid = thread.tid;
        thread.looked_at = scene.now;
        thread.late = thread.late && hands.pending.iter().any(|late| late.tid == tid);
        match self.look(thread, scene, hands, seen) {
            Look::Stands => {}
            Look::Stop => {
                // It may run on without being switched, so its count alone would not show it.
                hands.ledger.ran(tid);
                seen.to_stop.push(tid);
            }
            Look::Read(read) => seen.reads.push((tid, read)),
            Look::Unread => {
                seen.unsettled = true;
                seen.reads.push((tid, Read::Unread));
            }
            Look::Ended => seen.ended.push(tid),
        }
        seen.unsettled |= thread.again;
    }

    fn look(&mut self, thread: &mut Thread, scene: &mut Scene<'_>, hands: &mut Hands<'_>, seen: &mut Seen) -> Look {
        let mut text = [0; 256];
        let run_count = match thread.schedstat.read(&mut text) {
            Ok(text) => procfs::parse_run_count(text).filter(|_| self.gate_works),
            Err(Errno::ESRCH | Errno::ENOENT) => return Look::Ended,
            Err(_) => None,
        };
        if let Some(count) = run_count {
            hands.ledger.read(thread.tid, std::mem::replace(&mut thread.counted, count), count);
        }
        let stood = run_count.is_some()
            && run_count == thread.run_count
            && thread.state.is_some_and(ThreadState::is_blocked)
            && !thread.again;
        if stood {
            return Look::Stands;
        }
        thread.run_count = run_count;
        if thread.late {
            scene.account.counters.late = scene.account.counters.late.saturating_add(1);
            return Look::Unread;
        }
        let Ok(text) = thread.syscall.read(&mut text) else {
            return if is_alive(&thread.schedstat) { skip(scene.account, "not_permitted") } else { Look::Ended };
        };
        match procfs::parse_syscall(text) {
            None => skip(scene.account, "syscall_unreadable"),
            Some(Syscall::Running) => stop(thread, scene),
            Some(Syscall::In { sp, pc, .. }) if seen.is_group_stopped(scene.target.pid, thread.tid) => {
                self.look_stopped(thread, scene, hands, (sp, pc))
            }
            Some(Syscall::In { number, first, sp, pc }) => {
                let state = ThreadState::Sleeping(number);
                if self.stop_for_rbp && thread.wants_rbp && !eintr::is_shown(number) && !self.is_same(thread, sp, pc) {
                    return Look::Stop;
                }
                let registers = blocked(number, first, sp, pc);
                let futex = Syscall::futex(number, first);
                self.snapshot(thread, scene, hands, Found { state, registers, futex })
            }
            Some(Syscall::Outside { sp, pc }) => self.look_outside(thread, scene, hands, (sp, pc)),
        }
    }

    /// A thread that is blocked outside a system call: stopped, traced, or in a page fault. Or one that was let go a moment
    /// ago, and that its CPU, paused by the machine below it, has not taken back yet (`TASK_WAKING`, shown as `R`).
    fn look_outside(
        &mut self,
        thread: &mut Thread,
        scene: &mut Scene<'_>,
        hands: &mut Hands<'_>,
        (sp, pc): (u64, u64),
    ) -> Look {
        let state = match procfs::thread_stat(scene.target.pid, thread.tid).map(|stat| stat.state) {
            Ok(b'T') => return self.look_stopped(thread, scene, hands, (sp, pc)),
            Ok(b'R') => return stop(thread, scene),
            Ok(b't') => ThreadState::Traced,
            Ok(b'Z' | b'X') | Err(_) => return Look::Ended,
            Ok(_) => ThreadState::Blocked,
        };
        self.snapshot(thread, scene, hands, Found { state, registers: Registers::blocked(sp, pc), futex: None })
    }

    /// A group-stopped thread: a ptrace stop disturbs nothing, and shows every register. Once is enough while it stays
    /// where it is.
    fn look_stopped(
        &mut self,
        thread: &mut Thread,
        scene: &mut Scene<'_>,
        hands: &mut Hands<'_>,
        (sp, pc): (u64, u64),
    ) -> Look {
        let state = ThreadState::Stopped;
        let stands = thread.state == Some(state) && (thread.fingerprint.sp, thread.fingerprint.pc) == (sp, pc);
        if stands && thread.fingerprint.words.is_empty() {
            // Read a moment ago, and what its unwind read is not back yet.
            return Look::Stands;
        }
        if stands && self.is_same(thread, sp, pc) {
            let registers = Registers::blocked(sp, pc);
            return self.snapshot(thread, scene, hands, Found { state, registers, futex: None });
        }
        stop(thread, scene)
    }

    /// Copies the stack of a sleeper, and proves by its run count that it slept all the while.
    fn snapshot(&mut self, thread: &mut Thread, scene: &mut Scene<'_>, hands: &mut Hands<'_>, found: Found) -> Look {
        let Found { state, registers, futex } = found;
        let (sp, pc) = (registers.sp().0, registers.pc().0);
        let python = scene.python.and_then(|process| interpreter::walk(hands.slots.python(), process, thread));
        let is_native = interpreter::wants_native(self.native, python.as_ref());
        let len = if is_native { thread.copy_len } else { 0 };
        let Some(buffer) = self.scratch.get_mut(..len) else { return Look::Unread };
        let got = memory::read(thread.tid, RemoteAddr(sp), buffer).unwrap_or(0);
        let same = is_native
            && !thread.again
            && matches(&thread.fingerprint, sp, pc, self.scratch.get(..got).unwrap_or_default())
            && interpreter::is_same(hands.slots.python(), python.as_ref(), thread);
        let walks = is_native && !same && thread.is_walked();
        if walks && let Some(slot) = hands.slots.get_mut(0) {
            slot.copy(thread.tid, sp, stop_copy(thread), &thread.pages);
            hands.slots.walk(0, thread.tid, &registers, scene.modules);
        }
        match self.slept(thread, sp, pc) {
            Some(true) => {}
            Some(false) => {
                thread.run_count = None;
                Counters::count(&mut scene.account.counters.lost, "woke_while_read");
                return Look::Unread;
            }
            None => return Look::Ended,
        }
        if python.is_some() {
            interpreter::learn(hands.slots.python(), thread);
        }
        if let Some(why) = python.as_ref().and_then(interpreter::failure) {
            // What it had before must not be taken to stand; the next look knows more of where its frames are.
            (thread.run_count, thread.state) = (None, None);
            Counters::count(&mut scene.account.counters.lost, why);
            return Look::Unread;
        }
        thread.state = Some(state);
        let state = interpreter::state(hands.slots.python(), thread, state, futex);
        if same {
            return Look::Read(Read::Same(state));
        }
        thread.again = false;
        thread.fingerprint.words.clear();
        let (stack, pages) = match hands.slots.get_mut(0).filter(|_| walks) {
            Some(slot) => (slot.stack().into(), slot.pages().map(|(at, bytes)| (at, bytes.into())).collect()),
            None => (self.scratch.get(..got).unwrap_or_default().into(), Vec::new()),
        };
        learn_pages(thread, &pages);
        thread.captures += 1;
        let number = thread.captures;
        let python = interpreter::capture(hands.slots.python(), python, thread);
        Look::Read(Read::Captured(Box::new(Capture { registers, state, stack, pages, number, python })))
    }

    /// Whether a sleeper has not run since its run count was read. `None`: it has ended.
    fn slept(&self, thread: &Thread, sp: u64, pc: u64) -> Option<bool> {
        let mut text = [0; 128];
        let after = procfs::parse_run_count(thread.schedstat.read(&mut text).ok()?);
        // Where the kernel counts no runs: the weaker proof, that it is in the same place still.
        Some(if self.gate_works { after == thread.run_count } else { still_at(thread, sp, pc) })
    }

    /// Whether the thread's stack is the one it had: every word that its last unwind read is as it was.
    fn is_same(&mut self, thread: &Thread, sp: u64, pc: u64) -> bool {
        let Some(buffer) = self.scratch.get_mut(..thread.copy_len) else { return false };
        let got = memory::read(thread.tid, RemoteAddr(sp), buffer).unwrap_or(0);
        matches(&thread.fingerprint, sp, pc, self.scratch.get(..got).unwrap_or_default())
    }
}

impl Seen {
    /// Whether the process is stopped by a signal: all its threads are, also those that were in a system call.
    fn is_group_stopped(&mut self, pid: Pid, tid: Tid) -> bool {
        let ask = || procfs::thread_stat(pid, tid).is_ok_and(|stat| stat.state == b'T');
        *self.group_stopped.get_or_insert_with(ask)
    }
}

/// To be stopped, unless another tracer had it a moment ago.
fn stop(thread: &Thread, scene: &mut Scene<'_>) -> Look {
    if scene.now < thread.retry_at { skip(scene.account, "traced_by_other") } else { Look::Stop }
}

/// Whether the thread of a kept descriptor has not ended.
pub(super) fn is_alive(schedstat: &procfs::Kept) -> bool {
    !matches!(schedstat.read(&mut [0; 128]), Err(Errno::ESRCH | Errno::ENOENT))
}

/// What a sleeper shows of its registers. glibc's vfork keeps its return address in rdi (the child will overwrite the
/// stack), and the kernel shows rdi as the first argument.
fn blocked(number: u32, first: u64, sp: u64, pc: u64) -> Registers {
    const VFORK: u32 = 58;
    const RDI: u16 = 5;
    let registers = Registers::blocked(sp, pc);
    if number == VFORK { registers.with(RDI, first) } else { registers }
}

fn skip(account: &mut Account, why: &str) -> Look {
    Counters::count(&mut account.counters.skipped, why);
    Look::Unread
}

fn still_at(thread: &Thread, sp: u64, pc: u64) -> bool {
    let mut text = [0; 256];
    match thread.syscall.read(&mut text).ok().and_then(procfs::parse_syscall) {
        Some(Syscall::In { sp: now_sp, pc: now_pc, .. } | Syscall::Outside { sp: now_sp, pc: now_pc }) => {
            (now_sp, now_pc) == (sp, pc)
        }
        _ => false,
    }
}

fn matches(known: &Fingerprint, sp: u64, pc: u64, stack: &[u8]) -> bool {
    !known.words.is_empty()
        && (known.sp, known.pc) == (sp, pc)
        && known.words.iter().all(|(at, value)| {
            let mut word = [0; 8];
            copied(sp, stack, *at, &mut word) && u64::from_le_bytes(word) == *value
        })
}

//! From captures to stacks: one thread that knows the modules of every target, unwinds what the reader copied, and says
//! what happened as events. Reads maps and ELF files; never touches a target's threads.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender},
    },
};

use profile::{
    address::RemoteAddr,
    board::Board,
    code::{Code, CodeIndex},
    counters::Counters,
    feed::{Event, StackId},
    id::{Pid, Tid},
    module::ModuleIndex,
    stack::{NativeStack, RawStack, StackEnd, Truncation},
};
use unwinder::{Memory, Unwinder};

use crate::{
    generated::Generated,
    interpreter,
    memory::Lasting,
    modules::{InfoCache, ModuleFile, Modules},
    python_stacks::Pythons,
    reader::{Account, Capture, Known, Read, Tick, window::copied},
    sampler::{Native, Output, Sink, TargetId},
    sys::{monotonic_ns, thread_cpu_ns},
    target::live_thread,
    threads::Word,
};

/// Maps are read again for an unknown address at most this often: it takes the target's mmap lock.
const RELOAD_NS: u64 = 50_000_000;
/// And without one, to see a library that took another's place.
const RELOAD_ANYWAY_NS: u64 = 1_000_000_000;
/// A stack that read more words is unwound anew each time.
const WORDS_MAX: usize = 256;

/// What the sampler hands over.
#[derive(Debug)]
pub(crate) enum Work {
    /// A target begins.
    Attach {
        id: TargetId,
        pid: Pid,
        /// Where the sampler looks for the modules as they are now.
        shared: Arc<SharedModules>,
    },
    /// One tick, and the ticks before it at which nothing happened.
    Tick { id: TargetId, quiet: Vec<u64>, tick: Tick },
    /// Events that need no unwinding.
    Events { id: TargetId, events: Vec<Event> },
    /// What went wrong and what it cost, since the last.
    Account { id: TargetId, account: Box<Account>, agent_cpu_us: u64 },
    /// A target's board is another.
    Board { id: TargetId, at_ns: u64, bytes: Box<[u8]> },
    /// A target's last word.
    Gone { id: TargetId, at_ns: u64 },
}

/// The modules of a target, as the sampler reads them at a tick's start (never in a stop).
#[derive(Debug)]
pub(crate) struct SharedModules(Mutex<Option<Known>>);

impl SharedModules {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(None)))
    }

    /// `None` until they have been read the first time.
    pub(crate) fn get(&self) -> Option<Known> {
        self.0.lock().ok()?.clone()
    }

    fn set(&self, known: Known) {
        if let Ok(mut shared) = self.0.lock() {
            *shared = Some(known);
        }
    }
}

/// What the unwinder learned about a thread, back to the sampler.
#[derive(Debug)]
pub(crate) struct Learned {
    pub(crate) id: TargetId,
    pub(crate) tid: Tid,
    /// Of the capture.
    pub(crate) number: u64,
    pub(crate) need: u64,
    pub(crate) cut: bool,
    pub(crate) wants_rbp: bool,
    /// It is in an interpreter that knows it by a state that we do not.
    pub(crate) wants_state: bool,
    /// No stack came of it: the one before must not be taken to stand.
    pub(crate) failed: bool,
    pub(crate) sp: u64,
    pub(crate) pc: u64,
    /// Empty: the thread was running, or read too much.
    pub(crate) words: Vec<Word>,
}

impl Learned {
    fn failed(id: TargetId, tid: Tid, number: u64) -> Self {
        let (need, sp, pc) = (0, 0, 0);
        let (cut, wants_rbp, wants_state) = (false, false, false);
        Self { id, tid, number, need, cut, wants_rbp, wants_state, failed: true, sp, pc, words: Vec::new() }
    }
}

/// Runs until the sampler hangs up. `attach_cpu`: what first looks at targets took.
pub(crate) fn run(
    work: &Receiver<Work>,
    learned: &Sender<Learned>,
    native: Native,
    sink: &mut dyn Sink,
    attach_cpu: &AtomicU64,
) {
    let mut all = Unwinding { native, targets: HashMap::new(), cache: InfoCache::default(), unwinder: Unwinder::new() };
    while let Ok(work) = work.recv() {
        let began = matches!(work, Work::Attach { .. }).then(thread_cpu_ns);
        all.work(work, learned, sink);
        if let Some(began) = began {
            attach_cpu.fetch_add(thread_cpu_ns().saturating_sub(began), Ordering::Relaxed);
        }
    }
}

struct Unwinding {
    native: Native,
    targets: HashMap<TargetId, State>,
    cache: InfoCache,
    unwinder: Unwinder,
}

/// What is known of a target here.
struct State {
    pid: Pid,
    native: Native,
    modules: Modules,
    python: Pythons,
    generated: Generated,
    shared: Arc<SharedModules>,
    loaded_at: u64,
    stacks: HashMap<Arc<RawStack>, StackId>,
    /// Each thread's last stack: known again, or standing.
    last: HashMap<Tid, Arc<RawStack>>,
    /// How many of these end in each way.
    ends: BTreeMap<StackEnd, u64>,
    next_stack: u32,
    counters: Counters,
}

impl Unwinding {
    fn work(&mut self, work: Work, learned: &Sender<Learned>, sink: &mut dyn Sink) {
        match work {
            Work::Attach { id, pid, shared } => {
                let state = State {
                    pid,
                    native: self.native,
                    modules: Modules::new(pid),
                    python: Pythons::default(),
                    generated: Generated::new(pid),
                    shared,
                    loaded_at: 0,
                    stacks: HashMap::new(),
                    last: HashMap::new(),
                    ends: BTreeMap::new(),
                    next_stack: 0,
                    counters: Counters::default(),
                };
                let state = self.targets.entry(id).or_insert(state);
                state.reload(id, &mut self.cache, sink);
                state.shared.set(state.known());
            }
            Work::Tick { id, quiet, tick } => {
                let Some(state) = self.targets.get_mut(&id) else { return };
                if sink.forgets_stacks(id) {
                    state.stacks.clear();
                    state.next_stack = 0;
                }
                state.count(quiet.len() as u64);
                for at_ns in quiet {
                    sink.output(id, Output::Event(Event::Tick { at_ns }));
                }
                state.counters.samples = state.counters.samples.saturating_add(tick.samples);
                sink.output(id, Output::Event(Event::Tick { at_ns: tick.at_ns }));
                for (tid, name) in tick.named {
                    sink.output(id, Output::Event(Event::Thread { tid, name }));
                }
                for (tid, ident) in tick.idents {
                    sink.output(id, Output::Event(Event::Ident { tid, ident }));
                }
                let unread = |(tid, read): &(Tid, Read)| matches!(read, Read::Unread).then_some(*tid);
                let unread: Vec<Tid> = tick.reads.iter().filter_map(unread).collect();
                // It may be another program by now, of which nothing is captured that would tell.
                if !unread.is_empty() && monotonic_ns().saturating_sub(state.loaded_at) > RELOAD_ANYWAY_NS {
                    state.reload(id, &mut self.cache, sink);
                }
                for (tid, read) in tick.reads {
                    state.read(id, tid, read, &mut self.cache, &mut self.unwinder, learned, sink);
                }
                state.count_without(&unread);
            }
            Work::Events { id, events } => {
                if let Some(state) = self.targets.get_mut(&id) {
                    let ticks = events.iter().filter(|event| matches!(event, Event::Tick { .. })).count();
                    state.count(ticks as u64);
                }
                events.into_iter().for_each(|event| sink.output(id, Output::Event(event)));
            }
            Work::Board { id, at_ns, bytes } => {
                let board = Board::read(&bytes).unwrap_or_default();
                sink.output(id, Output::Board { at_ns, board });
            }
            Work::Account { id, account, agent_cpu_us } => self.account(id, &account, agent_cpu_us, sink),
            Work::Gone { id, at_ns } => {
                if let Some(mut state) = self.targets.remove(&id) {
                    let counters = std::mem::take(&mut state.counters);
                    sink.output(id, Output::Event(Event::Counters(Box::new(counters))));
                }
                self.cache.sweep();
                sink.output(id, Output::Gone { at_ns });
            }
        }
    }

    fn account(&mut self, id: TargetId, account: &Account, agent_cpu_us: u64, sink: &mut dyn Sink) {
        let Some(state) = self.targets.get_mut(&id) else { return };
        let mut counters = std::mem::take(&mut state.counters);
        counters.merge(&account.counters);
        sink.output(id, Output::Event(Event::Counters(Box::new(counters))));
        sink.output(
            id,
            Output::Event(Event::Cost {
                stopped_us: account.stopped_ns / 1000,
                stop_max_us: account.stop_max_ns / 1000,
                agent_cpu_us,
            }),
        );
    }
}

impl State {
    #[allow(clippy::too_many_arguments, reason = "the parts of one loop, borrowed apart")]
    fn read(
        &mut self,
        id: TargetId,
        tid: Tid,
        read: Read,
        cache: &mut InfoCache,
        unwinder: &mut Unwinder,
        learned: &Sender<Learned>,
        sink: &mut dyn Sink,
    ) {
        match read {
            Read::Ended => {
                self.keep(tid, None);
                sink.output(id, Output::Event(Event::Ended { tid }));
            }
            Read::Unread => sink.output(id, Output::Event(Event::Unread { tid })),
            Read::Same(state) => match self.last.get(&tid).map(Arc::clone) {
                Some(stack) => {
                    let stack = self.intern(id, &stack, sink);
                    sink.output(id, Output::Event(Event::Sample { tid, stack, state }));
                }
                None => sink.output(id, Output::Event(Event::Unread { tid })),
            },
            Read::Captured(capture) => {
                let Some(stack) = self.unwind(id, tid, &capture, cache, unwinder, learned, sink) else {
                    return sink.output(id, Output::Event(Event::Unread { tid }));
                };
                let stack = Arc::new(stack);
                self.keep(tid, Some(Arc::clone(&stack)));
                let stack = self.intern(id, &stack, sink);
                sink.output(id, Output::Event(Event::Sample { tid, stack, state: capture.state }));
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one loop, borrowed apart")]
    fn unwind(
        &mut self,
        id: TargetId,
        tid: Tid,
        capture: &Capture,
        cache: &mut InfoCache,
        unwinder: &mut Unwinder,
        learned: &Sender<Learned>,
        sink: &mut dyn Sink,
    ) -> Option<RawStack> {
        let end = capture.python.as_ref().map(|python| &python.end);
        if !interpreter::wants_native(self.native, end) {
            return self.without_native(id, tid, capture, learned, sink);
        }
        let mut stack = NativeStack::new();
        let mut memory =
            Captured { capture, tid, sp: capture.registers.sp().0, need: 0, missed: false, words: Vec::new() };
        unwinder.unwind(&capture.registers, &mut memory, self.modules.map(), &mut stack);
        let unknown = stack.end == StackEnd::Truncated(Truncation::NoModule);
        let age = monotonic_ns().saturating_sub(self.loaded_at);
        if (unknown && age > RELOAD_NS || age > RELOAD_ANYWAY_NS) && self.reload(id, cache, sink) {
            memory.reset();
            unwinder.unwind(&capture.registers, &mut memory, self.modules.map(), &mut stack);
        }
        let cut = stack.end == StackEnd::Truncated(Truncation::BeyondCopy) && memory.missed;
        let sleeping = capture.state.is_blocked();
        let words = if sleeping && memory.words.len() <= WORDS_MAX { memory.words } else { Vec::new() };
        let mut merged = self.merge(id, tid, Some(&stack), capture, sink);
        if let Some(stack) = &mut merged {
            self.name_generated(id, tid, stack, sink);
        }
        let told = Learned {
            id,
            tid,
            number: capture.number,
            need: memory.need,
            cut,
            wants_rbp: sleeping && stack.end == StackEnd::Truncated(Truncation::RegisterUnknown),
            wants_state: self.python.wants_state(&stack, capture.python.as_ref()),
            failed: merged.is_none(),
            sp: capture.registers.sp().0,
            pc: capture.registers.pc().0,
            words,
        };
        drop(learned.send(told));
        merged
    }

    /// The stack of a thread of which no native frames were copied.
    fn without_native(
        &mut self,
        id: TargetId,
        tid: Tid,
        capture: &Capture,
        learned: &Sender<Learned>,
        sink: &mut dyn Sink,
    ) -> Option<RawStack> {
        let stack = self.merge(id, tid, None, capture, sink);
        if stack.is_none() {
            drop(learned.send(Learned::failed(id, tid, capture.number)));
        }
        stack
    }

    /// The whole stack. `None`: the Python side did not fit together; the counters say so.
    fn merge(
        &mut self,
        id: TargetId,
        tid: Tid,
        native: Option<&NativeStack>,
        capture: &Capture,
        sink: &mut dyn Sink,
    ) -> Option<RawStack> {
        if native.is_some_and(|native| self.python.lacks_frames(native, capture.python.as_ref())) {
            Counters::count(&mut self.counters.truncated, "python_state_unknown");
        }
        let mut announce = |index: CodeIndex, code: Code| sink.output(id, Output::Event(Event::Code(index, code)));
        let mut memory = Lasting::new(tid, self.pid);
        match self.python.merge(native, capture, &mut memory, &mut announce) {
            Ok((stack, is_named)) => {
                if !is_named {
                    Counters::count(&mut self.counters.truncated, "python_too_many_functions");
                }
                Some(stack)
            }
            Err(why) => {
                Counters::count(&mut self.counters.lost, why);
                self.counters.samples = self.counters.samples.saturating_sub(1);
                None
            }
        }
    }

    /// Names the frames in code that the target has generated.
    fn name_generated(&mut self, id: TargetId, tid: Tid, stack: &mut RawStack, sink: &mut dyn Sink) {
        let Some(news) = self.generated.name(stack, self.modules.map(), tid, monotonic_ns()) else { return };
        news.codes.into_iter().for_each(|(index, code)| sink.output(id, Output::Event(Event::Code(index, code))));
        news.hint.into_iter().for_each(|hint| sink.output(id, Output::Hint(hint)));
    }

    /// Takes a thread's new stack, or its end.
    fn keep(&mut self, tid: Tid, stack: Option<Arc<RawStack>>) {
        let (new, old) = match stack {
            Some(stack) => (Some(stack.end), self.last.insert(tid, stack)),
            None => (None, self.last.remove(&tid)),
        };
        if let Some(count) = old.and_then(|old| self.ends.get_mut(&old.end)) {
            *count = count.saturating_sub(1);
        }
        if let Some(end) = new {
            *self.ends.entry(end).or_default() += 1;
        }
    }

    /// Counts the stacks of `ticks` ticks at which all stood.
    fn count(&mut self, ticks: u64) {
        for (end, threads) in &self.ends {
            count_end(&mut self.counters, *end, threads.saturating_mul(ticks));
        }
    }

    /// Counts those of one tick but for the threads that could not be read.
    fn count_without(&mut self, unread: &[Tid]) {
        let mut ends = self.ends.clone();
        for stack in unread.iter().filter_map(|tid| self.last.get(tid)) {
            if let Some(count) = ends.get_mut(&stack.end) {
                *count = count.saturating_sub(1);
            }
        }
        ends.into_iter().for_each(|(end, threads)| count_end(&mut self.counters, end, threads));
    }

    fn intern(&mut self, id: TargetId, stack: &Arc<RawStack>, sink: &mut dyn Sink) -> StackId {
        if let Some(known) = self.stacks.get(stack) {
            return *known;
        }
        let new = StackId(self.next_stack);
        self.next_stack = self.next_stack.wrapping_add(1);
        sink.output(id, Output::Event(Event::Stack(new, RawStack::clone(stack))));
        self.stacks.insert(Arc::clone(stack), new);
        new
    }

    /// Whether anything executable changed.
    fn reload(&mut self, id: TargetId, cache: &mut InfoCache, sink: &mut dyn Sink) -> bool {
        self.loaded_at = monotonic_ns();
        let Some(tid) = live_thread(self.pid) else { return false };
        let (python, generated) = (&mut self.python, &mut self.generated);
        let mut announce = |index: ModuleIndex, file: ModuleFile| {
            python.note(index, &file);
            generated.note(index, &file);
            sink.output(id, Output::Event(Event::Module(index, file.module.clone())));
            sink.output(id, Output::ModuleFile(index, file));
        };
        let has_changed = self.modules.reload(tid, cache, &mut announce).is_some();
        let is_wanted = self.native != Native::Only;
        let found = is_wanted.then(|| self.python.find(tid, self.modules.map(), self.loaded_at)).flatten();
        if has_changed || found.is_some() {
            self.shared.set(self.known());
        }
        if has_changed {
            self.generated.settle(self.modules.map());
        }
        if let Some((index, module)) = found {
            sink.output(id, Output::Event(Event::Module(index, module)));
        }
        has_changed
    }

    fn known(&self) -> Known {
        Known { modules: Arc::clone(self.modules.map()), python: self.python.process() }
    }
}

fn count_end(counters: &mut Counters, end: StackEnd, samples: u64) {
    match end {
        StackEnd::Complete => {}
        StackEnd::Guessed => counters.guessed = counters.guessed.saturating_add(samples),
        StackEnd::Truncated(why) => Counters::count_many(&mut counters.truncated, why.as_str(), samples),
        StackEnd::Gap(gap) => Counters::count_many(&mut counters.truncated, gap.as_str(), samples),
    }
}

/// A capture as memory. Remembers how far up it was read, and what.
struct Captured<'c> {
    capture: &'c Capture,
    tid: Tid,
    sp: u64,
    need: u64,
    missed: bool,
    words: Vec<Word>,
}

impl Captured<'_> {
    fn reset(&mut self) {
        self.need = 0;
        self.missed = false;
        self.words.clear();
    }

    fn note(&mut self, at: u64, into: &[u8]) {
        self.need = self.need.max(at.saturating_sub(self.sp).saturating_add(into.len() as u64));
        if let Ok(word) = <[u8; 8]>::try_from(into)
            && self.words.len() <= WORDS_MAX
        {
            self.words.push((at, u64::from_le_bytes(word)));
        }
    }
}

impl Memory for Captured<'_> {
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        if copied(self.sp, &self.capture.stack, at.0, into) {
            self.note(at.0, into);
            return true;
        }
        let in_page = self.capture.pages.iter().any(|(base, bytes)| copied(*base, bytes, at.0, into));
        if in_page || self.across_pages(at.0, into) {
            self.note(at.0, into);
            return true;
        }
        self.missed |= at.0 > self.sp;
        false
    }

    /// Code does not change while it is on a stack, so it may be read later.
    fn read_code(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        crate::memory::read(self.tid, at, into) == Ok(into.len())
    }
}

impl Captured<'_> {
    /// Byte by byte, for the rare word that lies on two pieces.
    fn across_pages(&self, at: u64, into: &mut [u8]) -> bool {
        let pieces = || {
            std::iter::once((self.sp, &self.capture.stack))
                .chain(self.capture.pages.iter().map(|(at, page)| (*at, page)))
        };
        into.iter_mut()
            .zip(at..)
            .all(|(byte, at)| pieces().any(|(base, bytes)| copied(base, bytes, at, std::slice::from_mut(byte))))
    }
}

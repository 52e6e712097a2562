//! The stack of one Python thread, read while it stands still: frames, the marks that the eval loop left on the C stack, and
//! what identifies each code object. Allocates nothing after `new`, calls the memory a bounded number of times, names nothing.

use profile::address::RemoteAddr;

use super::{
    CodeKey, Frame, Mark, Owner, Plan,
    asyncio::{Below, TaskLayout, Tasks},
    bytes::{u8_at, u32_at, u64_at},
    copies::{BATCH, Copies, Missing, from_page_start, to_page_end},
    distinct::Distinct,
    ends::Ends,
    find::Process,
    offsets::{Instruction, Layout, MarkKind, TYPE, Top},
    receivers::{Codes, Local, Receivers, Signature},
    strings::is_of,
    threads::{Lock, ThreadState},
};
use crate::Memory;

/// Deeper stacks lose their middle. CPython's own limit is 1,000 unless a program raises it.
pub const FRAMES_MAX: usize = 1024;
/// Calls of the memory in one [`Walk::read`].
pub const READS_MAX: usize = 64;
/// Of those, the ones for code objects: all of the frames that are kept, [`BATCH`] at a time.
const CODE_READS: usize = FRAMES_MAX / BATCH;
/// Links of a chain that are followed; so many reads seldom hold more.
const LINKS_MAX: usize = 16_384;
/// Of a stack that was too deep before, so many reads in a row look at what is shown alone; the next tries again.
const RETRY_EVERY: u32 = 64;
/// Thread states of one thread: where a server runs an interpreter for each application, a thread has one in each.
pub const STATES_MAX: usize = 16;
/// The least size of a chunk of the data stack, and most often its size.
const CHUNK: u64 = 16 << 10;
/// What a pointer is without the marks in its low bits.
pub(super) const UNTAGGED: u64 = !3;
/// The owner of a frame that is no call but the start of an activation of the eval loop.
const SHIM: u8 = 3;

/// How a read ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// The frames are all there, down to the root.
    Complete,
    /// The frames from the leaf on. There are more, in more parts than could be read.
    Cut,
    /// The thread runs no Python code.
    NoFrames,
    /// None of the states is this thread's any more: it runs no Python code, or in a state that is not known.
    NoState,
    /// Something did not fit together: nothing is known of this moment.
    Torn,
}

/// The buffers of a read, and its result: of [`End::Complete`] and [`End::Cut`] only.
#[derive(Debug)]
pub struct Walk {
    copies: Copies,
    codes: Codes,
    receivers: Receivers,
    tasks: Tasks,
    kept: Ends<Frame>,
    /// Of each frame that is kept.
    kept_locals: Ends<Local>,
    kept_marks: Ends<Mark>,
    frames: Vec<Frame>,
    locals: Vec<Local>,
    marks: Vec<Mark>,
    omitted: Option<(usize, usize)>,
    is_holder: Option<bool>,
    gap: Option<usize>,
    /// How many links of a chain are followed.
    links_max: usize,
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}

impl Walk {
    /// Allocates the buffers, and writes to each page of them, so that no read has to wait for one.
    pub fn new() -> Self {
        Self {
            copies: Copies::new(),
            codes: Distinct::new(),
            receivers: Receivers::new(),
            tasks: Tasks::new(),
            kept: Ends::new(FRAMES_MAX),
            kept_locals: Ends::new(FRAMES_MAX),
            kept_marks: Ends::new(FRAMES_MAX),
            frames: touched(FRAMES_MAX),
            locals: touched(FRAMES_MAX),
            marks: touched(FRAMES_MAX),
            omitted: None,
            is_holder: None,
            gap: None,
            links_max: LINKS_MAX,
        }
    }

    /// The largest buffer, for who wants to keep it in memory.
    pub fn room(&self) -> &[u8] {
        self.copies.room()
    }

    /// Reads the stack of a thread, which stands still meanwhile, by at most [`READS_MAX`] calls of the memory. `states`: those
    /// that the thread had when they were last looked for, at most [`STATES_MAX`].
    pub fn read(
        &mut self,
        process: &Process,
        states: &[ThreadState],
        plan: &mut Plan,
        memory: &mut impl Memory,
    ) -> End {
        self.clear();
        self.links_max = if plan.cuts.is_multiple_of(RETRY_EVERY) { LINKS_MAX } else { FRAMES_MAX };
        self.copies.begin(plan, READS_MAX - CODE_READS, memory);
        self.is_holder = self.holds(states, memory);
        let end = match self.walk_all(process, states, memory) {
            Ok(end) => {
                self.finish(end);
                self.read_keys(process, memory).map(|()| end)
            }
            Err(end) => Err(end),
        };
        plan.cuts = if end == Ok(End::Cut) { plan.cuts.wrapping_add(1) } else { 0 };
        match end {
            Ok(End::Complete | End::Cut) if self.frames.is_empty() => End::NoFrames,
            Ok(end) => end,
            Err(end) => {
                let is_holder = self.is_holder;
                self.clear();
                self.is_holder = is_holder;
                end
            }
        }
    }

    /// Makes a plan of what the last read needed. Takes longer than a thread should stand still for.
    pub fn learn(&mut self, plan: &mut Plan) {
        self.copies.learn(plan);
    }

    /// The frames, leaf first.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The marks, leaf first: the addresses of `CFrame`s (3.10, 3.11) or of frames without code (since 3.12).
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Where in the frames some were left out, and how many.
    pub fn omitted(&self) -> Option<(usize, usize)> {
        self.omitted
    }

    /// Whether the thread holds its interpreter's lock, also where its stack could not be read. `None`: not known.
    pub fn is_holder(&self) -> Option<bool> {
        self.is_holder
    }

    /// While a thread stands still, nobody else makes it the holder, nor takes from it what it holds. One that takes a free
    /// lock says that it is held before it says by whom: for these nanoseconds the last holder seems to hold it still.
    fn holds(&mut self, states: &[ThreadState], memory: &mut impl Memory) -> Option<bool> {
        let mut known = None;
        for state in states {
            match self.lock_holder(state.lock, memory) {
                Some(holder) if holder == state.tstate => return Some(true),
                holder => known = known.or(holder.map(|_| false)),
            }
        }
        known
    }

    /// The thread state that holds a lock, 0 if none does. `None`: it cannot be read.
    fn lock_holder(&mut self, lock: Lock, memory: &mut impl Memory) -> Option<RemoteAddr> {
        let Lock { holder, locked } = lock;
        let last = u64_at(self.copies.get(holder, 8, to_page_end(holder, 8), memory).ok()?, 0)?;
        let flag = u32_at(self.copies.get(locked, 4, to_page_end(locked, 4), memory).ok()?, 0)?;
        Some(RemoteAddr(if flag == 1 { last } else { 0 }))
    }

    /// Behind how many frames those up to the next mark are not known: a generator that is being entered has no caller yet.
    pub fn gap(&self) -> Option<usize> {
        self.gap
    }

    /// After how many of the frames, leaf first, tasks of asyncio come, and which: the running one, and who waits for it.
    pub fn tasks(&self) -> Option<(usize, &[Below])> {
        self.tasks.get()
    }

    fn clear(&mut self) {
        self.is_holder = None;
        self.kept.clear();
        self.kept_locals.clear();
        self.kept_marks.clear();
        self.frames.clear();
        self.locals.clear();
        self.tasks.clear();
        self.marks.clear();
        self.omitted = None;
        self.gap = None;
    }

    /// Walks the chain of each state that is still the thread's: the newest activation first.
    fn walk_all(&mut self, process: &Process, states: &[ThreadState], memory: &mut impl Memory) -> Result<End, End> {
        let mut live = [None; STATES_MAX];
        let mut count = 0;
        for (slot, state) in live.iter_mut().zip(states) {
            *slot = self.linked(&process.layout, state, memory)?.then_some((0, *state));
            count += usize::from(slot.is_some());
        }
        if let (0, Some(known)) = (count, states.first()) {
            let holder = self.holder(process, known, memory)?.ok_or(End::NoState)?;
            (live, count) = ([None; STATES_MAX], 1);
            *live.first_mut().ok_or(End::Torn)? = Some((0, holder));
        }
        if count > 1 {
            for (order, state) in live.iter_mut().flatten() {
                *order = self.newest(process, state, memory)?;
            }
            live.sort_unstable_by_key(|slot| slot.map_or(u64::MAX, |(order, _)| order));
        }
        for (_, state) in live.iter().flatten() {
            if self.walk(process, state, memory)? == End::Cut {
                return Ok(End::Cut);
            }
        }
        Ok(End::Complete)
    }

    /// Whether a state still is the thread's, and among those of its interpreter: it may have been freed meanwhile.
    fn linked(&mut self, layout: &Layout, state: &ThreadState, memory: &mut impl Memory) -> Result<bool, End> {
        let size = layout.thread.size;
        let window = (state.tstate.0, state.tstate.0.saturating_add(size.into()));
        let bytes = match self.copies.get(state.tstate, size, window, memory) {
            Ok(bytes) => bytes,
            Err(Missing::Unreadable) => return Ok(false),
            Err(missing) => return Err(missing.into()),
        };
        if ThreadState::parse(layout, state.lock, state.tstate, bytes).as_ref() != Some(state) {
            return Ok(false);
        }
        let previous = RemoteAddr(u64_at(bytes, layout.thread.previous).ok_or(End::Torn)?);
        let link = match previous {
            RemoteAddr(0) => state.interpreter.checked_add(layout.interpreter.threads_head.into()),
            previous => previous.checked_add(layout.thread.next.into()),
        };
        let Some(link) = link else { return Ok(false) };
        match self.copies.get(link, 8, (link.0, link.0.saturating_add(8)), memory) {
            Ok(bytes) => Ok(u64_at(bytes, 0) == Some(state.tstate.0)),
            Err(Missing::Unreadable) => Ok(false),
            Err(missing) => Err(missing.into()),
        }
    }

    /// The state that holds the interpreter's lock, if it is the same thread's: of a thread that gets a new state for each call
    /// from C.
    fn holder(
        &mut self,
        process: &Process,
        known: &ThreadState,
        memory: &mut impl Memory,
    ) -> Result<Option<ThreadState>, End> {
        let Some(tstate) = self.lock_holder(known.lock, memory).filter(|tstate| tstate.0 != 0) else {
            return Ok(None);
        };
        let state = ThreadState { tstate, ..*known };
        let is_ours = self.linked(&process.layout, &state, memory)?;
        if is_ours {
            self.is_holder = Some(true);
        }
        Ok(is_ours.then_some(state))
    }

    /// What orders the states of one thread: where the newest activation of each has its mark. Of versions without marks, the
    /// lock's holder is first; a state without frames is last.
    fn newest(&mut self, process: &Process, state: &ThreadState, memory: &mut impl Memory) -> Result<u64, End> {
        let walked = self.walk(process, state, memory);
        let (frames, mark) = (self.kept.total(), self.kept_marks.first().map(|mark| mark.at.0));
        self.kept.clear();
        self.kept_locals.clear();
        self.kept_marks.clear();
        self.gap = None;
        walked?;
        let is_holder = mark.is_none() && self.lock_holder(state.lock, memory) == Some(state.tstate);
        Ok(match mark {
            _ if frames == 0 => u64::MAX,
            Some(mark) => mark,
            None => u64::from(!is_holder),
        })
    }

    fn walk(&mut self, process: &Process, thread: &ThreadState, memory: &mut impl Memory) -> Result<End, End> {
        let layout = &process.layout;
        let size = process.tasks.as_ref().map_or(0, TaskLayout::thread_size).max(layout.thread.size);
        let window = (thread.tstate.0, thread.tstate.0.saturating_add(size.into()));
        let state = self.copies.get(thread.tstate, size, window, memory)?;
        let running = process.tasks.as_ref().map_or(RemoteAddr(0), |tasks| tasks.running(state));
        let pointer = |at: Option<u32>| at.and_then(|at| u64_at(state, at)).map_or(RemoteAddr(0), RemoteAddr);
        let (chunk, base) = (pointer(layout.thread.chunk), pointer(layout.thread.base_frame));
        let chain = Chain { layout, thread, chunk, base, leaf_kind: None };
        match layout.top {
            Top::Frame(at) => {
                let top = pointer(Some(at));
                let first = match layout.marks {
                    MarkKind::FrameCFrames { pointer: at, previous } => Some((pointer(Some(at)), previous)),
                    _ => None,
                };
                let before = self.kept.total();
                let end = self.follow(chain, top, None, memory)?;
                self.tasks.read(process, running, &mut self.copies, memory);
                if let (Some((first, previous)), End::Complete) = (first, end) {
                    match self.mark_all(layout, thread, first, previous, before, memory) {
                        // The frames are whole; without all marks they are counted.
                        Err(End::Cut) => self.kept_marks.clear(),
                        marked => marked?,
                    }
                }
                Ok(end)
            }
            Top::CFrame { pointer: at, current, previous } => {
                let at = pointer(Some(at));
                let cframe = CFrame::read(at, current, previous, &mut self.copies, memory)?;
                self.follow(chain, cframe.frame, Some(cframe), memory)
            }
        }
    }

    /// Follows the chain of frames from the leaf on.
    fn follow(
        &mut self,
        mut chain: Chain<'_>,
        top: RemoteAddr,
        mut cframe: Option<CFrame>,
        memory: &mut impl Memory,
    ) -> Result<End, End> {
        let mut at = top;
        // A generator is put on the chain, and taken off, by two writes, in an order that the compiler chose: seen between
        // them, it has no caller, although no activation began with it.
        let mut may_end = true;
        for _ in 0..self.links_max {
            if at == RemoteAddr(0) {
                if may_end {
                    return Ok(End::Complete);
                }
                at = self.beyond_gap(&chain, cframe.take(), memory)?;
                may_end = true;
                continue;
            }
            let link = match chain.link(at, &mut self.copies, memory) {
                Err(End::Cut) if self.kept.total() > 0 => return Ok(End::Cut),
                link => link?,
            };
            chain.leaf_kind = chain.leaf_kind.or(link.frame.map(|frame| frame.kind));
            match link.frame {
                Some(frame) => {
                    self.kept.push(frame);
                    self.kept_locals.push(Local { frame: at, first: link.first_local });
                }
                None if at == chain.base || chain.is_in_thread(at) => {}
                None => self.mark(at),
            }
            if let (MarkKind::EntryCFrames, true, Some(entered)) = (&chain.layout.marks, link.is_entry, cframe) {
                self.mark(entered.at);
                let outer = match entered.outer(&chain.layout.top, &mut self.copies, memory) {
                    Err(End::Cut) => return Ok(End::Cut),
                    outer => outer?,
                };
                if outer.frame != link.previous {
                    return Err(End::Torn);
                }
                cframe = Some(outer);
            }
            may_end = match chain.layout.marks {
                MarkKind::None | MarkKind::FrameCFrames { .. } => true,
                MarkKind::EntryCFrames => link.is_entry,
                MarkKind::Shims => link.frame.is_none(),
            };
            at = link.previous;
        }
        Ok(End::Cut)
    }

    /// Where the chain goes on beyond a generator without a caller: at the leaf of the activation before, of which 3.12's
    /// `_PyCFrame` knows. Of the one that the generator is in, it tells where on the C stack it is.
    fn beyond_gap(
        &mut self,
        chain: &Chain<'_>,
        cframe: Option<CFrame>,
        memory: &mut impl Memory,
    ) -> Result<RemoteAddr, End> {
        let cframe = cframe.filter(|_| self.kept_marks.total() == 0 && self.kept.total() == 1).ok_or(End::Torn)?;
        let of_shims = chain.layout.marks == MarkKind::Shims && !chain.is_in_thread(cframe.at);
        if !of_shims || chain.leaf_kind != Some(Owner::Generator) {
            return Err(End::Torn);
        }
        self.gap = Some(self.kept.total());
        self.mark(cframe.at);
        Ok(cframe.outer(&chain.layout.top, &mut self.copies, memory)?.frame)
    }

    /// Marks that the activation at an address ran what was kept since the last one.
    fn mark(&mut self, at: RemoteAddr) {
        self.kept_marks.push(Mark { at, frames: self.kept.total() });
    }

    /// 3.10: one mark for each frame, in a chain of their own. The roots of both belong together; a leaf that is entered or
    /// left at this moment has only one of the two. `before`: frames of other states.
    fn mark_all(
        &mut self,
        layout: &Layout,
        thread: &ThreadState,
        first: RemoteAddr,
        previous: u32,
        before: usize,
        memory: &mut impl Memory,
    ) -> Result<(), End> {
        let chain = Chain { layout, thread, chunk: RemoteAddr(0), base: RemoteAddr(0), leaf_kind: None };
        let frames = self.kept.total().saturating_sub(before);
        let mut count = 0;
        // Counted first: then it is known which frame the first is of.
        for is_counted in [false, true] {
            let mut at = first;
            for index in 1..=LINKS_MAX {
                if at == RemoteAddr(0) || chain.is_in_thread(at) {
                    break;
                }
                if is_counted {
                    let frames = before.saturating_add((index + frames).saturating_sub(count));
                    self.kept_marks.push(Mark { at, frames });
                } else {
                    count = index;
                }
                at = CFrame::read(at, 0, previous, &mut self.copies, memory)?.previous;
            }
        }
        if count < LINKS_MAX { Ok(()) } else { Err(End::Torn) }
    }

    /// Puts the kept frames and marks in order, where some are missing. Of a stack without its root only the leaf's side is
    /// shown.
    fn finish(&mut self, end: End) {
        self.omitted = self.kept.finish(&mut self.frames);
        self.kept_locals.finish(&mut self.locals);
        self.kept_marks.finish(&mut self.marks);
        if let (End::Cut, Some((cut, _))) = (end, self.omitted) {
            self.omitted = None;
            self.frames.truncate(cut);
            self.locals.truncate(cut);
            self.marks.retain(|mark| mark.frames <= cut);
        }
        let Some((cut, missing)) = self.omitted else { return };
        self.marks.retain_mut(|mark| {
            let is_leafward = mark.frames <= cut;
            if !is_leafward {
                mark.frames = mark.frames.saturating_sub(missing);
            }
            is_leafward || mark.frames > cut
        });
    }

    /// Reads what identifies the code of each frame. What a leaf that is being pushed points at may be no code.
    fn read_keys(&mut self, process: &Process, memory: &mut impl Memory) -> Result<(), End> {
        self.copies.begin_again(CODE_READS);
        self.codes.clear();
        self.frames.iter().for_each(|frame| self.codes.add(frame.code));
        let Some(leaf) = self.frames.first().map(|frame| frame.code) else { return Ok(()) };
        let (layout, size) = (process.layout.methods.as_ref(), process.layout.code.size);
        let parse = |item: &mut (RemoteAddr, Option<_>), code: &[u8]| {
            item.1 = CodeKey::parse(process, code).zip(Signature::parse(layout, code));
        };
        self.copies.gather(self.codes.items_mut(), |item| Some((item.0, size)), parse, memory)?;
        for frame in self.frames.iter_mut().skip(1) {
            (frame.key, _) = self.codes.get(frame.code).ok_or(End::Torn)?;
        }
        match (self.codes.get(leaf), self.frames.first_mut()) {
            (Some((key, _)), Some(frame)) => frame.key = key,
            _ => self.drop_leaf(),
        }
        let frames = (self.frames.as_mut_slice(), self.locals.as_slice());
        self.receivers.read(process, frames, &mut self.codes, &mut self.copies, memory)?;
        self.tasks.complete(process, &self.locals, &mut self.copies, memory);
        Ok(())
    }

    fn drop_leaf(&mut self) {
        self.frames.drain(..1);
        self.locals.drain(..1);
        self.marks.iter_mut().for_each(|mark| mark.frames = mark.frames.saturating_sub(1));
        if let Some((cut, _)) = &mut self.omitted {
            *cut = cut.saturating_sub(1);
        }
        self.gap = self.gap.map(|place| place.saturating_sub(1));
    }
}

/// A vector with room for so many items, all of which has been written to.
pub(super) fn touched<T: Copy + Default>(max: usize) -> Vec<T> {
    let mut room = vec![T::default(); max];
    room.clear();
    room
}

impl CodeKey {
    /// From the bytes of a code object; `None` if it is none.
    pub(super) fn parse(process: &Process, code: &[u8]) -> Option<Self> {
        let layout = &process.layout.code;
        is_of(code, process.types.code).then_some(())?;
        let line_table = u64_at(code, layout.line_table)?;
        let key = Self { first_line: u32_at(code, layout.first_line)?, line_table, name: u64_at(code, layout.name)? };
        (u64_at(code, TYPE)? != 0 && key.line_table != 0 && key.name != 0).then_some(key)
    }
}

impl From<Missing> for End {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Unreadable => Self::Torn,
            Missing::NoReadsLeft => Self::Cut,
        }
    }
}

/// What an activation of the eval loop has on the C stack, up to 3.12.
#[derive(Clone, Copy)]
struct CFrame {
    at: RemoteAddr,
    /// The leaf frame when it called on; nothing of 3.10's.
    frame: RemoteAddr,
    previous: RemoteAddr,
}

impl CFrame {
    fn read(
        at: RemoteAddr,
        current: u32,
        previous: u32,
        copies: &mut Copies,
        memory: &mut impl Memory,
    ) -> Result<Self, End> {
        let len = current.max(previous).saturating_add(8);
        let bytes = copies.get(at, len, to_page_end(at, len), memory)?;
        let pointer = |offset| u64_at(bytes, offset).map(RemoteAddr).ok_or(End::Torn);
        Ok(Self { at, frame: pointer(current)?, previous: pointer(previous)? })
    }

    fn outer(self, top: &Top, copies: &mut Copies, memory: &mut impl Memory) -> Result<Self, End> {
        match top {
            Top::CFrame { current, previous, .. } => Self::read(self.previous, *current, *previous, copies, memory),
            Top::Frame(_) => Err(End::Torn),
        }
    }
}

/// The chain of frames of one thread.
struct Chain<'a> {
    layout: &'a Layout,
    thread: &'a ThreadState,
    /// The chunk of the data stack in which the last frame was.
    chunk: RemoteAddr,
    /// The frame at the root that is no activation.
    base: RemoteAddr,
    /// Who owns the first frame.
    leaf_kind: Option<Owner>,
}

/// One link of it.
struct Link {
    /// `None`: no call, but the start of an activation of the eval loop.
    frame: Option<Frame>,
    is_entry: bool,
    previous: RemoteAddr,
    /// Where the version has need of it.
    first_local: RemoteAddr,
}

impl Chain<'_> {
    fn link(&mut self, at: RemoteAddr, copies: &mut Copies, memory: &mut impl Memory) -> Result<Link, End> {
        let size = self.layout.frame.size;
        let window = self.window(at, size, copies, memory);
        let bytes = copies.get(at, size, window, memory)?;
        self.parse(at, bytes).ok_or(End::Torn)
    }

    /// What to copy beside a frame. Callers lie below it in its chunk, or above it on the C stack.
    fn window(&mut self, at: RemoteAddr, size: u32, copies: &mut Copies, memory: &mut impl Memory) -> (u64, u64) {
        if self.chunk == RemoteAddr(0) {
            // Frame objects lie in no order.
            return (from_page_start(at, size).0, to_page_end(at, size).1);
        }
        if !self.is_in_chunk(at)
            && let Some(previous) = self.previous_chunk(copies, memory)
        {
            let newer = std::mem::replace(&mut self.chunk, previous);
            if !self.is_in_chunk(at) {
                self.chunk = newer;
                return to_page_end(at, size);
            }
        }
        let (page, end) = from_page_start(at, size);
        let start = self.chunk.0.max(end.saturating_sub(CHUNK));
        if self.is_in_chunk(at) { (start, end) } else { (page, end) }
    }

    fn is_in_chunk(&self, at: RemoteAddr) -> bool {
        at.0.checked_sub(self.chunk.0).is_some_and(|ahead| ahead < CHUNK)
    }

    /// The chunk before this one; its address is the first thing in a chunk.
    fn previous_chunk(&self, copies: &mut Copies, memory: &mut impl Memory) -> Option<RemoteAddr> {
        let bytes = copies.get(self.chunk, 8, (self.chunk.0, self.chunk.0.saturating_add(8)), memory).ok()?;
        u64_at(bytes, 0).filter(|previous| *previous != 0).map(RemoteAddr)
    }

    fn is_in_thread(&self, at: RemoteAddr) -> bool {
        at.0.checked_sub(self.thread.tstate.0).is_some_and(|ahead| ahead < self.layout.thread.size.into())
    }

    fn parse(&self, at: RemoteAddr, bytes: &[u8]) -> Option<Link> {
        let layout = &self.layout.frame;
        let kind = match layout.owner {
            None => Some(Owner::Thread),
            Some(at) => match u8_at(bytes, at)? {
                0 => Some(Owner::Thread),
                1 => Some(Owner::Generator),
                2 => Some(Owner::FrameObject),
                SHIM => None,
                _ => return None,
            },
        };
        let instruction = match layout.instruction {
            Instruction::Index { at, .. } => u32_at(bytes, at)?.into(),
            Instruction::Pointer { at, .. } => u64_at(bytes, at)?,
        };
        let code = u64_at(bytes, layout.code)? & if layout.tagged { UNTAGGED } else { u64::MAX };
        let globals = RemoteAddr(u64_at(bytes, layout.globals)?);
        let key = CodeKey::default();
        let locals = self.layout.methods.as_ref().map(|methods| methods.locals);
        Some(Link {
            frame: kind.map(|kind| Frame { at, code: RemoteAddr(code), globals, instruction, key, kind, class: None }),
            is_entry: layout.is_entry.and_then(|at| u8_at(bytes, at)) == Some(1),
            previous: RemoteAddr(u64_at(bytes, layout.previous)?),
            first_local: RemoteAddr(locals.and_then(|at| u64_at(bytes, at)).unwrap_or(0)),
        })
    }
}

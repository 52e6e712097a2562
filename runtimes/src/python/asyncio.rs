//! The task of asyncio that a thread runs, and the tasks that wait for it, since 3.14: their names, and where their coroutines
//! stand. Read in the stop, with the stack; allocates once. A structure that does not fit together gives no tasks at all: the
//! stack itself stands without them. Tasks that no running one leads to (those of `asyncio_tasks_head`) are not looked for.

use profile::address::RemoteAddr;

use super::{
    CodeKey, Frame, Owner,
    bytes::{i64_at, u8_at, u32_at, u64_at},
    copies::{Copies, Missing, to_page_end},
    find::Process,
    offsets::{CoroutineLayout, FrameLayout, Instruction, TYPE},
    receivers::Local,
    strings::{is_of, text_of},
    walk::UNTAGGED,
};
use crate::Memory;

/// Tasks and futures that wait for each other, one for the next; programs nest a few.
const LINKS_MAX: usize = 32;
/// Coroutines of one task that wait for each other.
const COROUTINES_MAX: usize = 64;
/// Tasks and frames of coroutines that are shown.
pub const BELOW_MAX: usize = 128;
/// Bytes of a name that are read: a header, and 88 characters of ASCII.
const NAME_MAX: usize = 128;
/// Places in the table of a set of tasks that are looked at: one that holds a single task has eight.
const SET_MAX: u64 = 64;
/// No structure is larger, and none is read further.
const STRUCT_MAX: u64 = 4096;
/// The number of digits in an int's tag is above these bits.
const TAG_BITS: u32 = 3;
/// Bits of one digit of an int.
const DIGIT_BITS: u32 = 30;
/// Tasks that nobody named are told apart up to this number. They are made for each request, and each would be a function of its
/// own; those of the first, such as the main task, stay.
const NUMBERED_MAX: u64 = 100;

/// Where asyncio keeps what a thread runs, and what a task is: its section `.AsyncioDebug`.
#[derive(Clone, Debug)]
pub(super) struct TaskLayout {
    /// In the thread state.
    running: u32,
    size: u32,
    name: u32,
    awaited_by: u32,
    is_task: u32,
    is_set: u32,
    coroutine: u32,
}

/// How many words the section has.
pub(super) const STATED: usize = 13;

impl TaskLayout {
    /// From the section's words: a task's size, name, what awaits it, whether it is a task, whether a set awaits it, coroutine
    /// and list; two of the interpreter; a thread's size, running loop, running task and list.
    pub(super) fn parse(words: &[u64; STATED]) -> Option<Self> {
        let [size, name, awaited_by, is_task, is_set, coroutine, _, _, _, thread, _, running, _] = *words;
        let field = |size: u64, at: u64, width: u64| {
            let is_inside = size <= STRUCT_MAX && at.checked_add(width)? <= size;
            u32::try_from(at).ok().filter(|_| is_inside)
        };
        Some(Self {
            running: field(thread, running, 8)?,
            size: u32::try_from(size).ok()?,
            name: field(size, name, 8)?,
            awaited_by: field(size, awaited_by, 8)?,
            is_task: field(size, is_task, 1)?,
            is_set: field(size, is_set, 1)?,
            coroutine: field(size, coroutine, 8)?,
        })
    }

    /// So many bytes of a thread state tell its running task.
    pub(super) fn thread_size(&self) -> u32 {
        self.running.saturating_add(8)
    }

    /// The running task of a thread, from the bytes of its state; 0 if it runs none.
    pub(super) fn running(&self, state: &[u8]) -> RemoteAddr {
        RemoteAddr(u64_at(state, self.running).unwrap_or(0))
    }
}

/// What is below the frames of a task, towards the root: the task itself, and who waits for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Below {
    /// The frames up to here, back to the task before, are this task's.
    Task(TaskName),
    /// A coroutine of a task that waits.
    Frame(Frame),
    /// More than one task waits for the one before.
    Several,
    /// There are more than are read.
    More,
}

/// The object that is a task's name, as it was in the stop: a string; of a task that nobody named, its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskName {
    at: RemoteAddr,
    bytes: [u8; NAME_MAX],
    len: usize,
}

/// What stands in a stack for an item that is no code, in angle brackets as Python writes such names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Label {
    pub(super) text: String,
    /// The program chose it: there may be any number of such names.
    pub(super) is_chosen: bool,
}

impl Label {
    /// A task of which no more is said.
    pub(super) fn of_any_task() -> Self {
        Self::fixed("<task>")
    }

    fn fixed(text: &str) -> Self {
        Self { text: text.to_owned(), is_chosen: false }
    }

    /// A task that nobody named: some are told apart.
    fn numbered(number: u64) -> Self {
        if number > NUMBERED_MAX { Self::of_any_task() } else { Self::fixed(&format!("<task Task-{number}>")) }
    }
}

impl Below {
    /// `None` of a frame: its code names it.
    pub(super) fn label(&self, process: &Process) -> Option<Label> {
        Some(match self {
            Self::Frame(_) => return None,
            Self::Task(name) => name.label(process).unwrap_or_else(Label::of_any_task),
            Self::Several => Label::fixed("<awaited by several tasks>"),
            Self::More => Label::fixed("<awaited by more tasks>"),
        })
    }
}

impl TaskName {
    fn at(at: RemoteAddr) -> Self {
        Self { at, bytes: [0; NAME_MAX], len: 0 }
    }

    fn fill(&mut self, bytes: &[u8]) {
        self.len = bytes.len().min(NAME_MAX);
        self.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }

    /// `None`: it is neither a string nor a small number.
    fn label(&self, process: &Process) -> Option<Label> {
        let bytes = self.bytes.get(..self.len)?;
        if is_of(bytes, process.types.string) {
            let name = text_of(process, bytes)?;
            // The number becomes such a string when a program asks for the name.
            let number = name.strip_prefix("Task-").and_then(|number| number.parse().ok());
            return Some(number.map_or(Label { text: format!("<task {name}>"), is_chosen: true }, Label::numbered));
        }
        is_of(bytes, process.types.int).then_some(())?;
        let layout = process.layout.coroutines.as_ref()?;
        let digit = |index: u32| u32_at(bytes, layout.int_digits.checked_add(index.checked_mul(4)?)?).map(u64::from);
        match u64_at(bytes, layout.int_tag)? >> TAG_BITS {
            1 => digit(0).map(Label::numbered),
            2 => Some(Label::numbered(digit(0)? | digit(1)? << DIGIT_BITS)),
            _ => None,
        }
    }
}

/// What was read, and its buffers.
#[derive(Debug)]
pub(super) struct Tasks {
    /// Towards the root.
    below: Vec<Below>,
    /// The frame with which the running task's coroutine begins.
    first: RemoteAddr,
    /// So many frames of the stack, leaf first, are the running task's, and what it called.
    place: usize,
}

/// One future; all tasks are futures.
#[derive(Clone, Copy)]
struct Future {
    is_task: bool,
    name: RemoteAddr,
    coroutine: RemoteAddr,
    awaited_by: RemoteAddr,
    is_set: bool,
}

/// What reading leads to.
enum Awaited {
    ByNobody,
    By(RemoteAddr),
    BySeveral,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { below: Vec::with_capacity(BELOW_MAX), first: RemoteAddr(0), place: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.below.clear();
    }

    /// After how many frames they come, and what comes there.
    pub(super) fn get(&self) -> Option<(usize, &[Below])> {
        (!self.below.is_empty()).then_some((self.place, self.below.as_slice()))
    }

    /// Reads the running task and those that wait for it. Two reads for the first, about four for each other.
    pub(super) fn read(
        &mut self,
        process: &Process,
        running: RemoteAddr,
        copies: &mut Copies,
        memory: &mut impl Memory,
    ) {
        self.clear();
        let (Some(tasks), Some(layout)) = (&process.tasks, &process.layout.coroutines) else { return };
        let reader = Reader { tasks, layout, frame: &process.layout.frame };
        if running != RemoteAddr(0) && self.follow(&reader, running, copies, memory).is_none() {
            self.clear();
        }
    }

    fn follow(
        &mut self,
        reader: &Reader<'_>,
        running: RemoteAddr,
        copies: &mut Copies,
        memory: &mut impl Memory,
    ) -> Option<()> {
        let mut at = running;
        for link in 0..LINKS_MAX {
            let future = reader.future(at, copies, memory)?;
            match (link, future.is_task) {
                (0, false) => return None,
                (0, true) => self.first = future.coroutine.checked_add(reader.layout.frame.into())?,
                (_, true) => self.add_coroutines(reader, future.coroutine, copies, memory)?,
                (_, false) => {}
            }
            if future.is_task {
                self.push(Below::Task(TaskName::at(future.name)))?;
            }
            match reader.awaited(future, copies, memory)? {
                Awaited::ByNobody => return Some(()),
                Awaited::By(next) => at = next,
                Awaited::BySeveral => return self.push(Below::Several),
            }
        }
        self.push(Below::More)
    }

    /// The coroutines of a task that waits, innermost first.
    fn add_coroutines(
        &mut self,
        reader: &Reader<'_>,
        outermost: RemoteAddr,
        copies: &mut Copies,
        memory: &mut impl Memory,
    ) -> Option<()> {
        let start = self.below.len();
        let mut next = Some(outermost);
        for _ in 0..COROUTINES_MAX {
            let Some(at) = next else { return Some(()) };
            let (frame, awaits) = reader.coroutine(at, copies, memory)?;
            if let Some(frame) = frame {
                (self.below.len() < BELOW_MAX).then(|| self.below.insert(start, Below::Frame(frame)))?;
            }
            next = awaits;
        }
        None
    }

    fn push(&mut self, item: Below) -> Option<()> {
        (self.below.len() < BELOW_MAX).then(|| self.below.push(item))
    }

    /// Reads what the names and the code objects hold, and finds the place in the stack: of the frame with which the task
    /// begins. By three calls of the memory at most, unless many wait.
    pub(super) fn complete(
        &mut self,
        process: &Process,
        locals: &[Local],
        copies: &mut Copies,
        memory: &mut impl Memory,
    ) {
        let first = locals.iter().position(|local| local.frame == self.first);
        let place = first.filter(|_| !self.below.is_empty()).and_then(|first| first.checked_add(1));
        if place.is_none_or(|_| self.fill(process, copies, memory).is_err() || !self.is_whole()) {
            self.clear();
        }
        self.place = place.unwrap_or(0);
    }

    fn fill(&mut self, process: &Process, copies: &mut Copies, memory: &mut impl Memory) -> Result<(), Missing> {
        let size = process.layout.code.size;
        let code = |item: &Below| if let Below::Frame(frame) = item { Some((frame.code, size)) } else { None };
        let key = |item: &mut Below, bytes: &[u8]| {
            if let Below::Frame(frame) = item {
                frame.key = CodeKey::parse(process, bytes).unwrap_or_default();
            }
        };
        copies.gather(&mut self.below, code, key, memory)?;
        let take = |item: &mut Below, bytes: &[u8]| {
            if let Below::Task(name) = item {
                name.fill(bytes);
            }
        };
        let len = u32::try_from(NAME_MAX).unwrap_or(0);
        let name = |item: &Below| if let Below::Task(name) = item { Some(name.at) } else { None };
        // The last name before the end of the memory may be shorter.
        let to_end =
            |at: RemoteAddr| (at, u32::try_from(to_page_end(at, 1).1.saturating_sub(at.0)).unwrap_or(0).min(len));
        copies
            .gather(&mut self.below, |item| Some((name(item)?, len)), take, memory)
            .or_else(|_| copies.gather(&mut self.below, |item| name(item).map(to_end), take, memory))
    }

    /// Whether all that is said to be code is code.
    fn is_whole(&self) -> bool {
        self.below.iter().all(|item| !matches!(item, Below::Frame(frame) if frame.key == CodeKey::default()))
    }
}

/// Reads the objects of asyncio.
struct Reader<'a> {
    tasks: &'a TaskLayout,
    layout: &'a CoroutineLayout,
    frame: &'a FrameLayout,
}

impl Reader<'_> {
    fn future(&self, at: RemoteAddr, copies: &mut Copies, memory: &mut impl Memory) -> Option<Future> {
        let tasks = self.tasks;
        let bytes = exactly(at, tasks.size, copies, memory)?;
        let word = |at| u64_at(bytes, at).map(RemoteAddr);
        Some(Future {
            is_task: u8_at(bytes, tasks.is_task)? == 1,
            name: word(tasks.name)?,
            coroutine: word(tasks.coroutine)?,
            awaited_by: word(tasks.awaited_by)?,
            is_set: u8_at(bytes, tasks.is_set)? == 1,
        })
    }

    fn awaited(&self, future: Future, copies: &mut Copies, memory: &mut impl Memory) -> Option<Awaited> {
        if future.awaited_by == RemoteAddr(0) {
            return Some(Awaited::ByNobody);
        }
        if !future.is_set {
            return Some(Awaited::By(future.awaited_by));
        }
        let layout = self.layout;
        let bytes = exactly(future.awaited_by, layout.set_size, copies, memory)?;
        let count = u64_at(bytes, layout.set_used)?;
        let table = RemoteAddr(u64_at(bytes, layout.set_table)?);
        let places = u64_at(bytes, layout.set_mask)?.checked_add(1)?;
        if count != 1 {
            return Some(if count == 0 { Awaited::ByNobody } else { Awaited::BySeveral });
        }
        let bytes = exactly(table, u32::try_from(places.min(SET_MAX).checked_mul(16)?).ok()?, copies, memory)?;
        let mut keys = bytes.chunks(16).filter_map(|entry| Some((u64_at(entry, 0)?, i64_at(entry, 8)?)));
        // Of a key that was taken away, the hash is -1.
        keys.find(|(key, hash)| *key != 0 && *hash != -1).map(|(key, _)| Awaited::By(RemoteAddr(key)))
    }

    /// The frame of a coroutine that is suspended, and the coroutine that it awaits.
    fn coroutine(
        &self,
        at: RemoteAddr,
        copies: &mut Copies,
        memory: &mut impl Memory,
    ) -> Option<(Option<Frame>, Option<RemoteAddr>)> {
        let layout = self.layout;
        let bytes = exactly(at, layout.frame.checked_add(self.frame.size)?, copies, memory)?;
        let kind = u64_at(bytes, TYPE)?;
        let state = u8_at(bytes, layout.state)?;
        let (is_suspended, awaits) = (layout.suspended.contains(&state), state == layout.awaiting);
        if !is_suspended {
            return Some((None, None));
        }
        let of_frame = bytes.get(usize::try_from(layout.frame).ok()?..)?;
        let frame = self.parse(at.checked_add(layout.frame.into())?, of_frame)?;
        let awaited = u64_at(of_frame, layout.stack_pointer)?.checked_sub(layout.awaited_below.into())?;
        if !awaits {
            return Some((Some(frame), None));
        }
        let awaited = RemoteAddr(u64_at(exactly(RemoteAddr(awaited), 8, copies, memory)?, 0)? & UNTAGGED);
        let of_awaited = exactly(awaited, TYPE.checked_add(8)?, copies, memory)?;
        Some((Some(frame), (u64_at(of_awaited, TYPE)? == kind).then_some(awaited)))
    }

    fn parse(&self, frame: RemoteAddr, bytes: &[u8]) -> Option<Frame> {
        let Instruction::Pointer { at, .. } = self.frame.instruction else { return None };
        Some(Frame {
            at: frame,
            code: RemoteAddr(u64_at(bytes, self.frame.code)? & UNTAGGED),
            globals: RemoteAddr(u64_at(bytes, self.frame.globals)?),
            instruction: u64_at(bytes, at)?,
            key: CodeKey::default(),
            kind: Owner::Generator,
            class: None,
        })
    }
}

fn exactly<'c>(at: RemoteAddr, len: u32, copies: &'c mut Copies, memory: &mut impl Memory) -> Option<&'c [u8]> {
    copies.get(at, len, (at.0, at.0.checked_add(len.into())?), memory).ok()
}

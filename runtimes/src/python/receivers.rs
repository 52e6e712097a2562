//! Whose method a frame runs, up to 3.10, where no code object has a qualified name: the type of the first argument where that
//! is named `self` or `cls`, as sentry-sdk has it. Read in the stop, since the object may be gone after it; allocates once.
//! Names no class: that is `classes`.

use profile::address::RemoteAddr;

use super::{
    CodeKey, Frame,
    bytes::{u32_at, u64_at},
    copies::{Copies, Missing},
    distinct::Distinct,
    find::Process,
    offsets::{CELL_VALUE, MethodLayout, TUPLE_ITEMS, TUPLE_LEN, TYPE},
    strings::is_text,
    walk::FRAMES_MAX,
};
use crate::Memory;

/// Code objects that are remembered, of all processes: a large Django project runs some thousands.
const KNOWN_MAX: usize = 4096;
/// Entries that may hold one code object, so that two of the same hash do not drive out each other.
const WAYS: usize = 4;
/// A code object is looked at again after so many stops: by then, another one may have its addresses and theirs.
const USES_MAX: u16 = 1000;
/// Cells of one code object that are looked at. Functions share a few of their variables with closures.
const CELLS_MAX: u64 = 64;
/// Of Fibonacci hashing: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A frame object, and the first of its local variables.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Local {
    pub(super) frame: RemoteAddr,
    pub(super) first: RemoteAddr,
}

/// What a code object says of its arguments.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Signature {
    arguments: u32,
    locals: u32,
    names: u64,
    cells: u64,
    cell_arguments: u64,
}

impl Signature {
    /// From the bytes of a code object; nothing where the version has no need of it.
    pub(super) fn parse(layout: Option<&MethodLayout>, code: &[u8]) -> Option<Self> {
        let Some(layout) = layout else { return Some(Self::default()) };
        Some(Self {
            arguments: u32_at(code, layout.argument_count)?,
            locals: u32_at(code, layout.local_count)?,
            names: u64_at(code, layout.names)?,
            cells: u64_at(code, layout.cells)?,
            cell_arguments: u64_at(code, layout.cell_arguments)?,
        })
    }
}

/// What the distinct code objects of a stack hold.
pub(super) type Codes = Distinct<(CodeKey, Signature)>;

/// What the first argument of a function stands for.
#[derive(Clone, Copy, Default, Debug)]
enum Role {
    /// Nothing that names a class.
    #[default]
    Other,
    /// `self`.
    Instance,
    /// `cls`.
    Class,
}

/// What is known of a code object's first argument.
#[derive(Clone, Copy, Default, Debug)]
struct Entry {
    code: RemoteAddr,
    key: CodeKey,
    signature: Signature,
    role: Role,
    /// Where in the frame object its cell is, if closures share it.
    cell: Option<u32>,
    uses_left: u16,
}

/// A code object of which nothing is known yet.
#[derive(Clone, Copy, Debug)]
struct Lesson {
    entry: Entry,
    /// The name of the first argument.
    name: RemoteAddr,
    cell_count: u64,
}

/// A frame that has a receiver.
#[derive(Clone, Copy, Debug)]
struct Subject {
    frame: usize,
    role: Role,
    /// Where the word is that leads to the object: a local variable's, then a cell's.
    next: Option<RemoteAddr>,
    object: RemoteAddr,
}

/// What is known of first arguments, and the buffers of a read.
#[derive(Debug)]
pub(super) struct Receivers {
    known: Box<[Entry]>,
    /// Which entry goes when all that may hold a code object are taken.
    turn: usize,
    lessons: Vec<Lesson>,
    subjects: Vec<Subject>,
    types: Distinct<RemoteAddr>,
}

impl Receivers {
    pub(super) fn new() -> Self {
        Self {
            known: vec![Entry::default(); KNOWN_MAX].into_boxed_slice(),
            turn: 0,
            lessons: Vec::with_capacity(FRAMES_MAX),
            subjects: Vec::with_capacity(FRAMES_MAX),
            types: Distinct::new(),
        }
    }

    /// Gives each frame the class of its receiver. One more call of the memory where a frame has one, two more where closures
    /// share it; four at first sight of a code object.
    pub(super) fn read(
        &mut self,
        process: &Process,
        (frames, locals): (&mut [Frame], &[Local]),
        codes: &mut Codes,
        copies: &mut Copies,
        memory: &mut impl Memory,
    ) -> Result<(), Missing> {
        let Some(layout) = &process.layout.methods else { return Ok(()) };
        let read = self.learn(process, layout, codes, copies, memory).and_then(|()| {
            self.collect(frames, locals, codes);
            self.read_types(copies, memory)
        });
        if read.is_err() {
            // What was no receiver may have been taken for one.
            self.known.fill(Entry::default());
        }
        for subject in &self.subjects {
            if let Some(frame) = frames.get_mut(subject.frame) {
                frame.class = match subject.role {
                    Role::Other => None,
                    Role::Instance => self.types.get(subject.object),
                    Role::Class => Some(subject.object),
                };
            }
        }
        read
    }

    /// Finds out about code objects that are not known.
    fn learn(
        &mut self,
        process: &Process,
        layout: &MethodLayout,
        codes: &mut Codes,
        copies: &mut Copies,
        memory: &mut impl Memory,
    ) -> Result<(), Missing> {
        self.lessons.clear();
        for (code, held) in codes.items_mut() {
            let Some((key, signature)) = *held else { continue };
            if signature.arguments > 0 && !self.uses(*code, key, signature) {
                let entry = Entry { code: *code, key, signature, uses_left: USES_MAX, ..Entry::default() };
                self.lessons.push(Lesson { entry, name: RemoteAddr(0), cell_count: 0 });
            }
        }
        if self.lessons.is_empty() {
            return Ok(());
        }
        let word = |at: u64, offset: u32| Some((RemoteAddr(at).checked_add(offset.into())?, 8));
        let lessons = &mut self.lessons;
        let name = |lesson: &Lesson| word(lesson.entry.signature.names, TUPLE_ITEMS);
        copies.gather(lessons, name, |lesson, bytes| lesson.name = pointer(bytes), memory)?;
        // As long as the longest of the names, and the zero behind the other one.
        let text = |lesson: &Lesson| Some((lesson.name, process.layout.string.ascii.saturating_add(4)));
        copies.gather(lessons, text, |lesson, bytes| lesson.entry.role = Role::of(process, bytes), memory)?;
        let cells = |lesson: &Lesson| lesson.shares().then(|| word(lesson.entry.signature.cells, TUPLE_LEN))?;
        let count = |lesson: &mut Lesson, bytes: &[u8]| lesson.cell_count = pointer(bytes).0.min(CELLS_MAX);
        copies.gather(lessons, cells, count, memory)?;
        let arguments = |lesson: &Lesson| {
            let len = u32::try_from(lesson.cell_count).ok()?.checked_mul(8).filter(|len| *len > 0)?;
            lesson.shares().then_some((RemoteAddr(lesson.entry.signature.cell_arguments), len))
        };
        copies.gather(lessons, arguments, |lesson, bytes| lesson.find_cell(layout, bytes), memory)?;
        while let Some(lesson) = self.lessons.pop() {
            self.keep(lesson.entry);
        }
        Ok(())
    }

    /// The frames that have a receiver, by what is known of their code.
    fn collect(&mut self, frames: &[Frame], locals: &[Local], codes: &Codes) {
        self.subjects.clear();
        for (index, (frame, local)) in frames.iter().zip(locals).enumerate() {
            let Some((key, signature)) = codes.get(frame.code) else { continue };
            let Some(entry) = self.find(frame.code, key, signature) else { continue };
            let next = entry.cell.and_then(|at| local.frame.checked_add(at.into()));
            let object = if entry.cell.is_some() { RemoteAddr(0) } else { local.first };
            if !matches!(entry.role, Role::Other) {
                self.subjects.push(Subject { frame: index, role: entry.role, next, object });
            }
        }
    }

    /// Follows cells to their objects, and objects to their types.
    fn read_types(&mut self, copies: &mut Copies, memory: &mut impl Memory) -> Result<(), Missing> {
        let next = |subject: &Subject| Some((subject.next?, 8));
        let to_value = |subject: &mut Subject, bytes: &[u8]| {
            let cell = Some(pointer(bytes)).filter(|cell| *cell != RemoteAddr(0));
            subject.next = cell.and_then(|cell| cell.checked_add(CELL_VALUE.into()));
        };
        copies.gather(&mut self.subjects, next, to_value, memory)?;
        copies.gather(&mut self.subjects, next, |subject, bytes| subject.object = pointer(bytes), memory)?;
        self.subjects.retain(|subject| subject.object != RemoteAddr(0));
        self.types.clear();
        let instances = self.subjects.iter().filter(|subject| matches!(subject.role, Role::Instance));
        instances.for_each(|subject| self.types.add(subject.object));
        let word = |item: &(RemoteAddr, Option<RemoteAddr>)| Some((item.0.checked_add(TYPE.into())?, 8));
        copies.gather(self.types.items_mut(), word, |item, bytes| item.1 = Some(pointer(bytes)), memory)
    }

    /// Whether a code object is known still.
    fn uses(&mut self, code: RemoteAddr, key: CodeKey, signature: Signature) -> bool {
        let ways = self.known.get_mut(ways_of(code)).unwrap_or_default();
        let entry = ways.iter_mut().find(|entry| entry.is_of(code, key, signature));
        entry.is_some_and(|entry| {
            entry.uses_left = entry.uses_left.saturating_sub(1);
            entry.uses_left > 0
        })
    }

    fn find(&self, code: RemoteAddr, key: CodeKey, signature: Signature) -> Option<&Entry> {
        self.known.get(ways_of(code))?.iter().find(|entry| entry.is_of(code, key, signature))
    }

    fn keep(&mut self, new: Entry) {
        self.turn = self.turn.wrapping_add(1);
        let ways = self.known.get_mut(ways_of(new.code)).unwrap_or_default();
        let place = ways.iter().position(|entry| entry.code == new.code || entry.uses_left == 0);
        if let Some(entry) = ways.get_mut(place.unwrap_or(self.turn % WAYS)) {
            *entry = new;
        }
    }
}

impl Role {
    /// By the name of the argument.
    fn of(process: &Process, name: &[u8]) -> Self {
        match name {
            _ if is_text(process, name, b"self") => Self::Instance,
            _ if is_text(process, name, b"cls") => Self::Class,
            _ => Self::Other,
        }
    }
}

impl Lesson {
    /// Whether the argument may be in a cell.
    fn shares(&self) -> bool {
        !matches!(self.entry.role, Role::Other) && self.entry.signature.cell_arguments != 0
    }

    /// Finds the cell of the first argument; each cell has the number of the argument that moves into it.
    fn find_cell(&mut self, layout: &MethodLayout, arguments: &[u8]) {
        let cell = arguments.chunks(8).position(|argument| u64_at(argument, 0) == Some(0));
        let index = cell.and_then(|cell| u32::try_from(cell).ok()?.checked_add(self.entry.signature.locals));
        self.entry.cell = index.and_then(|index| index.checked_mul(8)?.checked_add(layout.locals));
    }
}

impl Entry {
    fn is_of(&self, code: RemoteAddr, key: CodeKey, signature: Signature) -> bool {
        self.code == code && self.key == key && self.signature == signature && self.uses_left > 0
    }
}

/// The entries that may hold a code object.
fn ways_of(code: RemoteAddr) -> std::ops::Range<usize> {
    let hash = usize::try_from(code.0.wrapping_mul(SPREAD) >> 32).unwrap_or(0);
    let start = hash % KNOWN_MAX / WAYS * WAYS;
    start..start + WAYS
}

fn pointer(bytes: &[u8]) -> RemoteAddr {
    RemoteAddr(u64_at(bytes, 0).unwrap_or(0))
}

//! The offsets that CPython itself states since 3.13, at the start of its runtime state. Where each is among them is fixed
//! within a minor version; none is believed that lies outside of its structure.

use profile::address::RemoteAddr;

use super::{
    bytes::u64_at,
    find::{Unsupported, of_hex},
    offsets::{
        Attributes, BytesLayout, CodeLayout, CoroutineLayout, DictLayout, FrameLayout, GilLayout, Instruction,
        InterpreterLayout, KeysForm, Layout, LineTable, MarkKind, StringLayout, ThreadLayout, Top, Versioned,
    },
};
use crate::Memory;

/// The first bytes of the table.
const COOKIE: &[u8; 8] = b"xdebugpy";
/// A table of the longest version.
const TABLE_MAX: usize = 888;
/// No runtime state or interpreter is larger than this; 3.15 has 340 KB.
const STATE_MAX: u32 = 4 << 20;
/// No other structure is larger than this; a thread state of 3.15 has 888 bytes.
const STRUCT_MAX: u32 = 4096;

/// The layout that an interpreter states; `Ok(None)` if it states none (3.12 and older).
pub(super) fn read(runtime: RemoteAddr, memory: &mut impl Memory) -> Result<Option<Versioned>, Unsupported> {
    let mut table = [0; TABLE_MAX];
    let head = table.first_chunk_mut::<24>();
    if !head.is_some_and(|head| memory.read(runtime, head) && head.starts_with(COOKIE)) {
        return Ok(None);
    }
    let hex = u64_at(&table, 8).unwrap_or(0);
    let (major, minor) = of_hex(hex).ok_or(Unsupported::NoVersion)?;
    let positions = Positions::of(minor).ok_or(Unsupported::Version { major, minor })?;
    if hex & 0xf0 != 0xf0 {
        return Err(Unsupported::PreRelease { major, minor });
    }
    if u64_at(&table, 16) != Some(0) {
        return Err(Unsupported::FreeThreaded { major, minor });
    }
    let whole = table.get_mut(..positions.table).is_some_and(|part| memory.read(runtime, part));
    let layout = whole.then(|| Stated(&table).layout(&positions)).flatten();
    layout.map(|layout| Some((layout, (major, minor)))).ok_or(Unsupported::Implausible { major, minor })
}

/// Where in the table of a minor version its values are, in bytes. A group begins with the size of its structure.
struct Positions {
    table: usize,
    runtime: u32,
    interpreter: u32,
    /// `threads_main` was put before it in 3.14.
    ceval_gil: u32,
    thread: u32,
    /// `current_frame`, and `thread_id`, which does not always follow.
    current_frame: u32,
    thread_id: u32,
    base_frame: Option<u32>,
    frame: u32,
    code: u32,
    code_start: u32,
    heap_type: Option<u32>,
    bytes: u32,
    dict: u32,
    string: u32,
    coroutines: Option<OfCoroutines>,
}

/// Of what leads from one task of asyncio to the next.
struct OfCoroutines {
    generator: u32,
    /// In the group of frames.
    stack_pointer: u32,
    set: u32,
    int: u32,
    /// Not among the stated: the states of a coroutine that waits, of which the second waits for another.
    suspended: [u8; 2],
    /// Nor is how far below the stack pointer what it waits for is: 3.15 has a number above it.
    awaited_below: u32,
}

impl Positions {
    fn of(minor: u8) -> Option<Self> {
        match minor {
            13 => Some(Self {
                table: 584,
                runtime: 24,
                interpreter: 48,
                ceval_gil: 112,
                thread: 152,
                current_frame: 184,
                thread_id: 192,
                base_frame: None,
                frame: 224,
                code: 272,
                code_start: 344,
                heap_type: None,
                bytes: 512,
                dict: 448,
                string: 536,
                coroutines: None,
            }),
            14 => Some(Self {
                table: 760,
                runtime: 24,
                interpreter: 48,
                ceval_gil: 120,
                thread: 176,
                current_frame: 208,
                thread_id: 216,
                base_frame: None,
                frame: 248,
                code: 312,
                code_start: 384,
                heap_type: None,
                bytes: 592,
                dict: 528,
                string: 616,
                coroutines: Some(OfCoroutines {
                    generator: 664,
                    stack_pointer: 296,
                    set: 496,
                    int: 568,
                    // -2 and -1.
                    suspended: [0xfe, 0xff],
                    awaited_below: 8,
                }),
            }),
            15 => Some(Self {
                table: 888,
                runtime: 24,
                interpreter: 48,
                ceval_gil: 120,
                thread: 176,
                current_frame: 208,
                thread_id: 240,
                base_frame: Some(216),
                frame: 312,
                code: 376,
                code_start: 448,
                heap_type: Some(528),
                bytes: 688,
                dict: 624,
                string: 712,
                coroutines: Some(OfCoroutines {
                    generator: 792,
                    stack_pointer: 360,
                    set: 592,
                    int: 664,
                    suspended: [1, 2],
                    awaited_below: 16,
                }),
            }),
            _ => None,
        }
    }
}

/// The table's bytes.
struct Stated<'a>(&'a [u8]);

/// A structure of which the table tells the size.
#[derive(Clone, Copy)]
struct Group {
    size: u32,
}

impl Stated<'_> {
    fn value(&self, position: u32) -> Option<u32> {
        u32::try_from(u64_at(self.0, position)?).ok()
    }

    fn group(&self, position: u32, max: u32) -> Option<Group> {
        self.value(position).filter(|size| (1..=max).contains(size)).map(|size| Group { size })
    }

    /// The offset at a position, of a field of `width` bytes that must lie inside of its group.
    fn field(&self, group: Group, position: u32, width: u32) -> Option<u32> {
        let offset = self.value(position)?;
        (offset.checked_add(width)? <= group.size).then_some(offset)
    }

    fn layout(&self, at: &Positions) -> Option<Layout> {
        let runtime = self.group(at.runtime, STATE_MAX)?;
        Some(Layout {
            interpreters_head: self.field(runtime, at.runtime + 16, 8)?,
            interpreter: self.interpreter(at)?,
            thread: self.thread(at)?,
            top: Top::Frame(self.field(self.group(at.thread, STRUCT_MAX)?, at.current_frame, 8)?),
            frame: self.frame(at)?,
            marks: MarkKind::Shims,
            code: self.code(at)?,
            string: self.string(at)?,
            bytes: self.bytes(at)?,
            dict: self.dict(at)?,
            methods: None,
            coroutines: match &at.coroutines {
                Some(coroutines) => Some(self.coroutines(at, coroutines)?),
                None => None,
            },
            attributes: Attributes::Inline { cached_keys: self.cached_keys(at)? },
        })
    }

    fn interpreter(&self, at: &Positions) -> Option<InterpreterLayout> {
        let group = self.group(at.interpreter, STATE_MAX)?;
        // The lock's own fields are stated as those of the interpreter's own lock; it may use another's.
        let own = self.field(group, at.ceval_gil + 8, 8)?;
        let in_lock = |position| self.field(group, position, 8)?.checked_sub(own);
        let gil = GilLayout::Behind {
            pointer: self.field(group, at.ceval_gil, 8)?,
            locked: in_lock(at.ceval_gil + 24)?,
            holder: in_lock(at.ceval_gil + 32)?,
        };
        Some(InterpreterLayout {
            next: self.field(group, at.interpreter + 16, 8)?,
            threads_head: self.field(group, at.interpreter + 24, 8)?,
            // Before the dictionaries of `sys` and of built-in names, and the lock.
            modules: self.field(group, at.ceval_gil - 24, 8)?,
            gil,
        })
    }

    fn thread(&self, at: &Positions) -> Option<ThreadLayout> {
        let group = self.group(at.thread, STRUCT_MAX)?;
        Some(ThreadLayout {
            previous: self.field(group, at.thread + 8, 8)?,
            next: self.field(group, at.thread + 16, 8)?,
            interpreter: self.field(group, at.thread + 24, 8)?,
            ident: self.field(group, at.thread_id, 8)?,
            native_id: Some(self.field(group, at.thread_id + 8, 8)?),
            chunk: Some(self.field(group, at.thread_id + 16, 8)?),
            base_frame: match at.base_frame {
                Some(position) => Some(self.field(group, position, 8)?),
                None => None,
            },
            size: group.size,
        })
    }

    fn frame(&self, at: &Positions) -> Option<FrameLayout> {
        let group = self.group(at.frame, STRUCT_MAX)?;
        let code = self.group(at.code, STRUCT_MAX)?;
        let start = self.field(code, at.code_start, 1)?;
        // Not stated; after `previous` and the function in every version that states its offsets.
        let previous = self.field(group, at.frame + 8, 8)?;
        let globals = previous.checked_add(16)?;
        (globals.checked_add(8)? <= group.size).then_some(())?;
        Some(FrameLayout {
            previous,
            code: self.field(group, at.frame + 16, 8)?,
            // Since 3.14; before, the bits are clear anyway.
            tagged: true,
            globals,
            instruction: Instruction::Pointer { at: self.field(group, at.frame + 24, 8)?, start },
            owner: Some(self.field(group, at.frame + 40, 1)?),
            is_entry: None,
            size: group.size,
        })
    }

    fn coroutines(&self, at: &Positions, of: &OfCoroutines) -> Option<CoroutineLayout> {
        let generator = self.group(of.generator, STRUCT_MAX)?;
        let set = self.group(of.set, STRUCT_MAX)?;
        let int = self.group(of.int, STRUCT_MAX)?;
        let [_, awaiting] = of.suspended;
        Some(CoroutineLayout {
            frame: self.field(generator, of.generator + 16, 1)?,
            state: self.field(generator, of.generator + 24, 1)?,
            suspended: of.suspended,
            awaiting,
            stack_pointer: self.field(self.group(at.frame, STRUCT_MAX)?, of.stack_pointer, 8)?,
            awaited_below: of.awaited_below,
            set_size: set.size,
            set_used: self.field(set, of.set + 8, 8)?,
            set_table: self.field(set, of.set + 16, 8)?,
            set_mask: self.field(set, of.set + 24, 8)?,
            int_tag: self.field(int, of.int + 8, 8)?,
            int_digits: self.field(int, of.int + 16, 4)?,
        })
    }

    fn code(&self, at: &Positions) -> Option<CodeLayout> {
        let group = self.group(at.code, STRUCT_MAX)?;
        Some(CodeLayout {
            file: self.field(group, at.code + 8, 8)?,
            name: self.field(group, at.code + 24, 8)?,
            line_table: self.field(group, at.code + 32, 8)?,
            first_line: self.field(group, at.code + 40, 4)?,
            lines: LineTable::Locations,
            size: group.size,
        })
    }

    fn string(&self, at: &Positions) -> Option<StringLayout> {
        let ascii = self.value(at.string + 24).filter(|size| *size <= 96)?;
        let header = Group { size: ascii };
        Some(StringLayout {
            state: self.field(header, at.string + 8, 4)?,
            length: self.field(header, at.string + 16, 8)?,
            ascii,
            // Behind the size and the address of the UTF-8 form.
            compact: ascii.checked_add(16)?,
        })
    }

    fn bytes(&self, at: &Positions) -> Option<BytesLayout> {
        let group = self.group(at.bytes, STRUCT_MAX)?;
        let size = self.field(group, at.bytes + 8, 8).filter(|size| *size <= 24)?;
        // The data of the shortest one is its final zero.
        Some(BytesLayout { size, data: self.field(group, at.bytes + 16, 1)? })
    }

    /// Where types cache keys: stated since 3.15; before, as the headers have it, which whoever goes by it has to prove.
    fn cached_keys(&self, at: &Positions) -> Option<u32> {
        match at.heap_type {
            Some(position) => self.field(self.group(position, STRUCT_MAX)?, position + 8, 8),
            None => Some(880),
        }
    }

    fn dict(&self, at: &Positions) -> Option<DictLayout> {
        let group = self.group(at.dict, STRUCT_MAX)?;
        let keys = self.field(group, at.dict + 8, 8)?;
        // What is read of a dictionary ends with them.
        let values = self.field(group, at.dict + 16, 8).filter(|values| *values <= 56)?;
        // Behind four bytes that tell how many there are, in every version that states its offsets.
        (keys <= 56).then_some(DictLayout { keys, values, first_value: 8, form: KeysForm::Kinds })
    }
}

//! Where CPython keeps what is read of it: one [`Layout`] for each version. Those of 3.7 to 3.12 are here, as their headers
//! have them on x86-64 (no field below differs inside a minor version); later versions state theirs: `debug_offsets`.

/// A layout, and the version that has it, as 3 and 11 of 3.11.
pub(super) type Versioned = (Layout, (u8, u8));

/// The offsets of one interpreter, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// In the runtime state: the first interpreter.
    pub(super) interpreters_head: u32,
    pub(super) interpreter: InterpreterLayout,
    pub(super) thread: ThreadLayout,
    pub(super) top: Top,
    pub(super) frame: FrameLayout,
    pub(super) marks: MarkKind,
    pub(super) code: CodeLayout,
    pub(super) string: StringLayout,
    pub(super) bytes: BytesLayout,
    pub(super) dict: DictLayout,
    /// Up to 3.10, whose code objects have no qualified name: how the class of a method is found.
    pub(super) methods: Option<MethodLayout>,
    pub(super) attributes: Attributes,
    /// Since 3.14, whose asyncio states where its tasks are: what leads from one to the next.
    pub(super) coroutines: Option<CoroutineLayout>,
}

#[derive(Clone, Debug)]
pub(super) struct InterpreterLayout {
    pub(super) next: u32,
    pub(super) threads_head: u32,
    /// `sys.modules`.
    pub(super) modules: u32,
    pub(super) gil: GilLayout,
}

/// Where the state of the global interpreter lock is.
#[derive(Clone, Debug)]
pub(super) enum GilLayout {
    /// In the runtime state.
    InRuntime { locked: u32, holder: u32 },
    /// An interpreter points at it; several may share one.
    Behind { pointer: u32, locked: u32, holder: u32 },
}

#[derive(Clone, Debug)]
pub(super) struct ThreadLayout {
    pub(super) previous: u32,
    pub(super) next: u32,
    pub(super) interpreter: u32,
    pub(super) ident: u32,
    pub(super) native_id: Option<u32>,
    /// The newest chunk of the data stack, on which frames lie.
    pub(super) chunk: Option<u32>,
    /// The address of a frame without code at the root of all, which is on no stack.
    pub(super) base_frame: Option<u32>,
    /// The whole thread state: an address in it is no place on the C stack.
    pub(super) size: u32,
}

/// How a thread state leads to its leaf frame.
#[derive(Clone, Debug)]
pub(super) enum Top {
    /// It points at the frame.
    Frame(u32),
    /// It points at the newest `_PyCFrame`, which points at the frame.
    CFrame { pointer: u32, current: u32, previous: u32 },
}

#[derive(Clone, Debug)]
pub(super) struct FrameLayout {
    pub(super) previous: u32,
    pub(super) code: u32,
    /// The pointer to the code object has marks in its two low bits.
    pub(super) tagged: bool,
    pub(super) globals: u32,
    pub(super) instruction: Instruction,
    pub(super) owner: Option<u32>,
    /// 3.11: whether an activation of the eval loop begins with this frame.
    pub(super) is_entry: Option<u32>,
    /// Up to the last of these.
    pub(super) size: u32,
}

/// How a frame tells its instruction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Instruction {
    /// An `int` index from the start of the code; in bytes, or in units of so many.
    Index { at: u32, unit: i64 },
    /// A pointer into the code, which begins at this offset of the code object.
    Pointer { at: u32, start: u32 },
}

/// What each activation of the eval loop leaves on the C stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MarkKind {
    /// Nothing that can be reached.
    None,
    /// A `CFrame` for each frame.
    FrameCFrames { pointer: u32, previous: u32 },
    /// A `_PyCFrame`; the frames say with which of them it began.
    EntryCFrames,
    /// A frame without code, in the chain of frames.
    Shims,
}

#[derive(Clone, Debug)]
pub(super) struct CodeLayout {
    pub(super) file: u32,
    /// The qualified name, where the version has one.
    pub(super) name: u32,
    pub(super) first_line: u32,
    pub(super) line_table: u32,
    pub(super) lines: LineTable,
    /// Up to the last of these.
    pub(super) size: u32,
}

/// The kinds of line tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LineTable {
    /// `co_lnotab`, up to 3.9.
    Lnotab,
    /// `co_linetable` of 3.10.
    Ranges,
    /// `co_linetable` since 3.11.
    Locations,
}

/// Where an object keeps its attributes. Values that are not in a dictionary have the order of the keys that their class caches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attributes {
    /// Up to 3.10: in a dictionary; its class tells where.
    InDict,
    /// 3.11: in values four words before the object, or a dictionary three words before it.
    ValuesBefore { cached_keys: u32 },
    /// 3.12: in either, three words before it.
    EitherBefore { cached_keys: u32 },
    /// Since 3.13: in a dictionary three words before it, or in values behind its fields.
    Inline { cached_keys: u32 },
}

impl Attributes {
    /// Where a type keeps the keys of its objects' attributes.
    pub(super) fn cached_keys(self) -> Option<u32> {
        match self {
            Self::InDict => None,
            Self::ValuesBefore { cached_keys } | Self::EitherBefore { cached_keys } | Self::Inline { cached_keys } => {
                Some(cached_keys)
            }
        }
    }
}

/// Coroutines that wait, and the objects beside them.
#[derive(Clone, Debug)]
pub(super) struct CoroutineLayout {
    /// In a coroutine: its frame, and the state of that.
    pub(super) frame: u32,
    pub(super) state: u32,
    /// The states of one that waits; the state of one that waits for another.
    pub(super) suspended: [u8; 2],
    pub(super) awaiting: u8,
    /// In a frame: behind the last value on its stack; what it waits for begins so many bytes before.
    pub(super) stack_pointer: u32,
    pub(super) awaited_below: u32,
    /// Of a set: how far it is read, how many it holds, its table, and the number of places in it less one.
    pub(super) set_size: u32,
    pub(super) set_used: u32,
    pub(super) set_table: u32,
    pub(super) set_mask: u32,
    /// In an int: how many digits it has, and these.
    pub(super) int_tag: u32,
    pub(super) int_digits: u32,
}

/// Where a method keeps its receiver, and a class its name.
#[derive(Clone, Debug)]
pub(super) struct MethodLayout {
    /// In a frame object: the local variables, arguments first, then the cells of those that closures share.
    pub(super) locals: u32,
    /// In a code object, each an `int`: how many positional arguments it has, and how many local variables.
    pub(super) argument_count: u32,
    pub(super) local_count: u32,
    /// In a code object: the names of its local variables, and of those in cells.
    pub(super) names: u32,
    pub(super) cells: u32,
    /// In a code object: for each cell, which argument moves into it.
    pub(super) cell_arguments: u32,
    /// In a class that is made at run time: its name.
    pub(super) class_name: u32,
}

#[derive(Clone, Debug)]
pub(super) struct StringLayout {
    pub(super) length: u32,
    pub(super) state: u32,
    /// Where the characters of an ASCII string begin.
    pub(super) ascii: u32,
    /// Where those of another one begin, or the pointer to them is.
    pub(super) compact: u32,
}

#[derive(Clone, Debug)]
pub(super) struct BytesLayout {
    pub(super) size: u32,
    pub(super) data: u32,
}

#[derive(Clone, Debug)]
pub(super) struct DictLayout {
    pub(super) keys: u32,
    pub(super) values: u32,
    /// From where the values are that lie apart from their keys, to the first of them.
    pub(super) first_value: u32,
    pub(super) form: KeysForm,
}

/// The two layouts of a dictionary's keys object.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeysForm {
    /// Up to 3.10: the number of slots, and entries of three words.
    Slots,
    /// Since 3.11: logarithms of sizes, and a kind of entries.
    Kinds,
}

/// Every object's type.
pub(super) const TYPE: u32 = 8;
/// The value in a cell.
pub(super) const CELL_VALUE: u32 = 16;
/// The length of a tuple, and its first item.
pub(super) const TUPLE_LEN: u32 = 16;
pub(super) const TUPLE_ITEMS: u32 = 24;

/// The layout of a version without debug offsets.
pub(super) fn layout(minor: u8) -> Option<Layout> {
    match minor {
        7..=10 => Some(with_frame_objects(minor)),
        11 => Some(v3_11()),
        12 => Some(v3_12()),
        _ => None,
    }
}

fn with_frame_objects(minor: u8) -> Layout {
    let (head, modules, locked, lasti, class_name) = match minor {
        7 => (24, 40, 1280, 104, 832),
        8 => (32, 56, 1168, 104, 848),
        9 => (32, 856, 368, 104, 840),
        _ => (32, 856, 368, 96, 848),
    };
    let moved = if minor == 7 { 0 } else { 8 };
    let thread_size = if matches!(minor, 8 | 9) { 264 } else { 280 };
    let of_3_10 = minor == 10;
    let locals = if of_3_10 { 352 } else { 360 };
    Layout {
        interpreters_head: head,
        interpreter: InterpreterLayout {
            next: 0,
            threads_head: 8,
            modules,
            gil: GilLayout::InRuntime { locked, holder: locked - 8 },
        },
        thread: ThreadLayout {
            previous: 0,
            next: 8,
            interpreter: 16,
            ident: 176,
            native_id: None,
            chunk: None,
            base_frame: None,
            size: thread_size,
        },
        top: Top::Frame(24),
        frame: FrameLayout {
            previous: 24,
            code: 32,
            tagged: false,
            globals: 48,
            instruction: Instruction::Index { at: lasti, unit: if of_3_10 { 2 } else { 1 } },
            owner: None,
            is_entry: None,
            // With its first local variable.
            size: locals + 8,
        },
        marks: if of_3_10 { MarkKind::FrameCFrames { pointer: 48, previous: 8 } } else { MarkKind::None },
        code: CodeLayout {
            file: 96 + moved,
            name: 104 + moved,
            // An int was put before it in 3.8, and fills a gap.
            first_line: if minor == 7 { 36 } else { 40 },
            line_table: 112 + moved,
            lines: if of_3_10 { LineTable::Ranges } else { LineTable::Lnotab },
            size: 120 + moved,
        },
        string: LONG_STRING,
        bytes: BYTES,
        dict: DictLayout { keys: 32, values: 40, first_value: 0, form: KeysForm::Slots },
        methods: Some(MethodLayout {
            locals,
            argument_count: 16,
            local_count: 24 + moved / 2,
            names: 64 + moved,
            cells: 80 + moved,
            cell_arguments: 88 + moved,
            class_name,
        }),
        attributes: Attributes::InDict,
        coroutines: None,
    }
}

fn v3_11() -> Layout {
    Layout {
        interpreters_head: 40,
        interpreter: InterpreterLayout {
            next: 0,
            threads_head: 16,
            modules: 888,
            gil: GilLayout::InRuntime { locked: 376, holder: 368 },
        },
        thread: ThreadLayout {
            previous: 0,
            next: 8,
            interpreter: 16,
            ident: 152,
            native_id: Some(160),
            chunk: Some(296),
            base_frame: None,
            size: 360,
        },
        top: Top::CFrame { pointer: 56, current: 8, previous: 16 },
        frame: FrameLayout {
            previous: 48,
            code: 32,
            tagged: false,
            globals: 8,
            instruction: Instruction::Pointer { at: 56, start: 184 },
            owner: Some(69),
            is_entry: Some(68),
            size: 70,
        },
        marks: MarkKind::EntryCFrames,
        code: CodeLayout {
            file: 112,
            name: 128,
            first_line: 72,
            line_table: 136,
            lines: LineTable::Locations,
            size: 144,
        },
        string: LONG_STRING,
        bytes: BYTES,
        dict: DictLayout { keys: 32, values: 40, first_value: 0, form: KeysForm::Kinds },
        methods: None,
        attributes: Attributes::ValuesBefore { cached_keys: 872 },
        coroutines: None,
    }
}

fn v3_12() -> Layout {
    Layout {
        interpreters_head: 40,
        interpreter: InterpreterLayout {
            next: 0,
            threads_head: 72,
            modules: 944,
            gil: GilLayout::Behind { pointer: 384, locked: 16, holder: 8 },
        },
        thread: ThreadLayout {
            previous: 0,
            next: 8,
            interpreter: 16,
            ident: 136,
            native_id: Some(144),
            chunk: Some(232),
            base_frame: None,
            size: 288,
        },
        top: Top::CFrame { pointer: 56, current: 0, previous: 8 },
        frame: FrameLayout {
            previous: 8,
            code: 0,
            tagged: false,
            globals: 24,
            instruction: Instruction::Pointer { at: 56, start: 192 },
            owner: Some(70),
            is_entry: None,
            size: 71,
        },
        marks: MarkKind::Shims,
        code: CodeLayout {
            file: 112,
            name: 128,
            first_line: 68,
            line_table: 136,
            lines: LineTable::Locations,
            size: 144,
        },
        string: StringLayout { length: 16, state: 32, ascii: 40, compact: 56 },
        bytes: BYTES,
        dict: DictLayout { keys: 32, values: 40, first_value: 0, form: KeysForm::Kinds },
        methods: None,
        attributes: Attributes::EitherBefore { cached_keys: 880 },
        coroutines: None,
    }
}

const BYTES: BytesLayout = BytesLayout { size: 16, data: 32 };
/// Up to 3.11 a string also has room for `wchar_t`.
const LONG_STRING: StringLayout = StringLayout { length: 16, state: 32, ascii: 48, compact: 72 };

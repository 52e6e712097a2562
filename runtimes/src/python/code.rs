//! Names and lines of code objects, read once each after the target runs again: a code object that is no longer what the
//! stack showed is not named.

use std::collections::HashMap;

use profile::{
    address::RemoteAddr,
    code::{Code, CodeIndex, Language},
};

use super::{
    CodeKey, Frame,
    asyncio::{Below, Label},
    bytes::u64_at,
    classes::Classes,
    dict,
    find::Process,
    line_table::line,
    offsets::{Instruction, LineTable},
    proof::{Proof, Seen},
    strings::{Bytes, Text},
};
use crate::Memory;

/// Code objects of one process. A large Django project has about 60,000 functions.
const CODES_MAX: usize = 100_000;
/// Bytes of their names; of a name, a module and a file most have 100 together. They are held here, and as often again by
/// who is told of them.
const NAMES_MAX: usize = 32 << 20;
/// What an announced code object takes beside its texts.
const ANNOUNCED: usize = 128;
/// Bytes of one line table; the largest of the standard library (3.13) has 14 KB.
const TABLE_MAX: usize = 128 << 10;
/// Bytes of all line tables and texts that are kept to know code objects again.
const KEPT_MAX: usize = 64 << 20;
/// Names that a program chooses for tasks: one that has another for each request must not fill the table of functions.
const TASK_NAMES_MAX: usize = 1000;
/// As much of a code object as is ever read; 3.15 has 216 bytes.
const CODE_MAX: usize = 1024;
/// Instructions of a code object whose lines are remembered; a caller is seen at a few.
const LINES_MAX: usize = 16;
/// What stands for functions beyond the limits.
const BEYOND: &str = "[function beyond the limit]";

/// The code objects of one process that have been named.
#[derive(Default, Debug)]
pub struct Codes {
    known: HashMap<Identity, Known>,
    classes: Classes,
    /// What was announced. Code that is compiled again, as templates are, is the same as before.
    announced: HashMap<Code, CodeIndex>,
    announced_bytes: usize,
    /// How many names that a program chose for tasks of asyncio are among these.
    task_names: usize,
    /// Stands for what is not announced any more.
    beyond: Option<CodeIndex>,
    kept_bytes: usize,
    /// Which stack is named.
    stack: u64,
    proof: Proof,
}

/// A code object, and up to 3.10 the class that it is a method of.
pub(super) type Identity = (RemoteAddr, CodeKey, Option<RemoteAddr>);

fn identity(frame: &Frame) -> Identity {
    (frame.code, frame.key, frame.class)
}

/// A frame's code and line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// Which code.
    pub index: CodeIndex,
    /// The line of its instruction; `None` for what the compiler added.
    pub line: Option<u32>,
    /// At first sight: what the index means.
    pub new: Option<Code>,
    /// There are too many functions for this one to be named: it is shown, as any other of those.
    pub is_beyond: bool,
}

#[derive(Debug)]
struct Known {
    index: CodeIndex,
    /// What its names and lines were, and where.
    seen: Seen,
    /// Its name with that of its class.
    function: String,
    /// The stack for which it was last read, or found to be the same.
    checked: u64,
    /// The stack for which its class was.
    class_checked: u64,
    /// The stack for which it was last asked for.
    asked: u64,
    /// Lines of some instructions, by offset in the code.
    lines: Vec<(i64, Option<u32>)>,
    /// Which of them goes next.
    oldest: usize,
}

impl Known {
    fn line(&mut self, kind: LineTable, first_line: u32, offset: i64) -> Option<u32> {
        if let Some((_, line)) = self.lines.iter().find(|(at, _)| *at == offset) {
            return *line;
        }
        let line = line(kind, self.seen.table.data(), first_line, offset);
        if self.lines.len() < LINES_MAX {
            self.lines.push((offset, line));
        } else if let Some(slot) = self.lines.get_mut(self.oldest) {
            *slot = (offset, line);
            self.oldest = (self.oldest + 1) % LINES_MAX;
        }
        line
    }
}

/// The code object is gone, or never was one.
struct Gone;

impl Codes {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// These frames are named next, of one stack. What was known of their code before is compared with the memory, in few
    /// calls: code that is made anew may get all the addresses of code that is gone.
    pub fn begin_stack(&mut self, process: &Process, frames: &[Frame], memory: &mut impl Memory) {
        self.stack = self.stack.wrapping_add(1);
        self.proof.clear();
        for frame in frames {
            let Some(known) = self.known.get_mut(&identity(frame)) else { continue };
            if std::mem::replace(&mut known.asked, self.stack) != self.stack {
                self.proof.ask(process, identity(frame), &known.seen);
            }
        }
        let (known, stack) = (&mut self.known, self.stack);
        self.proof.check(process, memory, |at, shown| {
            if let Some(known) = known.get_mut(&at)
                && shown.is(&known.seen)
            {
                known.checked = stack;
            }
        });
    }

    /// Names a frame. `None` if its code object is gone, or never was one.
    pub fn resolve(&mut self, process: &Process, frame: &Frame, memory: &mut impl Memory) -> Option<Resolved> {
        let is_proved = self.is_proved(process, frame, memory);
        let new = if is_proved { None } else { self.learn(process, frame, memory).ok()? };
        let known = self.known.get_mut(&identity(frame))?;
        let line = known.line(process.layout.code.lines, frame.key.first_line, offset(process, frame));
        Some(Resolved { index: known.index, line, new, is_beyond: Some(known.index) == self.beyond })
    }

    /// Names a task of asyncio, or a frame of one that waits: as [`Self::resolve`] does.
    pub fn resolve_below(&mut self, process: &Process, item: &Below, memory: &mut impl Memory) -> Option<Resolved> {
        if let Below::Frame(frame) = item {
            return self.resolve(process, frame, memory);
        }
        let mut label = item.label(process)?;
        let is_new = |label: &Label| label.is_chosen && !self.announced.contains_key(&of_label(label));
        if is_new(&label) {
            if self.task_names >= TASK_NAMES_MAX {
                label = Label::of_any_task();
            } else {
                self.task_names += 1;
            }
        }
        let (index, new) = self.index(of_label(&label));
        Some(Resolved { index, line: None, new, is_beyond: Some(index) == self.beyond })
    }

    /// Whether a frame's code, and its class, are what they were when they were named.
    fn is_proved(&mut self, process: &Process, frame: &Frame, memory: &mut impl Memory) -> bool {
        let Some(known) = self.known.get_mut(&identity(frame)) else { return false };
        if known.checked != self.stack || frame.class.is_none() || known.class_checked == self.stack {
            return known.checked == self.stack;
        }
        known.class_checked = self.stack;
        function(&mut self.classes, process, frame, &known.seen, memory) == known.function
    }

    /// Reads a frame's code object, and names it unless it is as it was. Gives what is to be announced of it.
    fn learn(&mut self, process: &Process, frame: &Frame, memory: &mut impl Memory) -> Result<Option<Code>, Gone> {
        let (at, stack) = (identity(frame), self.stack);
        let seen = read(process, frame, memory).ok_or(Gone)?;
        let function = function(&mut self.classes, process, frame, &seen, memory);
        if let Some(known) = self.known.get_mut(&at)
            && known.seen == seen
            && known.function == function
        {
            (known.checked, known.class_checked) = (stack, stack);
            return Ok(None);
        }
        let code = Code {
            language: Language::Python,
            function: function.clone(),
            module: dict::string_value(process, frame.globals, "__name__", memory),
            file: seen.file.to_string(),
            first_line: frame.key.first_line,
        };
        let (index, new) = self.index(code);
        let known = Known {
            index,
            seen,
            function,
            checked: stack,
            class_checked: stack,
            asked: stack,
            lines: Vec::new(),
            oldest: 0,
        };
        self.keep(at, known);
        Ok(new)
    }

    /// The index of a function, and the function if it is to be announced.
    fn index(&mut self, code: Code) -> (CodeIndex, Option<Code>) {
        if let Some(index) = self.announced.get(&code) {
            return (*index, None);
        }
        let next = CodeIndex(u32::try_from(self.announced.len()).unwrap_or(u32::MAX));
        let texts = [&code.function, &code.file, code.module.as_ref().unwrap_or(&String::new())].map(String::len);
        let bytes = texts.iter().sum::<usize>().saturating_add(ANNOUNCED).saturating_add(self.announced_bytes);
        if self.announced.len() < CODES_MAX && bytes <= NAMES_MAX {
            self.announced_bytes = bytes;
            self.announced.insert(code.clone(), next);
            return (next, Some(code));
        }
        if let Some(beyond) = self.beyond {
            return (beyond, None);
        }
        let (function, file) = (BEYOND.to_owned(), String::new());
        let beyond = Code { language: Language::Python, function, module: None, file, first_line: 0 };
        self.beyond = Some(next);
        // It has its number from now on: nothing else is announced.
        self.announced.insert(beyond.clone(), next);
        self.announced_bytes = NAMES_MAX;
        (next, Some(beyond))
    }

    /// Remembers a code object; all are forgotten when they are too many, and read again.
    fn keep(&mut self, at: Identity, known: Known) {
        let bytes = known.seen.bytes().saturating_add(known.function.len());
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.known.len() >= CODES_MAX || self.kept_bytes > KEPT_MAX {
            self.known.clear();
            self.kept_bytes = bytes;
        }
        self.known.insert(at, known);
    }
}

/// What a label is beside the functions: no file and no line.
fn of_label(label: &Label) -> Code {
    Code { language: Language::Python, function: label.text.clone(), module: None, file: String::new(), first_line: 0 }
}

/// Where in its code a frame is, in bytes.
fn offset(process: &Process, frame: &Frame) -> i64 {
    match process.layout.frame.instruction {
        // An `int`, of which -1 is before the first.
        Instruction::Index { unit, .. } => {
            let index = u32::try_from(frame.instruction).map_or(-1, u32::cast_signed);
            i64::from(index).saturating_mul(unit)
        }
        Instruction::Pointer { start, .. } => {
            frame.instruction.wrapping_sub(frame.code.0.wrapping_add(start.into())).cast_signed()
        }
    }
}

/// The name of a frame's function, with its class where that names it.
fn function(classes: &mut Classes, process: &Process, frame: &Frame, seen: &Seen, memory: &mut impl Memory) -> String {
    let name = seen.name.to_string();
    match frame.class {
        Some(class) => classes.qualified(process, class, (name, seen.name.at()), memory),
        None => name,
    }
}

/// Reads a code object that is still the one of the frame, before and after.
fn read(process: &Process, frame: &Frame, memory: &mut impl Memory) -> Option<Seen> {
    let layout = &process.layout.code;
    let mut room = [0; CODE_MAX];
    let code = room.get_mut(..usize::try_from(layout.size).ok()?)?;
    is_still(process, frame, code, memory).then_some(())?;
    let pointer = |at| u64_at(code, at).map(RemoteAddr);
    let seen = Seen {
        name: Text::read(process, pointer(layout.name)?, memory)?,
        file: Text::read(process, pointer(layout.file)?, memory)?,
        table: Bytes::read(process, pointer(layout.line_table)?, TABLE_MAX, memory)?,
    };
    is_still(process, frame, code, memory).then_some(seen)
}

fn is_still(process: &Process, frame: &Frame, code: &mut [u8], memory: &mut impl Memory) -> bool {
    memory.read(frame.code, code) && CodeKey::parse(process, code) == Some(frame.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that functions beyond the limit of bytes all are one, announced once, and that those before keep their own.
    #[test]
    fn beyond() {
        let mut codes = Codes::new();
        let code = |number: usize| Code {
            language: Language::Python,
            function: format!("{number}{}", "x".repeat(4000)),
            module: None,
            file: String::new(),
            first_line: 1,
        };
        let all: Vec<_> = (0..10_000).map(|number| codes.index(code(number))).collect();
        let named = all.iter().take_while(|(_, new)| new.as_ref().is_some_and(|new| new.function != BEYOND)).count();
        let bytes = |count: usize| (0..count).map(|number| code(number).function.len() + ANNOUNCED).sum::<usize>();
        assert!(bytes(named) <= NAMES_MAX && bytes(named + 1) > NAMES_MAX, "{named}");
        let (beyond, rest) = all[named..].split_first().unwrap();
        assert_eq!(beyond.1.as_ref().map(|code| code.function.as_str()), Some(BEYOND));
        assert!(rest.iter().all(|(index, new)| *index == beyond.0 && new.is_none()));
        assert_eq!(codes.index(code(7)), (CodeIndex(7), None));
    }
}

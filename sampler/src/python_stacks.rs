//! From captures of Python stacks to whole stacks: finds the interpreter among a target's modules, names code objects, and
//! puts Python frames where they are among the native ones. Runs on the unwinding thread; stops nobody.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use profile::{
    address::RemoteAddr,
    code::{Code, CodeIndex, Language},
    id::Tid,
    module::{Module, ModuleIndex},
    naming::file_name,
    stack::{CodeFrame, Gap, NativeFrame, NativeStack, RawFrame, RawStack, StackEnd, Truncation},
};
use runtimes::{
    Memory,
    merge::{self, Activation},
    python::{Codes, End, Frame, Mark, Process},
};
use tracing::{info, warn};
use unwinder::ModuleMap;

use crate::{
    interpreter::{self, Interpreter, PythonCapture, Suspect},
    modules::ModuleFile,
    reader::Capture,
};

/// Files with an interpreter, or with copies of its types, that are remembered; a process has one or two.
const SUSPECTS_MAX: usize = 16;
/// Extension modules that are remembered: one tells the version.
const EXTENSIONS_MAX: usize = 16;
/// Extensions that switch between C stacks: a process has one, or one more after an exec.
const GREENLETS_MAX: usize = 16;
/// How often an interpreter that has not started yet is looked for: a few reads of memory.
const RETRY_NS: u64 = 1_000_000_000;
/// A start takes less; whoever needs longer is told of.
const START_NS: u64 = 5_000_000_000;

/// What is known of the Python side of a target.
#[derive(Debug, Default)]
pub(crate) struct Pythons {
    interpreter: Interpreter,
    suspects: VecDeque<Suspect>,
    extensions: VecDeque<(ModuleIndex, String)>,
    /// Something was mapped since the last look that may hold one, or tell its version.
    changed: bool,
    looked_at: u64,
    /// Since when one is there that has not started.
    waiting_since: Option<u64>,
    /// Why the last one that was found cannot be read, as it was told.
    told: String,
    codes: Codes,
    /// The code of the eval loop, of versions that leave no marks.
    eval_loop: Vec<Range<RemoteAddr>>,
    /// Those that switch between C stacks.
    greenlets: VecDeque<ModuleIndex>,
}

impl Pythons {
    /// A module is mapped.
    pub(crate) fn note(&mut self, index: ModuleIndex, file: &ModuleFile) {
        if is_greenlet(&file.module.path) {
            push(&mut self.greenlets, index, GREENLETS_MAX);
        }
        if let Some(symbols) = file.python.clone() {
            push(&mut self.suspects, Suspect { index, module: file.module.clone(), symbols }, SUSPECTS_MAX);
            self.changed = true;
        } else if file.module.path.contains(".cpython-3") {
            push(&mut self.extensions, (index, file.module.path.clone()), EXTENSIONS_MAX);
            self.changed = true;
        }
    }

    /// Looks for an interpreter until one is found, once a second where one is there that may start yet, and anew when it is
    /// mapped no more: the process has begun another program. Gives its module, marked as such.
    pub(crate) fn find(&mut self, tid: Tid, map: &ModuleMap, now: u64) -> Option<(ModuleIndex, Module)> {
        let is_mapped = |index: ModuleIndex| map.ranges().iter().any(|range| range.module == Some(index));
        let is_due = match &self.interpreter {
            Interpreter::Python { module, .. } => !is_mapped(*module),
            Interpreter::Unsupported(why) if why.may_pass() => now.saturating_sub(self.looked_at) >= RETRY_NS,
            Interpreter::Unsupported(_) | Interpreter::None => false,
        };
        let is_found = matches!(self.interpreter, Interpreter::Python { .. });
        if !is_due && is_found && std::mem::take(&mut self.changed) {
            self.add_tasks();
        }
        if !is_due && (is_found || !self.changed) {
            return None;
        }
        (self.changed, self.looked_at) = (false, now);
        let extensions = self.extensions.iter().filter(|(index, _)| is_mapped(*index));
        let paths: Vec<&str> = extensions.map(|(_, path)| path.as_str()).collect();
        let suspects: Vec<&Suspect> = self.suspects.iter().filter(|suspect| is_mapped(suspect.index)).collect();
        self.interpreter = interpreter::find(&suspects, &paths, tid);
        self.eval_loop = match &self.interpreter {
            Interpreter::Python { process, .. } => process.eval_loop(|at| map.find(at)?.function_at(at)),
            _ => Vec::new(),
        };
        let found = match &self.interpreter {
            Interpreter::Python { module, .. } => suspects.iter().find(|suspect| suspect.index == *module),
            // It runs, though it cannot be read.
            Interpreter::Unsupported(why) if !why.may_pass() => {
                suspects.iter().find(|suspect| suspect.symbols.has_state())
            }
            _ => None,
        };
        let found = found
            .map(|suspect| (suspect.index, Module { interpreter: Some(Language::Python), ..suspect.module.clone() }));
        self.tell(tid, now);
        found
    }

    fn tell(&mut self, tid: Tid, now: u64) {
        let why = match &self.interpreter {
            Interpreter::None => return self.waiting_since = None,
            Interpreter::Python { process, .. } => {
                self.waiting_since = None;
                return info!(%tid, version = ?process.version(), "Python frames are shown.");
            }
            Interpreter::Unsupported(why) => why,
        };
        let since = *self.waiting_since.get_or_insert(now);
        let text = why.to_string();
        let is_starting = why.may_pass() && now.saturating_sub(since) < START_NS;
        if !is_starting && text != self.told {
            warn!(%tid, why = text, "Only native frames are shown: this Python cannot be read.");
            self.told = text;
        }
    }

    /// Takes what an extension module of asyncio tells of its tasks, which may be mapped long after the interpreter.
    fn add_tasks(&mut self) {
        let Interpreter::Python { process, .. } = &mut self.interpreter else { return };
        if let Some(with_tasks) = self.suspects.iter().find_map(|suspect| process.with_asyncio(&suspect.symbols)) {
            *process = Arc::new(with_tasks);
        }
    }

    /// The interpreter, for those who read its thread states.
    pub(crate) fn process(&self) -> Option<Arc<Process>> {
        if let Interpreter::Python { process, .. } = &self.interpreter { Some(Arc::clone(process)) } else { None }
    }

    /// Whether a thread is in the interpreter, as far as its native frames tell, by a state that is not known: it may be one
    /// that was made for this call.
    pub(crate) fn wants_state(&self, native: &NativeStack, capture: Option<&PythonCapture>) -> bool {
        let Interpreter::Python { module, .. } = &self.interpreter else { return false };
        lacks_state(capture) && native.frames.iter().any(|frame| frame.module == Some(*module))
    }

    /// Whether a thread surely runs Python code that its stack will not show.
    pub(crate) fn lacks_frames(&self, native: &NativeStack, capture: Option<&PythonCapture>) -> bool {
        lacks_state(capture) && native.frames.iter().any(|frame| self.is_eval(frame))
    }

    /// The whole stack, and whether each of its functions has a name; or under which word it is counted as lost. Without native
    /// frames if there are none to merge with. `announce` is told of code objects that are new.
    pub(crate) fn merge(
        &mut self,
        native: Option<&NativeStack>,
        capture: &Capture,
        memory: &mut impl Memory,
        announce: &mut dyn FnMut(CodeIndex, Code),
    ) -> Result<(RawStack, bool), &'static str> {
        let Some(python) = &capture.python else {
            return native.map(|native| (RawStack::from(native), true)).ok_or("python_gone");
        };
        if let Some(why) = interpreter::failure(&python.end) {
            return Err(why);
        }
        let (frames, is_named) = self.resolve(python, memory, announce)?;
        let below = self.resolve_tasks(python, memory, announce);
        let stack = match native {
            None => without_native(python, &frames, &below),
            Some(native) if frames.is_empty() => RawStack::from(native),
            Some(native) => self.placed(native, (capture, python), &frames, &below),
        };
        Ok((if python.end == End::Cut { cut(stack) } else { stack }, is_named))
    }

    /// The frames of Python where they are among the native ones.
    fn placed(
        &self,
        native: &NativeStack,
        (capture, python): (&Capture, &PythonCapture),
        frames: &[RawFrame],
        below: &[RawFrame],
    ) -> RawStack {
        let marks = self.own_marks(python, native);
        let activations = activations(python, &marks, frames, below);
        if marks.is_empty() {
            let is_eval = |frame: &NativeFrame| self.is_eval(frame);
            let native = self.of_greenlet(native, native.frames.iter().position(is_eval));
            let frames: Vec<RawFrame> = activations.into_iter().flat_map(|one| one.frames).collect();
            return merge::by_activations(&native, is_eval, &frames, || held(capture, &python.frames));
        }
        let first = marks.iter().map(|mark| mark.at).min();
        let native = self.of_greenlet(native, native.sps.iter().position(|sp| Some(*sp) >= first));
        let merged = merge::by_marks(&native, &activations);
        let is_whole = python.gap.is_none() || matches!(merged.end, StackEnd::Gap(_));
        if is_whole { merged } else { RawStack { end: StackEnd::Gap(Gap::NoCaller), ..merged } }
    }

    /// The marks without those of greenlets: up to 3.10 each has a `CFrame` of its own, without a Python frame. They begin at
    /// the root with as many frames as marks, so that the others run one frame more than they seemed to.
    fn own_marks<'m>(&self, python: &'m PythonCapture, native: &NativeStack) -> Cow<'m, [Mark]> {
        let is_frame_marks =
            matches!(&self.interpreter, Interpreter::Python { process, .. } if process.version() <= (3, 10));
        if self.greenlets.is_empty() || !is_frame_marks || python.omitted.is_some() {
            return Cow::Borrowed(&python.marks);
        }
        let is_greenlets = |mark: &&Mark| {
            let next = native.sps.iter().position(|sp| *sp > mark.at);
            let holder = next.and_then(|next| native.frames.get(next.checked_sub(1)?));
            holder.and_then(|frame| frame.module).is_some_and(|index| self.greenlets.contains(&index))
        };
        let own: Vec<&Mark> = python.marks.iter().filter(|mark| !is_greenlets(mark)).collect();
        let renumbered = (1..).zip(&own).map(|(number, mark)| Mark {
            frames: python.frames.len().saturating_add(number).saturating_sub(own.len()),
            ..**mark
        });
        Cow::Owned(renumbered.collect())
    }

    /// The native stack as far as it is the running greenlet's. `inside`: a frame that surely is. What is beyond its root
    /// belongs to the one that started it, which has gone on since: those frames may be there no more, or lead nowhere.
    fn of_greenlet<'n>(&self, native: &'n NativeStack, inside: Option<usize>) -> Cow<'n, NativeStack> {
        let is_greenlet = |frame: &NativeFrame| frame.module.is_some_and(|index| self.greenlets.contains(&index));
        let Some(inside) = inside.filter(|_| !self.greenlets.is_empty()) else { return Cow::Borrowed(native) };
        let from = |start, is: bool| {
            native.frames.iter().skip(start).position(|frame| is_greenlet(frame) == is).map(|ahead| ahead + start)
        };
        let Some(root) = from(inside, true) else { return Cow::Borrowed(native) };
        let end = from(root, false).unwrap_or(native.frames.len());
        Cow::Owned(NativeStack {
            frames: native.frames.iter().take(end).copied().collect(),
            // With the first one beyond, where the last one ends.
            sps: native.sps.iter().take(end.saturating_add(1)).copied().collect(),
            end: if native.end == StackEnd::Guessed { StackEnd::Guessed } else { StackEnd::Complete },
        })
    }

    fn resolve(
        &mut self,
        capture: &PythonCapture,
        memory: &mut impl Memory,
        announce: &mut dyn FnMut(CodeIndex, Code),
    ) -> Result<(Vec<RawFrame>, bool), &'static str> {
        let Interpreter::Python { process, .. } = &self.interpreter else { return Err("python_gone") };
        self.codes.begin_stack(process, &capture.frames, memory);
        let mut frames = Vec::with_capacity(capture.frames.len());
        let mut is_named = true;
        for frame in &capture.frames {
            let resolved = self.codes.resolve(process, frame, memory).ok_or("python_code_gone")?;
            if let Some(code) = resolved.new {
                announce(resolved.index, code);
            }
            is_named &= !resolved.is_beyond;
            frames.push(RawFrame::Code(CodeFrame { code: resolved.index, line: resolved.line }));
        }
        Ok((frames, is_named))
    }

    /// The tasks of asyncio and their coroutines; none, if some have ended since.
    fn resolve_tasks(
        &mut self,
        capture: &PythonCapture,
        memory: &mut impl Memory,
        announce: &mut dyn FnMut(CodeIndex, Code),
    ) -> Vec<RawFrame> {
        let Interpreter::Python { process, .. } = &self.interpreter else { return Vec::new() };
        let items = capture.tasks.iter().flat_map(|(_, items)| items);
        let mut below = Vec::new();
        for item in items {
            let Some(resolved) = self.codes.resolve_below(process, item, memory) else { return Vec::new() };
            if let Some(code) = resolved.new {
                announce(resolved.index, code);
            }
            below.push(RawFrame::Code(CodeFrame { code: resolved.index, line: resolved.line }));
        }
        below
    }

    /// Python 3.9 and older leave no mark: their eval loop is known by its address.
    fn is_eval(&self, frame: &NativeFrame) -> bool {
        self.eval_loop.iter().any(|piece| piece.contains(&frame.lookup()))
    }
}

/// Whether no state of the thread was known that it still has.
fn lacks_state(capture: Option<&PythonCapture>) -> bool {
    capture.is_none_or(|capture| capture.end == End::NoState)
}

/// Of a stack whose Python frames are those of the leaf's side: native frames behind them would stand where others are missing.
fn cut(mut stack: RawStack) -> RawStack {
    let last = stack.frames.iter().rposition(|frame| matches!(frame, RawFrame::Code(_)));
    stack.frames.truncate(last.map_or(0, |last| last.saturating_add(1)));
    if !matches!(stack.end, StackEnd::Truncated(_)) {
        stack.end = StackEnd::Truncated(Truncation::TooDeep);
    }
    stack
}

/// Adds to a queue that keeps the newest.
fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// The language's frames alone.
fn without_native(python: &PythonCapture, frames: &[RawFrame], below: &[RawFrame]) -> RawStack {
    let activations = activations(python, &python.marks, frames, below);
    let end = if python.gap.is_some() { StackEnd::Gap(Gap::NoCaller) } else { StackEnd::Complete };
    RawStack { frames: activations.into_iter().flat_map(|one| one.frames).collect(), end }
}

/// Whether a module is the extension that gives each greenlet a part of the C stack.
fn is_greenlet(path: &str) -> bool {
    let name = file_name(path);
    ["_greenlet.", "greenlet."].iter().any(|begin| name.starts_with(begin))
}

/// For each frame the highest place on the stack that points at it.
fn held(capture: &Capture, frames: &[Frame]) -> Vec<Option<RemoteAddr>> {
    let mut highest: HashMap<u64, Option<RemoteAddr>> = frames.iter().map(|frame| (frame.at.0, None)).collect();
    for (start, bytes) in capture.pieces() {
        let (words, _) = bytes.as_chunks();
        for (word, at) in words.iter().zip((start..).step_by(8)) {
            if let Some(place) = highest.get_mut(&u64::from_le_bytes(*word)) {
                *place = (*place).max(Some(RemoteAddr(at)));
            }
        }
    }
    frames.iter().map(|frame| highest.get(&frame.at.0).copied().flatten()).collect()
}

/// The frames of each activation, leaf first, with frames that stand for those that were left out or are not known, and with what
/// is below the frames of a task.
fn activations(capture: &PythonCapture, marks: &[Mark], frames: &[RawFrame], below: &[RawFrame]) -> Vec<Activation> {
    let omitted =
        capture.omitted.map(|(place, many)| (place, RawFrame::Omitted(u32::try_from(many).unwrap_or(u32::MAX))));
    let tasks = capture.tasks.as_ref().map(|(place, _)| *place);
    let marks = marks.iter().map(|mark| (mark.frames, Some(mark.at)));
    let mut all = Vec::with_capacity(marks.len() + 1);
    let mut begin = 0;
    for (end, mark) in marks.chain(std::iter::once((frames.len(), None))) {
        let end = end.clamp(begin, frames.len());
        let mut of_one = Vec::with_capacity(end - begin);
        for (place, frame) in (begin..end).zip(frames.get(begin..end).unwrap_or_default()) {
            of_one.extend(omitted.filter(|(cut, _)| *cut == place).map(|(_, frame)| frame));
            of_one.push(*frame);
            of_one.extend(below.iter().filter(|_| tasks == Some(place + 1)));
        }
        if capture.gap.is_some_and(|place| place == end && (place > begin || all.is_empty())) {
            of_one.push(RawFrame::Gap(Gap::NoCaller));
        }
        begin = end;
        if !of_one.is_empty() || mark.is_some() {
            all.push(Activation { frames: of_one, mark });
        }
    }
    all
}

//! `sentry-profiled dump`: one stack per thread, now. Samples until every thread has been read in full, at most for a
//! moment, then names and prints.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use profile::{
    chunk::Namer,
    code::{Code, CodeIndex},
    feed::{Event, StackId},
    frame::Frame,
    id::{Pid, Tid},
    machinery::{Folding, Shown, shown},
    module::{Module, ModuleIndex},
    naming::named_by_itself,
    stack::{RawFrame, RawStack, Truncation},
    thread::{Filter, State},
};
use sampler::{Output, Sampler, Settings, Sink, Target, TargetId};
use serde::Serialize;

use crate::{
    cli::DumpArguments,
    exit::Failure,
    naming::{Naming, Patience},
    settings,
    startup::{self, Signals},
};

/// A thread that cannot be read by then is shown without frames.
const PATIENCE: Duration = Duration::from_secs(1);
/// Debug files that are being fetched are waited for so long, or until ^C.
const FETCH_PATIENCE: Duration = Duration::from_secs(10);
/// A few more ticks, for copies that were too short at first.
const SETTLE: Duration = Duration::from_millis(60);

/// Reads, names, prints.
pub fn dump(arguments: &DumpArguments) -> Result<u8, Failure> {
    let settings = settings::of_dump(arguments)?;
    let debuginfod = settings::debuginfod(&settings)?;
    let signals = startup::block_signals()?;
    let target = Target::open(Pid(arguments.pid)).map_err(Failure::refused)?;
    let pid = target.pid;
    startup::raise_descriptor_limit();
    startup::bound_real_time();
    let heartbeat = startup::start_watchdog()?;
    let (naming, thread) = Naming::start(symbolizer::Settings::default(), Patience::Foreground, debuginfod.as_ref())?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let sink = Box::new(Collect { seen: Arc::clone(&seen), naming: naming.clone() });
    let keep_interpreter_frames = settings.python.keep_interpreter_frames;
    let sampling = Settings { rate_hz: 200.0, ..settings::sampling(&settings) };
    let mut sampler = Sampler::start(sampling, heartbeat, sink)?;
    let id = sampler.reserve();
    sampler.add(id, target, false)?;
    wait(&seen);
    drop(sampler);
    if debuginfod.is_some() {
        wait_for_files(&naming, &signals);
    }
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    let was_read = !seen.threads.is_empty();
    let threads = seen.named(&mut naming.namer(id), keep_interpreter_frames, settings::filter(&settings));
    drop(naming);
    drop(thread.join());
    if !was_read {
        return Err(Failure::Failed(anyhow::anyhow!("process {pid} ended before it could be read")));
    }
    let dump = Dump { pid: pid.0, threads };
    let text = if arguments.json { serde_json::to_string(&dump)? + "\n" } else { dump.text() };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(0)
}

fn wait(seen: &Mutex<Seen>) {
    let began = Instant::now();
    let mut complete_since = None;
    while began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.gone {
            return;
        }
        if seen.ticks > 0 && !seen.threads.is_empty() && seen.threads.values().all(|thread| thread.stack.is_some()) {
            let since = *complete_since.get_or_insert_with(Instant::now);
            if !seen.has_short_copies() || since.elapsed() > SETTLE {
                return;
            }
        }
    }
}

fn wait_for_files(naming: &Naming, signals: &Signals) {
    let began = Instant::now();
    let interrupted = || matches!(signals.0.read_signal(), Ok(Some(_)));
    while began.elapsed() < FETCH_PATIENCE && naming.awaits_files() && !interrupted() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What came until now.
#[derive(Default)]
struct Seen {
    threads: BTreeMap<Tid, SeenThread>,
    stacks: BTreeMap<StackId, RawStack>,
    codes: BTreeMap<CodeIndex, Code>,
    modules: BTreeMap<ModuleIndex, Module>,
    ticks: u64,
    gone: bool,
}

#[derive(Default)]
struct SeenThread {
    name: String,
    stack: Option<(StackId, State)>,
}

impl Seen {
    fn has_short_copies(&self) -> bool {
        self.threads.values().any(|thread| {
            let stack = thread.stack.and_then(|(stack, _)| self.stacks.get(&stack));
            stack.is_some_and(|stack| stack.end.truncation() == Some(Truncation::BeyondCopy))
        })
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Code(index, code) => drop(self.codes.insert(index, code)),
            Event::Module(index, module) => drop(self.modules.insert(index, module)),
            Event::Stack(id, stack) => drop(self.stacks.insert(id, stack)),
            Event::Thread { tid, name } => self.threads.entry(tid).or_default().name = name,
            Event::Tick { .. } => self.ticks += 1,
            Event::Sample { tid, stack, state } => {
                self.threads.entry(tid).or_default().stack = Some((stack, state));
            }
            Event::Ended { tid } => drop(self.threads.remove(&tid)),
            _ => {}
        }
    }

    /// The threads whose states the filter keeps; what is not known is kept.
    fn named(&self, namer: &mut dyn Namer, keep_all: bool, filter: Filter) -> Vec<DumpThread> {
        let is_kept = |thread: &SeenThread| thread.stack.is_none_or(|(_, state)| filter.keeps(state));
        let kept = self.threads.iter().filter(|(_, thread)| is_kept(thread));
        kept.map(|(tid, thread)| self.thread(*tid, thread, namer, keep_all)).collect()
    }

    fn thread(&self, tid: Tid, thread: &SeenThread, namer: &mut dyn Namer, keep_all: bool) -> DumpThread {
        let read = thread.stack.and_then(|(id, state)| Some((self.stacks.get(&id)?, state)));
        let Some((stack, state)) = read else {
            let state = "unknown".to_owned();
            return DumpThread {
                tid: tid.0,
                name: thread.name.clone(),
                state,
                gil: None,
                frames: Vec::new(),
                end: "unread".to_owned(),
            };
        };
        DumpThread {
            tid: tid.0,
            name: thread.name.clone(),
            state: state.thread.to_string(),
            gil: state.gil.map(|gil| gil.to_string()),
            frames: self.frames(stack, namer, keep_all),
            end: stack.end.to_string(),
        }
    }

    /// The frames of a stack; without the machinery of an interpreter where there are frames of its language.
    fn frames(&self, stack: &RawStack, namer: &mut dyn Namer, keep_all: bool) -> Vec<DumpFrame> {
        let is_interpreted = |frame: &RawFrame| frame.is_interpreted(|index| self.codes.get(&index));
        let condensed = !keep_all && stack.frames.iter().any(is_interpreted);
        let (mut folding, mut out) = (Folding::default(), Vec::with_capacity(stack.frames.len()));
        for raw in &stack.frames {
            let (frames, is_fold) = self.shown(raw, namer, condensed);
            if !frames.is_empty() && folding.writes(is_fold) {
                out.extend(lines(&frames, *raw));
            }
        }
        out
    }

    /// The frames of an address, and whether they stand for a fold.
    fn shown(&self, raw: &RawFrame, namer: &mut dyn Namer, condensed: bool) -> (Arc<[Frame]>, bool) {
        let RawFrame::Native(native) = raw else {
            // Paths are shown as short as they are: no working directory is needed.
            return (named_by_itself(raw, None, |index| self.codes.get(&index)).into_iter().collect(), false);
        };
        let named = namer.name(native);
        let module = native.module.and_then(|index| self.modules.get(&index));
        match if condensed { shown(&named, module) } else { Shown::Frames(named) } {
            Shown::Frames(frames) => (frames, false),
            Shown::Fold(frame) => ([frame].into(), true),
        }
    }
}

fn lines(frames: &[Frame], raw: RawFrame) -> impl Iterator<Item = DumpFrame> {
    let last = frames.len().saturating_sub(1);
    frames.iter().enumerate().map(move |(place, frame)| DumpFrame::new(frame, raw, place < last))
}

struct Collect {
    seen: Arc<Mutex<Seen>>,
    naming: Naming,
}

impl Sink for Collect {
    fn output(&mut self, target: TargetId, output: Output) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match output {
            Output::Event(Event::Stack(id, stack)) => {
                self.naming.prepare(target, stack.native().copied().collect());
                seen.apply(Event::Stack(id, stack));
            }
            Output::Event(event) => seen.apply(event),
            Output::ModuleFile(index, file) => self.naming.module(target, index, file),
            Output::Hint(hint) => self.naming.hint(hint),
            Output::Gone { .. } => seen.gone = true,
            Output::Board { .. } => {}
        }
    }
}

/// The JSON of `dump --json`; stable.
#[derive(Debug, Serialize)]
struct Dump {
    pid: i32,
    threads: Vec<DumpThread>,
}

#[derive(Debug, Serialize)]
struct DumpThread {
    tid: i32,
    name: String,
    state: String,
    /// `held`, `awaited` or `free`, of a thread of an interpreter that has such a lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    gil: Option<String>,
    frames: Vec<DumpFrame>,
    end: String,
}

#[derive(Debug, Serialize)]
struct DumpFrame {
    function: Option<String>,
    module: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    inlined: bool,
}

impl DumpFrame {
    fn new(frame: &Frame, raw: RawFrame, inlined: bool) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            function: text(&frame.function),
            module: text(&frame.module),
            file: text(&frame.filename),
            line: frame.line,
            address: raw.native().map(|raw| raw.pc.to_string()),
            inlined,
        }
    }
}

impl Dump {
    /// For people: like a debugger's backtrace.
    fn text(&self) -> String {
        let mut text = format!("Process {}\n", self.pid);
        for thread in &self.threads {
            let gil = thread.gil.as_ref().map(|gil| format!(", gil {gil}")).unwrap_or_default();
            let _ = writeln!(text, "\nThread {} \"{}\" ({}{gil})", thread.tid, thread.name, thread.state);
            for frame in &thread.frames {
                let _ = writeln!(text, "    {}", frame.text());
            }
            if thread.end != "complete" {
                let _ = writeln!(text, "    [{}]", thread.end);
            }
        }
        text
    }
}

impl DumpFrame {
    fn text(&self) -> String {
        let mut text = self.function.clone().or_else(|| self.address.clone()).unwrap_or_default();
        if let Some(file) = &self.file {
            let _ = write!(text, " ({file}{})", self.line.map(|line| format!(":{line}")).unwrap_or_default());
        } else if let Some(module) = self.module.as_ref().filter(|module| text != format!("[{module}]")) {
            let _ = write!(text, " [{module}]");
        }
        if self.inlined {
            text.push_str(" (inlined)");
        }
        text
    }
}

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
    feed::{Event, StackId},
    frame::Frame,
    id::{Pid, Tid},
    stack::{RawFrame, RawStack, StackEnd, Truncation},
    thread::ThreadState,
};
use sampler::{Output, Sampler, Settings, Sink, Target, TargetId};
use serde::Serialize;

use crate::{
    cli::DumpArguments,
    exit::Failure,
    naming::{Naming, Patience},
    startup,
};

/// A thread that cannot be read by then is shown without frames.
const PATIENCE: Duration = Duration::from_secs(1);
/// A few more ticks, for copies that were too short at first.
const SETTLE: Duration = Duration::from_millis(60);

/// Reads, names, prints.
pub fn dump(arguments: &DumpArguments) -> Result<u8, Failure> {
    let _signals = startup::block_signals()?;
    let target = Target::open(Pid(arguments.pid)).map_err(Failure::refused)?;
    let pid = target.pid;
    startup::raise_descriptor_limit();
    let heartbeat = startup::start_watchdog()?;
    let (naming, thread) = Naming::start(symbolizer::Settings::default(), Patience::Foreground, None)?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let sink = Box::new(Collect { seen: Arc::clone(&seen), naming: naming.clone() });
    let settings = Settings { rate_hz: 200.0, stop_for_rbp: arguments.stop_for_rbp };
    let mut sampler = Sampler::start(settings, heartbeat, sink)?;
    let id = sampler.reserve();
    sampler.add(id, target, false)?;
    wait(&seen);
    drop(sampler);
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    let threads = seen.named(&mut naming.namer(id));
    drop(naming);
    drop(thread.join());
    if threads.is_empty() {
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

/// What came until now.
#[derive(Default)]
struct Seen {
    threads: BTreeMap<Tid, SeenThread>,
    stacks: BTreeMap<StackId, RawStack>,
    ticks: u64,
    gone: bool,
}

#[derive(Default)]
struct SeenThread {
    name: String,
    stack: Option<(StackId, ThreadState)>,
}

impl Seen {
    fn has_short_copies(&self) -> bool {
        self.threads.values().any(|thread| {
            let stack = thread.stack.and_then(|(stack, _)| self.stacks.get(&stack));
            stack.is_some_and(|stack| stack.end == StackEnd::Truncated(Truncation::BeyondCopy))
        })
    }

    fn apply(&mut self, event: Event) {
        match event {
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

    fn named(&self, namer: &mut dyn Namer) -> Vec<DumpThread> {
        self.threads.iter().map(|(tid, thread)| self.thread(*tid, thread, namer)).collect()
    }

    fn thread(&self, tid: Tid, thread: &SeenThread, namer: &mut dyn Namer) -> DumpThread {
        let read = thread.stack.and_then(|(id, state)| Some((self.stacks.get(&id)?, state)));
        let Some((stack, state)) = read else {
            let state = "unknown".to_owned();
            return DumpThread {
                tid: tid.0,
                name: thread.name.clone(),
                state,
                frames: Vec::new(),
                end: "unread".to_owned(),
            };
        };
        let frames = stack.frames.iter().flat_map(|frame| frames(*frame, namer)).collect();
        DumpThread {
            tid: tid.0,
            name: thread.name.clone(),
            state: state.to_string(),
            frames,
            end: stack.end.to_string(),
        }
    }
}

fn frames(raw: RawFrame, namer: &mut dyn Namer) -> Vec<DumpFrame> {
    let named = namer.name(&raw);
    let last = named.len().saturating_sub(1);
    named.iter().enumerate().map(|(place, frame)| DumpFrame::new(frame, raw, place < last)).collect()
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
                self.naming.prepare(target, stack.frames.clone());
                seen.apply(Event::Stack(id, stack));
            }
            Output::Event(event) => seen.apply(event),
            Output::ModuleFile(index, file) => self.naming.module(target, index, file),
            Output::Gone { .. } => seen.gone = true,
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
    frames: Vec<DumpFrame>,
    end: String,
}

#[derive(Debug, Serialize)]
struct DumpFrame {
    function: Option<String>,
    module: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    address: String,
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
            address: raw.pc.to_string(),
            inlined,
        }
    }
}

impl Dump {
    /// For people: like a debugger's backtrace.
    fn text(&self) -> String {
        let mut text = format!("Process {}\n", self.pid);
        for thread in &self.threads {
            let _ = writeln!(text, "\nThread {} \"{}\" ({})", thread.tid, thread.name, thread.state);
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
        let mut text = self.function.clone().unwrap_or_else(|| self.address.clone());
        if let Some(file) = &self.file {
            let _ = write!(text, " ({file}{})", self.line.map(|line| format!(":{line}")).unwrap_or_default());
        } else if let Some(module) = &self.module {
            let _ = write!(text, " [{module}]");
        }
        if self.inlined {
            text.push_str(" (inlined)");
        }
        text
    }
}

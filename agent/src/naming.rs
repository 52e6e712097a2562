//! The thread that names frames, at the lowest priority and within budgets, ahead of the chunk that will want them.
//! Holds the symbolizer; knows nothing of chunks.

use std::{
    collections::HashMap,
    fs::File,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use profile::{
    address::LoadBias,
    chunk::Namer,
    frame::{Frame, Missing},
    module::ModuleIndex,
    stack::RawFrame,
};
use sampler::{
    ModuleFile, TargetId,
    modules::{Content, Root},
};
use symbolizer::{Budget, Elf, ModuleKey, ModuleSource, Symbolizer, TargetFiles};

/// Bytes that one batch of frames may read.
const BATCH_BYTES: u64 = 512 << 20;
/// How long a closing chunk waits for names that are still due.
const CLOSE_WAIT: Duration = Duration::from_secs(30);

/// How long a batch of frames may take; what does not fit is named in a later chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// While something is profiled: at the lowest priority, a few seconds.
    Background,
    /// Somebody waits for the names and nothing else.
    Foreground,
}

impl Patience {
    fn batch_time(self) -> Duration {
        match self {
            Self::Background => Duration::from_secs(5),
            Self::Foreground => Duration::from_mins(1),
        }
    }
}

type Names = Arc<Mutex<HashMap<(TargetId, RawFrame), Arc<[Frame]>>>>;

enum Request {
    Module(TargetId, ModuleIndex, ModuleFile),
    Frames(TargetId, Vec<RawFrame>),
    Forget(TargetId),
    Gone(TargetId),
    Sync(Sender<()>),
    Hints(Sender<Vec<String>>),
}

/// A handle on the naming thread. The thread ends with the last handle.
#[derive(Clone, Debug)]
pub struct Naming {
    requests: Sender<Request>,
    names: Names,
}

impl Naming {
    /// Starts the thread.
    pub fn start(settings: symbolizer::Settings, patience: Patience) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let (requests, received) = channel();
        let names = Names::default();
        let shared = Arc::clone(&names);
        let thread = std::thread::Builder::new().name("sp-name".to_owned());
        let thread = thread
            .spawn(move || work(&received, &shared, settings, patience))
            .context("cannot start the naming thread")?;
        Ok((Self { requests, names }, thread))
    }

    /// A module whose frames will be asked for.
    pub fn module(&self, target: TargetId, index: ModuleIndex, file: ModuleFile) {
        drop(self.requests.send(Request::Module(target, index, file)));
    }

    /// Frames that will be asked for.
    pub fn prepare(&self, target: TargetId, frames: Vec<RawFrame>) {
        drop(self.requests.send(Request::Frames(target, frames)));
    }

    /// Names handed out so far are not needed any more.
    pub fn forget(&self, target: TargetId) {
        drop(self.requests.send(Request::Forget(target)));
    }

    /// The target has ended, and its last chunk is closed.
    pub fn gone(&self, target: TargetId) {
        drop(self.requests.send(Request::Gone(target)));
    }

    /// Waits for what was asked so far, not for ever; then whoever closes a chunk or a recording may ask.
    pub fn namer(&self, target: TargetId) -> Ready<'_> {
        let ready = Ready { naming: self, target, deadline: Instant::now() + CLOSE_WAIT };
        ready.sync();
        ready
    }

    /// What to install for better names.
    pub fn hints(&self) -> Vec<String> {
        let (reply, answer) = channel();
        drop(self.requests.send(Request::Hints(reply)));
        answer.recv_timeout(CLOSE_WAIT).unwrap_or_default()
    }
}

/// Looks up what the thread has named, and asks for what it has not, as long as there is time.
#[derive(Debug)]
pub struct Ready<'n> {
    naming: &'n Naming,
    target: TargetId,
    deadline: Instant,
}

impl Ready<'_> {
    /// Waits until all requests so far are done.
    fn sync(&self) {
        let (reply, answer) = channel();
        drop(self.naming.requests.send(Request::Sync(reply)));
        // In vain: then what is not named by now goes without.
        let _ = answer.recv_timeout(self.deadline.saturating_duration_since(Instant::now()));
    }

    fn known(&self, frame: &RawFrame) -> Option<Arc<[Frame]>> {
        let names = self.naming.names.lock().unwrap_or_else(PoisonError::into_inner);
        let named = names.get(&(self.target, *frame))?;
        let postponed = named.first().is_some_and(|frame| frame.missing == Some(Missing::Budget));
        (!postponed).then(|| Arc::clone(named))
    }
}

impl Namer for Ready<'_> {
    fn name(&mut self, frame: &RawFrame) -> Arc<[Frame]> {
        if let Some(named) = self.known(frame) {
            return named;
        }
        if Instant::now() < self.deadline {
            self.naming.prepare(self.target, vec![*frame]);
            self.sync();
        }
        self.known(frame).unwrap_or_else(|| unnamed(Missing::Budget))
    }
}

fn unnamed(why: Missing) -> Arc<[Frame]> {
    Arc::new([Frame { missing: Some(why), ..Frame::default() }])
}

fn work(requests: &Receiver<Request>, names: &Names, settings: symbolizer::Settings, patience: Patience) {
    if patience == Patience::Background {
        // Names can wait; the target's work cannot.
        let _ = rustix::process::setpriority_process(None, 19);
    }
    let mut symbolizer = Symbolizer::new(settings);
    let mut modules: HashMap<(TargetId, ModuleIndex), (ModuleKey, LoadBias)> = HashMap::new();
    while let Ok(request) = requests.recv() {
        match request {
            Request::Module(target, index, file) => {
                let bias = file.module.bias;
                let key = symbolizer.add(source(file));
                modules.insert((target, index), (key, bias));
            }
            Request::Frames(target, frames) => {
                let mut budget = Budget::new(patience.batch_time(), BATCH_BYTES);
                for frame in frames {
                    let named = match frame.module.and_then(|index| modules.get(&(target, index))) {
                        Some((key, bias)) => symbolizer.name(*key, frame.file_lookup(*bias), &mut budget),
                        None => unnamed(Missing::NoModule),
                    };
                    names.lock().unwrap_or_else(PoisonError::into_inner).insert((target, frame), named);
                }
            }
            Request::Forget(target) => {
                names.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| *of != target);
            }
            Request::Gone(target) => {
                names.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| *of != target);
                modules.retain(|(of, _), (key, _)| {
                    if *of == target {
                        symbolizer.forget(*key);
                    }
                    *of != target
                });
            }
            Request::Sync(reply) => drop(reply.send(())),
            Request::Hints(reply) => drop(reply.send(symbolizer.hints())),
        }
    }
}

fn source(file: ModuleFile) -> ModuleSource {
    let elf = match file.content {
        Content::File(open) => open.try_clone().map_or(Elf::Missing(Missing::NoFile), Elf::File),
        Content::Bytes(bytes) => Elf::Bytes(bytes),
        Content::Missing => Elf::Missing(Missing::NoFile),
    };
    ModuleSource { path: file.module.path, build_id: file.module.build_id, elf, files: Arc::new(InRoot(file.root)) }
}

struct InRoot(Arc<Root>);

impl TargetFiles for InRoot {
    fn open(&self, path: &str) -> Option<File> {
        self.0.open(path)
    }
}

//! The thread that names frames, at the lowest priority and within budgets, ahead of the chunk that will want them.
//! Holds the symbolizer; knows nothing of chunks.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::File,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
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
    stack::NativeFrame,
};
use sampler::{
    ModuleFile, TargetId,
    modules::{Content, Root},
    sys::thread_cpu_ns,
};
use symbolizer::{Budget, Elf, Fetch, ModuleKey, ModuleSource, Symbolizer, TargetFiles};

use crate::debuginfod::{self, Debuginfod};

/// Bytes that one batch of frames may read.
const BATCH_BYTES: u64 = 512 << 20;
/// How long a closing chunk waits for names that are still due.
const CLOSE_WAIT: Duration = Duration::from_secs(30);
/// How soon after the last names what they were read from is dropped: most are asked for in the first minute of a target,
/// and one that comes later costs milliseconds more.
const REST_AFTER: Duration = Duration::from_secs(5);
/// How soon a debug file that was fetched is used, when nothing is asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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

type Named = HashMap<(TargetId, NativeFrame), Arc<[Frame]>>;
type Names = Arc<Mutex<Named>>;

enum Request {
    Module(TargetId, ModuleIndex, ModuleFile),
    Frames(TargetId, Vec<NativeFrame>),
    Forget(TargetId),
    Gone(TargetId),
    Sync(Sender<()>),
    Hint(String),
    Hints(Sender<Vec<String>>),
    Awaits(Sender<bool>),
    Pace(f64),
}

/// A handle on the naming thread. The thread ends with the last handle.
#[derive(Clone, Debug)]
pub struct Naming {
    requests: Sender<Request>,
    names: Names,
    cpu_ns: Arc<AtomicU64>,
}

impl Naming {
    /// Starts the thread, and the one that asks debuginfod servers, if it may.
    pub fn start(
        settings: symbolizer::Settings,
        patience: Patience,
        debuginfod: Option<&debuginfod::Settings>,
    ) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let fetch = debuginfod.map(Debuginfod::start).transpose()?.map(Arc::new);
        let (requests, received) = channel();
        let names = Names::default();
        let cpu_ns = Arc::new(AtomicU64::new(0));
        let (shared, spent) = (Arc::clone(&names), Arc::clone(&cpu_ns));
        let thread = std::thread::Builder::new().name("sp-name".to_owned());
        let thread = thread
            .spawn(move || Worker::new(settings, patience, fetch, shared).run(&received, &spent))
            .context("cannot start the naming thread")?;
        Ok((Self { requests, names, cpu_ns }, thread))
    }

    /// From now on names take no more than this share of a core, but for some seconds' worth that may be spent at once: most are
    /// wanted in the first minute of a target.
    pub fn pace(&self, share: f64) {
        drop(self.requests.send(Request::Pace(share)));
    }

    /// CPU time that names took so far, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Ordering::Relaxed)
    }

    /// A module whose frames will be asked for.
    pub fn module(&self, target: TargetId, index: ModuleIndex, file: ModuleFile) {
        drop(self.requests.send(Request::Module(target, index, file)));
    }

    /// Frames that will be asked for.
    pub fn prepare(&self, target: TargetId, frames: Vec<NativeFrame>) {
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
        self.namer_within(target, CLOSE_WAIT)
    }

    /// The same, with the longest that is waited.
    pub fn namer_within(&self, target: TargetId, limit: Duration) -> Ready<'_> {
        let ready = Ready { naming: self, target, deadline: Instant::now() + limit };
        ready.sync();
        ready
    }

    /// The names that are known by now: waits for none.
    pub fn known(&self, target: TargetId) -> Ready<'_> {
        Ready { naming: self, target, deadline: Instant::now() }
    }

    /// Whether debug files are being fetched for what was asked so far, which may say more.
    pub fn awaits_files(&self) -> bool {
        let (reply, answer) = channel();
        drop(self.requests.send(Request::Awaits(reply)));
        answer.recv_timeout(CLOSE_WAIT).unwrap_or(false)
    }

    /// What a user could do for better names, as the sampler sees it.
    pub fn hint(&self, hint: String) {
        drop(self.requests.send(Request::Hint(hint)));
    }

    /// What to install, or to do, for better names.
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

    fn known(&self, frame: &NativeFrame) -> Option<Arc<[Frame]>> {
        let names = self.naming.names.lock().unwrap_or_else(PoisonError::into_inner);
        let named = names.get(&(self.target, *frame))?;
        let postponed = named.first().is_some_and(|frame| frame.missing == Some(Missing::Budget));
        (!postponed).then(|| Arc::clone(named))
    }
}

impl Namer for Ready<'_> {
    fn name(&mut self, frame: &NativeFrame) -> Arc<[Frame]> {
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

/// What the thread works with.
struct Worker {
    symbolizer: Symbolizer,
    modules: HashMap<(TargetId, ModuleIndex), (ModuleKey, LoadBias)>,
    names: Names,
    /// Those of the sampler.
    hints: BTreeSet<String>,
    patience: Patience,
    fetch: Option<Arc<Debuginfod>>,
    /// When the symbolizer may drop what is not in use; `None`: it holds nothing of that.
    rest_at: Option<Instant>,
    pace: Option<Pace>,
}

/// How much CPU may be spent: so much at once, and so much of each second.
#[derive(Debug)]
struct Pace {
    share: f64,
    /// Seconds that may be spent at once.
    left_s: f64,
    at: Instant,
    cpu_ns: u64,
}

impl Pace {
    /// Seconds of CPU: what a large program's names take.
    const AT_ONCE_S: f64 = 5.0;
    /// One wait. Whoever closes a chunk waits for names no longer than for some of these.
    const WAIT_MAX: Duration = Duration::from_millis(50);

    fn new(share: f64) -> Self {
        Self { share, left_s: Self::AT_ONCE_S, at: Instant::now(), cpu_ns: thread_cpu_ns() }
    }

    /// Pays for what was spent since the last call: how long to wait now.
    #[allow(clippy::cast_precision_loss, reason = "some seconds")]
    fn pay(&mut self, now: Instant, cpu_ns: u64) -> Duration {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.share;
        let spent = cpu_ns.saturating_sub(self.cpu_ns) as f64 / 1e9;
        (self.at, self.cpu_ns) = (now, cpu_ns);
        self.left_s = (self.left_s + gained - spent).min(Self::AT_ONCE_S);
        let wait = (-self.left_s).max(0.0) / self.share.max(0.001);
        Duration::from_secs_f64(wait.min(1.0)).min(Self::WAIT_MAX)
    }
}

impl Worker {
    fn new(settings: symbolizer::Settings, patience: Patience, fetch: Option<Arc<Debuginfod>>, names: Names) -> Self {
        let mut symbolizer = Symbolizer::new(settings);
        if let Some(fetch) = &fetch {
            symbolizer = symbolizer.with_fetch(Arc::clone(fetch) as Arc<dyn Fetch>);
        }
        Self {
            symbolizer,
            modules: HashMap::new(),
            names,
            hints: BTreeSet::new(),
            patience,
            fetch,
            rest_at: None,
            pace: None,
        }
    }

    /// Until the last handle is gone.
    fn run(mut self, requests: &Receiver<Request>, spent: &AtomicU64) {
        if self.patience == Patience::Background {
            // Names can wait; the target's work cannot.
            let _ = rustix::process::setpriority_process(None, 19);
        }
        loop {
            let request = match self.wait() {
                Some(wait) => requests.recv_timeout(wait),
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            self.use_arrived();
            self.rest();
            match request {
                Ok(request) => self.answer(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            spent.store(thread_cpu_ns(), Ordering::Relaxed);
        }
    }

    /// How long to wait for a request; `None`: there is nothing else to do.
    fn wait(&self) -> Option<Duration> {
        let rest = self.rest_at.map(|at| at.saturating_duration_since(Instant::now()));
        rest.into_iter().chain(self.fetch.as_ref().map(|_| LOOK_EVERY)).min()
    }

    /// Gives memory back when names have become rare.
    fn rest(&mut self) {
        if self.rest_at.is_some_and(|at| Instant::now() >= at) {
            self.rest_at = self.symbolizer.rest().then(|| Instant::now() + REST_AFTER);
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Module(target, index, file) => {
                let bias = file.module.bias;
                let key = self.symbolizer.add(source(file));
                self.modules.insert((target, index), (key, bias));
            }
            Request::Frames(target, frames) => self.name(frames.into_iter().map(|frame| (target, frame))),
            Request::Forget(target) => self.names().retain(|(of, _), _| *of != target),
            Request::Gone(target) => {
                self.names().retain(|(of, _), _| *of != target);
                let symbolizer = &mut self.symbolizer;
                self.modules.retain(|(of, _), (key, _)| {
                    if *of == target {
                        symbolizer.forget(*key);
                    }
                    *of != target
                });
            }
            Request::Sync(reply) => drop(reply.send(())),
            Request::Pace(share) => self.pace = Some(Pace::new(share)),
            Request::Hint(hint) => drop(self.hints.insert(hint)),
            Request::Hints(reply) => {
                drop(reply.send(self.hints.iter().cloned().chain(self.symbolizer.hints()).collect()));
            }
            Request::Awaits(reply) => {
                let _ = reply.send(self.fetch.as_ref().is_some_and(|fetch| fetch.has_work()));
            }
        }
    }

    /// Names again what debug files that have come can say more about: for the next chunk, not for those closed.
    fn use_arrived(&mut self) {
        let arrived = self.fetch.as_ref().map(|fetch| fetch.take_arrived()).unwrap_or_default();
        if arrived.is_empty() {
            return;
        }
        let better: HashSet<ModuleKey> =
            arrived.iter().flat_map(|build_id| self.symbolizer.arrived(build_id)).collect();
        let is_better = |target: TargetId, frame: NativeFrame| {
            let module = frame.module.and_then(|index| self.modules.get(&(target, index)));
            module.is_some_and(|(key, _)| better.contains(key))
        };
        let again: Vec<(TargetId, NativeFrame)> =
            self.names().keys().copied().filter(|(target, frame)| is_better(*target, *frame)).collect();
        self.name(again.into_iter());
    }

    fn name(&mut self, frames: impl Iterator<Item = (TargetId, NativeFrame)>) {
        let mut budget = Budget::new(self.patience.batch_time(), BATCH_BYTES);
        self.rest_at = self.rest_at.or_else(|| Some(Instant::now() + REST_AFTER));
        // What lies together is read together.
        let mut frames: Vec<_> = frames.collect();
        frames.sort_unstable();
        for (target, frame) in frames {
            let named = match frame.module.and_then(|index| self.modules.get(&(target, index))) {
                Some((key, bias)) => self.symbolizer.name(*key, frame.file_lookup(*bias), &mut budget),
                None => unnamed(Missing::NoModule),
            };
            self.names().insert((target, frame), named);
            let wait = self.pace.as_mut().map_or(Duration::ZERO, |pace| pace.pay(Instant::now(), thread_cpu_ns()));
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
        }
    }

    fn names(&self) -> MutexGuard<'_, Named> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that so much is free at once, and that what is spent beyond is waited for.
    #[test]
    fn pacing() {
        let began = Instant::now();
        let mut pace = Pace { share: 0.1, left_s: Pace::AT_ONCE_S, at: began, cpu_ns: 0 };
        let mut pay = |wall_ms: u64, cpu_ms: u64| pace.pay(began + Duration::from_millis(wall_ms), cpu_ms * 1_000_000);
        assert_eq!(pay(4000, 4000), Duration::ZERO);
        assert_eq!(pay(6000, 5600), Duration::ZERO, "0.6 s were gained");
        assert_eq!(pay(6000, 5602), Duration::from_millis(20));
        assert_eq!(pay(6020, 5602), Duration::ZERO);
        assert_eq!(pay(6020, 6602), Pace::WAIT_MAX);
    }

    /// Check that the thread sleeps until it is asked when there is nothing to drop, and wakes up to drop what names left.
    #[test]
    fn wakes_to_rest() {
        let names = Names::default();
        let mut worker = Worker::new(symbolizer::Settings::default(), Patience::Foreground, None, names);
        assert_eq!(worker.wait(), None);
        worker.name(std::iter::empty());
        assert!(worker.wait().is_some_and(|wait| wait <= REST_AFTER));
        worker.rest();
        assert!(worker.wait().is_some(), "too early");
        worker.rest_at = Some(Instant::now());
        assert_eq!(worker.wait(), Some(Duration::ZERO));
        worker.rest();
        assert_eq!(worker.wait(), None, "nothing is held");
    }
}

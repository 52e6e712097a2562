//! What goes into a store and what comes out of it, beside the call trees.

use profile::received::{Head, Received, Span, Transaction};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Sentry's project: the number at the end of a DSN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectId(pub u64);

/// What is to be kept, all of it or none.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Chunks and profiles of transactions, each with its project.
    pub profiles: Vec<(ProjectId, Received)>,
    /// Transactions.
    pub transactions: Vec<(ProjectId, Transaction)>,
    /// Spans.
    pub spans: Vec<(ProjectId, Span)>,
    /// What was refused.
    pub refused: Vec<Refused>,
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Appended {
    /// Profiles that are new.
    pub profiles: usize,
    /// Profiles that were there before, by project, profiler id and chunk id: not kept twice.
    pub known: usize,
}

/// An item that was not taken, so that who sent it can see why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Whose it was.
    pub project: ProjectId,
    /// When, microseconds since 1970.
    pub at_us: u64,
    /// `profile_chunk`, `profile`, `transaction`, `span`; `envelope` for one that could not be taken apart.
    pub item: String,
    /// Relay's outcome, where it has one (`profiling_invalid_json` ...).
    pub reason: String,
    /// What was wrong with it, for people.
    pub detail: String,
    /// Who sent it (`sentry_client`).
    pub client: String,
    /// The first bytes of the item, as text.
    pub head: String,
    /// All of its bytes.
    pub bytes: u64,
}

/// Which profiles a question is about. An empty list means all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Selection {
    /// Of which project.
    pub project: ProjectId,
    /// From then, microseconds since 1970.
    pub from_us: u64,
    /// Until then, exclusive.
    pub to_us: u64,
    /// Of these sessions.
    pub profilers: Vec<Uuid>,
    /// In these environments; `None` among them: in none.
    pub environments: Vec<Option<String>>,
    /// Of these releases; `None` among them: of none.
    pub releases: Vec<Option<String>>,
    /// In these threads, by id.
    pub threads: Vec<String>,
    /// In functions or blocks of these names, that processes noted.
    pub marks: Vec<String>,
    /// In these states.
    pub states: States,
}

impl Selection {
    /// All of a project within a window.
    pub fn new(project: ProjectId, window: Window) -> Self {
        Self {
            project,
            from_us: window.from_us,
            to_us: window.to_us,
            profilers: Vec::new(),
            environments: Vec::new(),
            releases: Vec::new(),
            threads: Vec::new(),
            marks: Vec::new(),
            states: States::All,
        }
    }

    /// Its window.
    pub fn window(&self) -> Window {
        Window { from_us: self.from_us, to_us: self.to_us }
    }

    /// Whether it asks for profiles of this session, environment and release, whenever they are from.
    pub fn takes(&self, profiler_id: Uuid, environment: Option<&str>, release: Option<&str>) -> bool {
        let among = |list: &[Option<String>], one: Option<&str>| {
            list.is_empty() || list.iter().any(|listed| listed.as_deref() == one)
        };
        (self.profilers.is_empty() || self.profilers.contains(&profiler_id))
            && among(&self.environments, environment)
            && among(&self.releases, release)
    }
}

/// A span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Window {
    /// From then, microseconds since 1970.
    pub from_us: u64,
    /// Until then, exclusive.
    pub to_us: u64,
}

/// Which states of threads count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum States {
    /// All: what takes time by the clock on the wall.
    #[default]
    All,
    /// Running or ready to run.
    Active,
    /// On a CPU.
    OnCpu,
    /// Holding the interpreter's lock.
    Gil,
}

/// Groups of thread states that are told apart in all sums; the very state is kept with the samples.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateClass {
    /// Nothing is known: chunks of SDKs.
    Unknown,
    /// On a CPU.
    OnCpu,
    /// On a CPU, holding the interpreter's lock.
    OnCpuWithLock,
    /// Ready to run.
    Runnable,
    /// Ready to run, holding the interpreter's lock.
    RunnableWithLock,
    /// Asleep until it gets the interpreter's lock.
    AwaitsLock,
    /// Blocked, stopped, traced, asleep in a system call.
    Sleeping,
    /// The same, holding the interpreter's lock meanwhile.
    SleepingWithLock,
}

impl StateClass {
    /// All of them; each one's number is its place.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::OnCpu,
        Self::OnCpuWithLock,
        Self::Runnable,
        Self::RunnableWithLock,
        Self::AwaitsLock,
        Self::Sleeping,
        Self::SleepingWithLock,
    ];

    /// The class of a state as `sentry_profiled.states` names it.
    pub fn of(state: &str) -> Self {
        let (state, lock) = match state.rsplit_once(", gil ") {
            Some((state, lock)) => (state, lock),
            None => (state, ""),
        };
        match (state, lock) {
            ("on_cpu", "held") => Self::OnCpuWithLock,
            ("on_cpu", _) => Self::OnCpu,
            ("runnable", "held") => Self::RunnableWithLock,
            ("runnable", _) => Self::Runnable,
            ("gone" | "unknown" | "", _) => Self::Unknown,
            (_, "held") => Self::SleepingWithLock,
            (_, "awaited") => Self::AwaitsLock,
            (_, _) => Self::Sleeping,
        }
    }

    /// Its group.
    pub fn group(self) -> StateGroup {
        match self {
            Self::Unknown => StateGroup::Unknown,
            Self::OnCpu | Self::OnCpuWithLock => StateGroup::OnCpu,
            Self::Runnable | Self::RunnableWithLock => StateGroup::Runnable,
            Self::AwaitsLock => StateGroup::Lock,
            Self::Sleeping | Self::SleepingWithLock => StateGroup::Sleeping,
        }
    }

    /// The one with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// Whether `states` take it. A state that is not known is taken by [`States::All`] alone.
    pub fn is_among(self, states: States) -> bool {
        match states {
            States::All => true,
            States::Active => {
                matches!(self, Self::OnCpu | Self::OnCpuWithLock | Self::Runnable | Self::RunnableWithLock)
            }
            States::OnCpu => matches!(self, Self::OnCpu | Self::OnCpuWithLock),
            States::Gil => matches!(self, Self::OnCpuWithLock | Self::RunnableWithLock | Self::SleepingWithLock),
        }
    }
}

/// What a thread did, as people tell it apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StateGroup {
    /// On a CPU.
    OnCpu,
    /// Ready to run.
    Runnable,
    /// Asleep until it gets the interpreter's lock.
    Lock,
    /// Asleep for another reason.
    Sleeping,
    /// Nothing is known.
    Unknown,
}

impl StateGroup {
    /// All of them; each one's number is its place.
    pub const ALL: [Self; 5] = [Self::OnCpu, Self::Runnable, Self::Lock, Self::Sleeping, Self::Unknown];
}

/// Time by state, microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ByState(pub [u64; StateGroup::ALL.len()]);

impl ByState {
    /// Adds time in one of them.
    pub fn add(&mut self, group: StateGroup, us: u64) {
        if let Some(sum) = self.0.get_mut(group as usize) {
            *sum = sum.saturating_add(us);
        }
    }

    /// Adds another.
    pub fn join(&mut self, other: Self) {
        for (group, us) in StateGroup::ALL.into_iter().zip(other.0) {
            self.add(group, us);
        }
    }

    /// In one of them.
    pub fn of(&self, group: StateGroup) -> u64 {
        self.0.get(group as usize).copied().unwrap_or(0)
    }
}

impl Serialize for ByState {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(StateGroup::ALL.into_iter().zip(self.0))
    }
}

/// A process's session, as far as the profiles of a window tell: one for each environment, release and SDK that it has
/// reported.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Its profiler id.
    pub profiler_id: Uuid,
    /// `python`, `node` ...
    pub platform: String,
    /// Where it is deployed.
    pub environment: Option<String>,
    /// Its version.
    pub release: Option<String>,
    /// Who recorded it: name and version.
    pub sdk: (String, String),
    /// Name of the machine, where our own agent recorded it.
    pub host: Option<String>,
    /// The process, where our own agent recorded it.
    pub pid: Option<i32>,
    /// Its program, where our own agent recorded it.
    pub executable: Option<String>,
    /// Of the profiles in the window: the first sample, microseconds since 1970.
    pub first_us: u64,
    /// The last one.
    pub last_us: u64,
    /// How many profiles.
    pub profiles: u64,
    /// Their samples.
    pub samples: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

/// Profiled time of a project, a day and a platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hours {
    /// Whose.
    pub project: ProjectId,
    /// The day in UTC on which the profiles began, `2026-11-27`.
    pub day: String,
    /// `python`, `node` ...
    pub platform: String,
    /// Profiles.
    pub profiles: u64,
    /// From each profile's first sample to its last, whatever the thread, to the microsecond.
    pub us: u64,
    /// The same as Sentry counts it: each profile rounded to whole seconds. What is billed there.
    pub sentry_seconds: u64,
}

/// A profile that is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Whose.
    pub project: ProjectId,
    /// When it came, microseconds since 1970.
    pub received_us: u64,
    /// Its head.
    pub head: Head,
    /// Threads in it.
    pub threads: u32,
    /// Samples in it.
    pub samples: u64,
    /// Bytes that it takes on disk.
    pub bytes: u64,
}

/// How long things are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Days.
    pub days: u32,
    /// Bytes of all files; the oldest goes first.
    pub bytes: u64,
}

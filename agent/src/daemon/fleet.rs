//! Which processes there are that an entry of the settings has. Finds them; decides nothing about them, and opens none.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use config::{Effective, Secret, Told};
use profile::id::{Pid, ProfilerId};
use sampler::{
    TargetId,
    births::{Births, Born},
    procfs,
};
use tokio::sync::Notify;

use super::{control::told::Client, verdict::Verdict};
use crate::{
    facts::{Program, program_of},
    outlet::Outlet,
};

/// A process becomes another program in its first moments, if it does at all: so long it is asked at each look.
const YOUNG: Duration = Duration::from_secs(2);
/// And as often the others; less often where there are so many that it would take more than a two-hundredth of the time.
const ROUND_EVERY: Duration = Duration::from_secs(1);
const ROUND_SHARE: u32 = 200;
/// More processes than these are not known at a time.
const KNOWN_MAX: usize = 65_536;

/// A process that no entry has; it may become another program.
#[derive(Debug)]
struct Stranger {
    start_time: u64,
    program: Option<Program>,
    since: Instant,
}

/// A client that has registered.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) client: Client,
    pub(crate) told: Told,
    /// The DSN in its code, counted or not.
    pub(crate) dsn: Option<Secret>,
    pub(crate) board: Option<u64>,
    /// The release of its SDK's events, where nobody sets one.
    pub(crate) release: Option<String>,
}

/// A run that the agent starts, or its operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Forced {
    No,
    /// As soon as it can be.
    Wanted,
    Running(ProfilerId),
    /// Somebody stopped this run; only a start starts it again, no setting.
    Stopped(Option<ProfilerId>),
}

impl Forced {
    pub(crate) fn is_on(self) -> bool {
        matches!(self, Self::Wanted | Self::Running(_))
    }
}

/// When a process that could not be opened is tried again.
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    pub(crate) at: Instant,
    /// How long was waited for it.
    pub(crate) wait: Duration,
    pub(crate) why: String,
}

/// How far a process is from being read.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Place {
    /// It need not be.
    Off,
    /// To be opened.
    Waiting,
    /// It is.
    AtWork(TargetId),
    /// It was; its last chunk is being closed.
    Ending(TargetId),
    /// It cannot be, and why.
    Refused(String),
}

/// A process that an entry has.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) start_time: u64,
    /// The entry's name, and its place in the file: names need not differ.
    pub(crate) entry: String,
    pub(crate) entry_at: usize,
    pub(crate) program: Option<Program>,
    pub(crate) since: Instant,
    /// Its throw of the dice.
    pub(crate) roll: f64,
    pub(crate) decided: Option<bool>,
    /// What its environment says.
    pub(crate) environment: Told,
    /// The DSN in it, counted or not.
    pub(crate) environment_dsn: Option<Secret>,
    pub(crate) client: Option<Registered>,
    pub(crate) effective: Effective,
    pub(crate) verdict: Verdict,
    pub(crate) forced: Forced,
    pub(crate) place: Place,
    /// It waits since it could not be opened.
    pub(crate) retry: Option<Retry>,
    /// What held when it was opened, and the board's address.
    pub(crate) opened: Option<(Effective, &'static str, Option<u64>)>,
    /// Where its chunks went last.
    pub(crate) outlet: Option<Outlet>,
    /// Why it is not read although it might be.
    pub(crate) held_back: Option<&'static str>,
    pub(crate) change: u64,
    pub(crate) changed: Arc<Notify>,
}

/// All that are known.
#[derive(Debug)]
pub(crate) struct Fleet {
    births: Births,
    pub(crate) processes: BTreeMap<Pid, Process>,
    strangers: BTreeMap<Pid, Stranger>,
    next_round: Instant,
}

/// Who is to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) pid: Pid,
    pub(crate) parent: Pid,
    pub(crate) start_time: u64,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        Self {
            births: Births::new(),
            processes: BTreeMap::new(),
            strangers: BTreeMap::new(),
            next_round: Instant::now(),
        }
    }

    /// Every process that there is.
    pub(crate) fn all(&mut self) -> Vec<Found> {
        let born = self.births.list();
        self.found(&born, true)
    }

    /// Who is new, or has become another program, since the last look.
    pub(crate) fn look(&mut self) -> Vec<Found> {
        let born = self.births.look();
        let mut found = self.found(&born, false);
        let is_round = self.next_round <= Instant::now();
        let began = Instant::now();
        found.extend(self.changed(is_round));
        if is_round {
            self.next_round = Instant::now() + ROUND_EVERY.max(began.elapsed() * ROUND_SHARE);
        }
        found
    }

    fn found(&self, born: &[Born], known_too: bool) -> Vec<Found> {
        let own = Pid(i32::try_from(std::process::id()).unwrap_or_default());
        let is_ours = |born: &Born| born.pid == own || born.parent == own;
        let is_known = |born: &Born| {
            let known = self.processes.get(&born.pid).map(|it| it.start_time);
            known.or(self.strangers.get(&born.pid).map(|it| it.start_time)) == Some(born.start_time)
        };
        let new = born.iter().filter(|born| !is_ours(born) && (known_too || !is_known(born)));
        new.map(|born| Found { pid: born.pid, parent: born.parent, start_time: born.start_time }).collect()
    }

    /// Who runs another program than when it was looked at. Forgets strangers that have ended.
    fn changed(&mut self, is_round: bool) -> Vec<Found> {
        let mut changed = Vec::new();
        let mut look = |pid: Pid, start_time: u64, before: Option<Program>, since: Instant| {
            if !is_round && since.elapsed() > YOUNG {
                return true;
            }
            let Some(now) = program_of(pid) else { return false };
            if before != Some(now) {
                changed.push((pid, start_time));
            }
            true
        };
        self.strangers.retain(|pid, it| look(*pid, it.start_time, it.program, it.since));
        for (pid, it) in &self.processes {
            look(*pid, it.start_time, it.program, it.since);
        }
        let found = |(pid, start_time): (Pid, u64)| {
            let stat = procfs::process_stat(pid).ok().filter(|stat| stat.start_time == start_time)?;
            Some(Found { pid, parent: stat.parent, start_time })
        };
        changed.into_iter().filter_map(found).collect()
    }

    /// No entry has it.
    pub(crate) fn stranger(&mut self, of: Found) {
        if self.strangers.len() < KNOWN_MAX {
            let (start_time, program) = (of.start_time, program_of(of.pid));
            let known = self.strangers.get(&of.pid).filter(|it| it.start_time == start_time && it.program == program);
            let since = known.map(|it| it.since);
            self.strangers.insert(of.pid, Stranger { start_time, program, since: since.unwrap_or_else(Instant::now) });
        }
    }

    /// An entry has it.
    pub(crate) fn admit(&mut self, process: Process) {
        self.strangers.remove(&process.pid);
        if self.processes.len() < KNOWN_MAX {
            self.processes.insert(process.pid, process);
        }
    }

    /// The process that is read as `id`.
    pub(crate) fn of_target(&mut self, id: TargetId) -> Option<&mut Process> {
        self.processes
            .values_mut()
            .find(|process| matches!(process.place, Place::AtWork(at) | Place::Ending(at) if at == id))
    }

    /// How many are read.
    pub(crate) fn at_work(&self) -> usize {
        self.processes.values().filter(|it| matches!(it.place, Place::AtWork(_))).count()
    }

    /// Those that are not read, and have ended.
    pub(crate) fn forget_dead(&mut self) {
        self.processes.retain(|pid, process| {
            let is_read = matches!(process.place, Place::AtWork(_) | Place::Ending(_));
            is_read || lives(*pid, process.start_time)
        });
    }
}

impl Process {
    /// Another program is another service: nothing that was said of the one before, or by it, holds.
    pub(crate) fn is_another_program(&mut self) {
        (self.client, self.decided) = (None, None);
        (self.forced, self.since) = (Forced::No, Instant::now());
    }

    /// The DSNs that it has itself, counted or not.
    pub(crate) fn own_dsns(&self) -> impl Iterator<Item = &Secret> {
        self.environment_dsn.iter().chain(self.client.as_ref().and_then(|client| client.dsn.as_ref()))
    }

    /// What a process is told of itself is another.
    pub(crate) fn has_changed(&mut self) {
        self.change += 1;
        self.changed.notify_waiters();
    }
}

/// Whether it is still the same process.
pub(crate) fn lives(pid: Pid, start_time: u64) -> bool {
    procfs::process_stat(pid).is_ok_and(|stat| stat.start_time == start_time)
}

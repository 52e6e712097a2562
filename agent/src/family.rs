//! Who is followed: the targets that were given, the processes that they fork, and those that these fork. Opens them as
//! targets, at a bounded rate; samples nobody.
//!
//! A child is known by its parent's id, or, when that has ended before the child was seen, by its session, if a member of
//! the family began it. What is missed: a child whose parent lived so shortly that neither was seen in time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem::Discriminant,
    time::{Duration, Instant},
};

use profile::id::Pid;
use sampler::{
    Refused, Target, TargetId,
    births::{Births, Born},
    procfs,
};
use tracing::warn;

use crate::facts::{Program, program_of};

/// Most processes that are sampled at a time: asleep, each costs some microseconds a tick.
pub const FOLLOWED_MAX: usize = 256;
/// Most processes that are known: those that wait for a place, and those that cannot be sampled but may have children.
const MEMBERS_MAX: usize = 4096;
/// Most targets that are opened at a look: each takes some tenths of a millisecond, here and in the other threads.
const OPEN_MAX: usize = 8;
/// A process becomes another program in its first moments, if it does at all: so long it is asked at each look.
const YOUNG: Duration = Duration::from_secs(1);
/// And as often the others.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// As long as this is waited for the end of a session whose process goes on; then somebody else has its lock.
const HURRY: Duration = Duration::from_millis(500);

/// What became of children, for the end of a run.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Children {
    /// Sampled.
    pub followed: u64,
    /// Ended before there was a place for them.
    pub left_out: u64,
    /// Cannot be sampled; the reason was said.
    pub refused: u64,
}

/// A process of the family.
#[derive(Debug)]
struct Member {
    start_time: u64,
    role: Role,
    place: Place,
    /// The program that it ran when it was opened.
    program: Option<Program>,
    /// When its place changed.
    since: Instant,
    /// It was opened before: its lock may be ours still.
    was_ours: bool,
}

/// Why someone is followed, and how long the run goes on for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A process that was given: until it and all that descend from it have ended.
    Given,
    /// The command that was started: until it has ended, whatever it leaves behind.
    Command,
    /// What descends from the command.
    OfCommand,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Sampled.
    AtWork(TargetId),
    /// To be opened.
    Waiting,
    /// Not to be sampled: only its children matter.
    Refused,
}

/// The family.
#[derive(Debug)]
pub struct Family {
    /// `None`: children are left out.
    births: Option<Births>,
    members: BTreeMap<Pid, Member>,
    /// Who waits, in the order of arrival.
    waiting: VecDeque<Pid>,
    /// Nobody is opened.
    rests: bool,
    said: BTreeSet<&'static str>,
    refusals: Vec<Discriminant<Refused>>,
    /// Everybody is looked at once a second.
    next_round: Instant,
    is_round: bool,
    /// Counted as they come.
    pub children: Children,
}

impl Family {
    /// Of nobody so far. `children`: whether to follow them.
    pub fn new(children: bool) -> Self {
        let births = children.then(Births::new);
        if births.as_ref().is_some_and(|births| !births.are_shown()) {
            warn!(
                "This machine's /proc/loadavg is not the kernel's own: children are found by listing all processes, which may take longer."
            );
        }
        Self {
            births,
            members: BTreeMap::new(),
            waiting: VecDeque::new(),
            rests: false,
            said: BTreeSet::new(),
            refusals: Vec::new(),
            next_round: Instant::now(),
            is_round: false,
            children: Children::default(),
        }
    }

    /// A target is sampled as `id` from the start. `identity`: its pid and start time.
    pub fn begin(&mut self, identity: (Pid, u64), id: TargetId, role: Role) {
        let (pid, start_time) = identity;
        self.members.insert(pid, Member { program: program_of(pid), ..Member::new(start_time, role) });
        self.at_work(pid, id);
    }

    /// The command has become what it was to be.
    pub fn became(&mut self, pid: Pid) {
        if let Some(member) = self.members.get_mut(&pid) {
            member.program = program_of(pid);
        }
    }

    /// Someone who waited is sampled as `id` now.
    pub fn at_work(&mut self, pid: Pid, id: TargetId) {
        if let Some(member) = self.members.get_mut(&pid) {
            (member.place, member.since) = (Place::AtWork(id), Instant::now());
        }
    }

    /// Looks for children that exist already.
    pub fn look_at_all(&mut self) {
        let found = self.births.as_mut().map(Births::list).unwrap_or_default();
        self.admit(&found);
    }

    /// Looks for new children.
    pub fn look(&mut self) {
        let found = self.births.as_mut().map(Births::look).unwrap_or_default();
        if !found.is_empty() {
            self.admit(&found);
        }
        self.is_round = self.next_round <= Instant::now();
        if self.is_round {
            self.next_round = Instant::now() + ROUND_EVERY;
            self.forget_dead();
        }
    }

    /// Takes in who belongs to the family. In turns, as a child may stand before its parent.
    fn admit(&mut self, found: &[Born]) {
        loop {
            let before = self.members.len();
            for born in found {
                self.admit_one(born);
            }
            if self.members.len() == before {
                return;
            }
        }
    }

    fn admit_one(&mut self, born: &Born) {
        if self.members.get(&born.pid).is_some_and(|member| member.start_time == born.start_time) {
            return;
        }
        let Some(role) = self.kin(born) else { return };
        if self.members.len() >= MEMBERS_MAX {
            return self.say("A target has more children than are known at a time; the others are not followed.");
        }
        self.members.insert(born.pid, Member::new(born.start_time, role));
        self.waiting.push_back(born.pid);
    }

    /// What someone is in the family, if it belongs to it. We and our watchdog never do.
    fn kin(&self, born: &Born) -> Option<Role> {
        let own = i32::try_from(std::process::id()).ok().map(Pid);
        if own == Some(born.pid) || own == Some(born.parent) {
            return None;
        }
        let relative = [born.parent, born.session].into_iter().find(|pid| self.is_member(*pid, born))?;
        Some(if self.members.get(&relative)?.role == Role::Given { Role::Given } else { Role::OfCommand })
    }

    /// Nobody is older than who gave birth to it, and an id that was given anew is another process.
    fn is_member(&self, pid: Pid, of: &Born) -> bool {
        let older = |member: &Member| {
            let now = || procfs::process_stat(pid).map_or(member.start_time, |stat| stat.start_time);
            member.start_time <= of.start_time && now() == member.start_time
        };
        pid != of.pid && self.members.get(&pid).is_some_and(older)
    }

    /// The next who can be sampled, at most `OPEN_MAX` between two looks: `opened` counts them.
    pub fn open_next(&mut self, opened: &mut usize) -> Option<Target> {
        let mut turns = self.waiting.len();
        while turns > 0 && !self.rests && *opened < OPEN_MAX {
            if self.at_work_count() >= FOLLOWED_MAX {
                self.say("More children than can be followed at a time; the others wait until one of these ends.");
                return None;
            }
            turns -= 1;
            let pid = self.waiting.pop_front()?;
            *opened += 1;
            if let Some(target) = self.open(pid) {
                return Some(target);
            }
        }
        None
    }

    fn open(&mut self, pid: Pid) -> Option<Target> {
        let member = self.members.get_mut(&pid).filter(|member| member.place == Place::Waiting)?;
        // First: if it becomes another program meanwhile, that shows.
        member.program = program_of(pid);
        match Target::open_now(pid) {
            Ok(target) if target.start_time == member.start_time => {
                self.children.followed += u64::from(!member.was_ours);
                return Some(target);
            }
            // Its session is being closed still.
            Err(Refused::Locked(_)) if member.was_ours => self.waiting.push_back(pid),
            Ok(_) | Err(Refused::NoSuchProcess(_) | Refused::Zombie(_) | Refused::IsThread(..)) => {
                self.children.left_out += u64::from(!member.was_ours);
                self.members.remove(&pid);
            }
            Err(refused) => {
                member.place = Place::Refused;
                self.children.refused += 1;
                self.refused(&refused);
            }
        }
        None
    }

    /// Who runs another program than it did when it was opened: its session is to be ended, and another begun.
    pub fn changed(&mut self) -> Vec<TargetId> {
        let mut changed = Vec::new();
        for (pid, member) in &mut self.members {
            let Place::AtWork(id) = member.place else { continue };
            let is_asked = self.is_round || member.since.elapsed() < YOUNG;
            if is_asked && program_of(*pid).is_some_and(|now| member.program != Some(now)) {
                member.wait();
                self.waiting.push_back(*pid);
                changed.push(id);
            }
        }
        changed
    }

    /// Nobody is to be sampled for a while; gives who was.
    pub fn rest(&mut self) -> Vec<(TargetId, Pid)> {
        self.rests = true;
        let mut resting = Vec::new();
        for (pid, member) in &mut self.members {
            if let Place::AtWork(id) = member.place {
                member.wait();
                self.waiting.push_back(*pid);
                resting.push((id, *pid));
            }
        }
        resting
    }

    /// The while is over.
    pub fn go_on(&mut self) {
        self.rests = false;
    }

    /// A session has ended. Unless it was we who ended it, the process has.
    pub fn ended(&mut self, id: TargetId) {
        self.members.retain(|_, member| member.place != Place::AtWork(id));
    }

    /// Whether nobody is left for whom the run goes on.
    pub fn is_over(&self) -> bool {
        !self.members.values().any(|member| member.role != Role::OfCommand && member.place != Place::Refused)
    }

    /// Whether somebody's session is to go on as soon as can be.
    pub fn is_in_a_hurry(&self) -> bool {
        let waits =
            |member: &Member| member.was_ours && member.place == Place::Waiting && member.since.elapsed() < HURRY;
        !self.rests && self.members.values().any(waits)
    }

    fn at_work_count(&self) -> usize {
        self.members.values().filter(|member| matches!(member.place, Place::AtWork(_))).count()
    }

    /// Those who are sampled are told of by their session's end.
    fn forget_dead(&mut self) {
        let mut left_out = 0;
        self.members.retain(|pid, member| {
            let lives = || procfs::process_stat(*pid).is_ok_and(|stat| stat.start_time == member.start_time);
            let stays = matches!(member.place, Place::AtWork(_)) || lives();
            left_out += u64::from(!stays && member.place == Place::Waiting && !member.was_ours);
            stays
        });
        self.children.left_out += left_out;
        self.waiting.retain(|pid| self.members.contains_key(pid));
    }

    fn say(&mut self, what: &'static str) {
        if self.said.insert(what) {
            warn!("{what}");
        }
    }

    /// One line a reason: there may be thousands.
    fn refused(&mut self, refused: &Refused) {
        let kind = std::mem::discriminant(refused);
        if !self.refusals.contains(&kind) {
            self.refusals.push(kind);
            warn!(reason = %refused, "A child is not followed, nor will others be for the same reason.");
        }
    }
}

impl Member {
    fn new(start_time: u64, role: Role) -> Self {
        Self { start_time, role, place: Place::Waiting, program: None, since: Instant::now(), was_ours: false }
    }

    fn wait(&mut self) {
        (self.place, self.since) = (Place::Waiting, Instant::now());
        self.was_ours = true;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;

    /// A shell with two children that sleep; their pids.
    fn shell() -> (Child, [Pid; 2]) {
        let script = "sleep 60 & echo $!; sleep 60 & echo $!; wait";
        let mut shell = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let children = [(); 2].map(|()| Pid(lines.next().unwrap().unwrap().parse().unwrap()));
        (shell, children)
    }

    fn end(mut shell: Child, children: [Pid; 2]) {
        for pid in children {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.0), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        shell.kill().unwrap();
        shell.wait().unwrap();
        while children.iter().any(|pid| sampler::target::live_thread(*pid).is_some()) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A family of the shell in a role, and the pids of the targets that it opens.
    fn opened(shell: &Child, role: Role) -> (Family, Vec<Pid>) {
        let pid = Pid(i32::try_from(shell.id()).unwrap());
        let mut family = Family::new(true);
        family.begin((pid, procfs::process_stat(pid).unwrap().start_time), TargetId(0), role);
        family.look_at_all();
        let mut opened = Vec::new();
        while let Some(target) = family.open_next(&mut 0) {
            opened.push(target.pid);
            family.at_work(target.pid, TargetId(u32::try_from(opened.len()).unwrap()));
        }
        (family, opened)
    }

    /// Check that children are found and opened, once; that a given process's keep the run going until they have ended,
    /// and that we, who are the shell's parent, belong to nobody.
    #[test]
    fn given() {
        let (shell, children) = shell();
        let (mut family, mut opened) = opened(&shell, Role::Given);
        opened.sort();
        assert_eq!(opened, children);
        family.look();
        assert!(family.open_next(&mut 0).is_none());
        family.ended(TargetId(0));
        family.ended(TargetId(1));
        assert!(!family.is_over());
        family.ended(TargetId(2));
        assert!(family.is_over());
        assert_eq!(family.children, Children { followed: 2, left_out: 0, refused: 0 });
        end(shell, children);
    }

    /// Check that the run ends with the command, whatever that leaves behind.
    #[test]
    fn command() {
        let (shell, children) = shell();
        let (mut family, opened) = opened(&shell, Role::Command);
        assert_eq!((opened.len(), family.is_over()), (2, false));
        family.ended(TargetId(0));
        assert!(family.is_over());
        end(shell, children);
    }

    /// Check that nobody is opened while all rest, that all are afterwards, and that a session's end that we asked for is not
    /// taken for the process's.
    #[test]
    fn rest() {
        let (shell, children) = shell();
        let (mut family, _) = opened(&shell, Role::Given);
        let resting = family.rest();
        assert_eq!(resting.len(), 3);
        resting.iter().for_each(|(id, _)| family.ended(*id));
        assert!(family.open_next(&mut 0).is_none() && !family.is_over());
        family.go_on();
        assert!(std::iter::from_fn(|| family.open_next(&mut 0)).take(5).count() >= 3);
        assert_eq!(family.children.followed, 2);
        end(shell, children);
    }

    /// Check that no more are opened at a look than may be, and none that has ended.
    #[test]
    fn bounded() {
        let (shell, children) = shell();
        let pid = Pid(i32::try_from(shell.id()).unwrap());
        let mut family = Family::new(true);
        family.begin((pid, procfs::process_stat(pid).unwrap().start_time), TargetId(0), Role::Given);
        family.look_at_all();
        assert!(family.open_next(&mut OPEN_MAX.clone()).is_none());
        end(shell, children);
        assert!(family.open_next(&mut 0).is_none());
        assert_eq!(family.children, Children { followed: 0, left_out: 2, refused: 0 });
    }
}

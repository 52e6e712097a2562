//! How much less is sampled so that we cost no more than we may. Decides from what a second cost; samples nothing.

use std::collections::BTreeMap;

use sampler::TargetId;

/// A target is read at every so many-th tick at least, or not at all.
const EVERY_MAX: u32 = 1024;
/// Seconds over which costs are averaged.
const SECONDS: f64 = 4.0;
/// Above this share of a budget less is sampled; the rest is for what comes at once.
const HIGH: f64 = 0.9;
/// What targets cost altogether below this share of it is not worth to be saved: what costs us is something else, as the first look
/// at a process of thousands of threads does, and reading less would not help.
const TRIFLE: f64 = 0.1;
/// Below this share of it more is: twice as much must fit.
const LOW: f64 = 0.3;
/// Seconds from one change to the next back up: of a target that was read less because of what it cost, and of one whose cost
/// was only guessed.
const CALM: u32 = 10;
const CALM_GUESSED: u32 = 2;
/// Of one that was read more and could not be afforded then, twice as many each time, up to this.
const CALM_MAX: u32 = 640;
/// Microseconds of our own CPU that a running thread costs at each tick, before anything was measured: more than most.
const THREAD_US: f64 = 25.0;
/// Fewer threads are read at every tick from the start: what they may cost is over the budget for some seconds at most.
const FEW_THREADS: usize = 32;

/// What we may cost, as shares of one core.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Limits {
    /// All that we use.
    pub(crate) host_cpu: f64,
    /// The time that threads of a target are held stopped.
    pub(crate) target_stop: f64,
}

/// How often a target is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// At every so many-th tick.
    Every(u32),
    /// Not at all, for now.
    Paused,
}

/// What a second of a target cost, in shares of it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Second {
    /// Our CPU.
    pub(crate) cpu: f64,
    /// Time that its threads were held stopped.
    pub(crate) stopped: f64,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    turn: Turn,
    average: Second,
    calm: u32,
    /// The last change was upwards.
    was_raised: bool,
    /// How long it has to be calm: less than [`CALM`] as long as it was never read less because of what it cost.
    patience: u32,
}

/// The accounts of all targets.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) limits: Limits,
    accounts: BTreeMap<TargetId, Account>,
    /// What we cost, averaged.
    measured: f64,
    /// The same, less what has been saved since and does not show yet.
    host: f64,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, accounts: BTreeMap::new(), measured: 0.0, host: 0.0 }
    }

    /// A target of so many threads begins: how often it may be read at first, by what its threads may cost at most.
    pub(crate) fn begin(&mut self, id: TargetId, threads: usize, rate_hz: f64) -> Turn {
        #[allow(clippy::cast_precision_loss, reason = "some thousand threads")]
        let most = threads as f64 * THREAD_US / 1e6 * rate_hz;
        let mut every = 1;
        // Half of what is left: it is a guess, and another may come.
        let left = (self.limits.host_cpu - self.host).max(self.limits.host_cpu / 10.0) / 2.0;
        while threads > FEW_THREADS && most / f64::from(every) > left && every < EVERY_MAX {
            every *= 2;
        }
        let turn = Turn::Every(every);
        self.accounts.insert(id, Account::new(turn));
        turn
    }

    /// A target has ended.
    pub(crate) fn end(&mut self, id: TargetId) {
        self.accounts.remove(&id);
    }

    /// How often a target is read.
    pub(crate) fn turn(&self, id: TargetId) -> Turn {
        self.accounts.get(&id).map_or(Turn::Every(1), |account| account.turn)
    }

    /// Our CPU, averaged, as a share of a core.
    pub(crate) fn measured(&self) -> f64 {
        self.measured
    }

    /// Takes what the last second cost, us and for each target; gives whose turn is another.
    pub(crate) fn second(&mut self, host_cpu: f64, costs: &BTreeMap<TargetId, Second>) -> Vec<(TargetId, Turn)> {
        self.measured += (host_cpu - self.measured) / SECONDS;
        self.host += (host_cpu - self.host) / SECONDS;
        for (id, account) in &mut self.accounts {
            let cost = costs.get(id).copied().unwrap_or_default();
            account.average.cpu += (cost.cpu - account.average.cpu) / SECONDS;
            account.average.stopped += (cost.stopped - account.average.stopped) / SECONDS;
            account.calm = account.calm.saturating_add(1);
        }
        let before: BTreeMap<TargetId, Turn> = self.accounts.iter().map(|(id, account)| (*id, account.turn)).collect();
        self.spare_targets();
        self.spare_host();
        self.give_back();
        let changed = self.accounts.iter().filter(|(id, account)| before.get(id) != Some(&account.turn));
        changed.map(|(id, account)| (*id, account.turn)).collect()
    }

    fn spare_targets(&mut self) {
        let limit = self.limits.target_stop * HIGH;
        self.accounts.values_mut().filter(|account| account.average.stopped > limit).for_each(Account::lower);
    }

    /// The costliest first, until what is saved is enough.
    fn spare_host(&mut self) {
        let mut over = self.host - self.limits.host_cpu * HIGH;
        let mut costliest: Vec<&mut Account> =
            self.accounts.values_mut().filter(|it| it.turn != Turn::Paused).collect();
        costliest.sort_by(|one, other| other.average.cpu.total_cmp(&one.average.cpu));
        let mut rest: f64 = costliest.iter().map(|account| account.average.cpu).sum();
        for account in costliest {
            if over <= 0.0 || rest < self.limits.host_cpu * TRIFLE {
                return;
            }
            rest -= account.average.cpu;
            let saved = account.average.cpu / 2.0;
            account.lower();
            over -= saved;
            self.host -= saved;
        }
    }

    /// Those that were calm for longest first are read twice as often, each if all of it would fit.
    fn give_back(&mut self) {
        let limits = self.limits;
        let mut less: Vec<&mut Account> = self.accounts.values_mut().filter(|it| it.turn != Turn::Every(1)).collect();
        less.sort_by_key(|account| std::cmp::Reverse(account.calm));
        for account in less {
            let more = account.average.cpu;
            let is_calm = account.calm >= account.patience;
            let fits = self.host + more < limits.host_cpu * HIGH
                && (self.host < limits.host_cpu * LOW || more < limits.host_cpu * LOW);
            if is_calm && fits && account.average.stopped * 2.0 < limits.target_stop * HIGH {
                self.host += more;
                account.raise();
            }
        }
    }
}

impl Account {
    fn new(turn: Turn) -> Self {
        let average = Second::default();
        Self { turn, average, calm: 0, was_raised: false, patience: CALM_GUESSED }
    }

    fn lower(&mut self) {
        self.patience = match self.patience {
            ..CALM => CALM,
            patience if !self.was_raised => patience,
            patience if self.calm < CALM => (patience * 2).min(CALM_MAX),
            _ => CALM,
        };
        self.turn = match self.turn {
            Turn::Every(every) if every < EVERY_MAX => Turn::Every(every * 2),
            _ => Turn::Paused,
        };
        self.average = Second { cpu: self.average.cpu / 2.0, stopped: self.average.stopped / 2.0 };
        (self.calm, self.was_raised) = (0, false);
    }

    fn raise(&mut self) {
        self.turn = match self.turn {
            Turn::Every(every) => Turn::Every((every / 2).max(1)),
            Turn::Paused => Turn::Every(EVERY_MAX),
        };
        self.average = Second { cpu: self.average.cpu * 2.0, stopped: self.average.stopped * 2.0 };
        (self.calm, self.was_raised) = (0, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { host_cpu: 0.05, target_stop: 0.01 };

    /// Seconds of targets whose cost at every tick is known: how often each is read in the end, and the most that we cost in
    /// a second.
    fn play(limits: Limits, seconds: u32, threads: usize, costs: &[Second]) -> (Vec<Turn>, f64) {
        let mut budget = Budget::new(limits);
        let ids: Vec<TargetId> = (0..).map(TargetId).take(costs.len()).collect();
        for id in &ids {
            budget.begin(*id, threads, 101.0);
        }
        let mut most = 0.0_f64;
        for _ in 0..seconds {
            let share = |id: &TargetId| match budget.turn(*id) {
                Turn::Every(every) => 1.0 / f64::from(every),
                Turn::Paused => 0.0,
            };
            let cost = |(id, full): (&TargetId, &Second)| {
                (*id, Second { cpu: full.cpu * share(id), stopped: full.stopped * share(id) })
            };
            let now: BTreeMap<TargetId, Second> = ids.iter().zip(costs).map(cost).collect();
            let host: f64 = now.values().map(|cost| cost.cpu).sum();
            most = most.max(host);
            budget.second(host, &now);
        }
        (ids.iter().map(|id| budget.turn(*id)).collect(), most)
    }

    /// Check that what is cheap is read at every tick, for ever.
    #[test]
    fn cheap() {
        let (turns, _) = play(LIMITS, 100, 10, &[Second { cpu: 0.01, stopped: 0.001 }; 3]);
        assert_eq!(turns, [Turn::Every(1); 3]);
    }

    /// Check that many threads stay under the budget from the first second on, and are still read.
    #[test]
    fn many_threads() {
        let one_percent = Limits { host_cpu: 0.01, ..LIMITS };
        let (turns, most) = play(one_percent, 300, 2000, &[Second { cpu: 4.0, stopped: 0.02 }]);
        assert!(most < 0.01, "{most}");
        assert!(matches!(turns[..], [Turn::Every(every)] if (512..=1024).contains(&every)), "{turns:?}");
    }

    /// Check that many threads which cost little are read at every tick after some seconds.
    #[test]
    fn many_that_sleep() {
        let (turns, most) = play(LIMITS, 30, 300, &[Second { cpu: 0.01, stopped: 0.0 }]);
        assert_eq!(turns, [Turn::Every(1)]);
        assert!(most <= 0.01, "{most}");
    }

    /// Check that what costs more than expected is read less within seconds: the costliest first; and one that holds its target for
    /// too long by itself.
    #[test]
    fn costly() {
        let cheap = Second { cpu: 0.002, stopped: 0.0 };
        let (turns, _) =
            play(LIMITS, 60, 1, &[cheap, Second { cpu: 0.4, stopped: 0.0 }, Second { stopped: 0.03, ..cheap }]);
        assert!(matches!(turns[..], [Turn::Every(1), Turn::Every(16), Turn::Every(4 | 8)]), "{turns:?}");
    }

    /// Check that what costs us nothing is read as before while something else costs us much.
    #[test]
    fn something_else() {
        let mut budget = Budget::new(LIMITS);
        budget.begin(TargetId(0), 2000, 101.0);
        let first = budget.turn(TargetId(0));
        for _ in 0..5 {
            budget.second(0.8, &BTreeMap::from([(TargetId(0), Second { cpu: 0.001, stopped: 0.0 })]));
        }
        assert_eq!((first, budget.turn(TargetId(0))), (Turn::Every(256), Turn::Every(256)));
    }

    /// Check that one of which a single read costs more than there is for seconds is tried less and less often.
    #[test]
    fn seldom_tried() {
        let mut budget = Budget::new(Limits { host_cpu: 0.01, ..LIMITS });
        budget.begin(TargetId(0), 2000, 101.0);
        let (mut reads, mut before) = (0, Turn::Paused);
        for _ in 0..3600 {
            let turn = budget.turn(TargetId(0));
            let is_read = turn != Turn::Paused && before == Turn::Paused;
            reads += u32::from(is_read);
            before = turn;
            let cpu = if is_read { 0.08 } else { 0.0 };
            budget.second(cpu, &BTreeMap::from([(TargetId(0), Second { cpu, stopped: 0.0 })]));
        }
        assert!((6..=14).contains(&reads), "{reads}");
    }

    /// Check that a target which cannot be afforded at all is paused, and comes back when there is room.
    #[test]
    fn paused() {
        let (turns, _) = play(LIMITS, 60, 1, &[Second { cpu: 200.0, stopped: 0.0 }]);
        assert_eq!(turns, [Turn::Paused]);
        let mut budget = Budget::new(LIMITS);
        budget.begin(TargetId(0), 1, 101.0);
        for _ in 0..60 {
            budget.second(0.2, &BTreeMap::from([(TargetId(0), Second { cpu: 0.2, stopped: 0.0 })]));
        }
        assert_eq!(budget.turn(TargetId(0)), Turn::Paused);
        for _ in 0..200 {
            budget.second(0.0, &BTreeMap::new());
        }
        assert_eq!(budget.turn(TargetId(0)), Turn::Every(1));
    }
}

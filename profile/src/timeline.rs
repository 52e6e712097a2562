//! Per thread, which stack stood from which tick to which, as runs. The work per event does not grow with the number of
//! threads: a thread that nothing is said about is not touched. Knows neither names nor the wire.

use std::collections::HashMap;

use crate::{
    id::Tid,
    session::Anchor,
    stacks::Slot,
    thread::{Filter, State},
};

/// What a thread does during a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Doing {
    /// A stack stands; one that the filter leaves out is `None`.
    Stack(Option<Slot>, State),
    /// The thread has ended (one tick long).
    Gone,
}

/// The ticks `first ..= last` of a timeline, at each of which the same was seen of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) doing: Doing,
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// The run goes on at the end of the timeline.
    pub(crate) open: bool,
}

/// The last stack of a live thread. A `first` after the current tick: the thread was not read, and stands from then on.
#[derive(Clone, Copy, Debug)]
struct Standing {
    slot: Option<Slot>,
    state: State,
    first: u32,
}

/// One thread.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) tid: Tid,
    pub(crate) name: Option<String>,
    ident: Option<u64>,
    /// In this span the line is that of two threads, one after the other, or of one whose ident changed.
    ambiguous: bool,
    sealed: Vec<Run>,
    standing: Option<Standing>,
    ended: bool,
}

impl Line {
    fn new(tid: Tid) -> Self {
        Self { tid, name: None, ident: None, ambiguous: false, sealed: Vec::new(), standing: None, ended: false }
    }

    /// Its runs in order, the standing one up to tick `now`.
    pub(crate) fn runs(&self, now: u32) -> impl Iterator<Item = Run> {
        let open = self.standing.filter(|standing| standing.first <= now).map(|standing| standing.run(now, true));
        self.sealed.iter().copied().chain(open)
    }

    /// The stacks of its runs up to tick `now`.
    pub(crate) fn stacks(&self, now: u32) -> impl Iterator<Item = Slot> {
        self.runs(now).filter_map(|run| if let Doing::Stack(slot, _) = run.doing { slot } else { None })
    }

    /// The runtime's own id of the thread, if it is that of the whole span.
    pub(crate) fn ident(&self) -> Option<u64> {
        self.ident.filter(|_| !self.ambiguous)
    }

    fn identified(&mut self, ident: u64) {
        self.ambiguous |= self.ident.is_some_and(|before| before != ident);
        self.ident = Some(ident);
    }

    /// Something is said of a thread: if the one before with this id has ended, of another.
    fn revive(&mut self) {
        if std::mem::take(&mut self.ended) {
            self.ambiguous = true;
            self.ident = None;
        }
    }

    fn sample(&mut self, now: u32, slot: Option<Slot>, state: State) -> bool {
        if self.standing.is_some_and(|old| old.slot == slot && old.state == state && old.first <= now) {
            return false;
        }
        self.seal(now);
        // The id of a thread that ended was given to a new one within one tick.
        self.sealed.pop_if(|run| run.doing == Doing::Gone && run.first == now);
        self.standing = Some(Standing { slot, state, first: now });
        self.revive();
        true
    }

    fn unread(&mut self, now: u32) {
        if let Some(standing) = self.standing.filter(|standing| standing.first <= now) {
            self.seal(now);
            self.standing = Some(Standing { first: now + 1, ..standing });
        }
    }

    fn end(&mut self, now: u32) {
        self.ended = true;
        if self.standing.is_some() {
            self.seal(now);
            self.sealed.push(Run { doing: Doing::Gone, first: now, last: now, open: false });
        }
    }

    /// Ends the standing run at the tick before `now`.
    fn seal(&mut self, now: u32) {
        if let Some(standing) = self.standing.take().filter(|standing| standing.first < now) {
            self.sealed.push(standing.run(now - 1, false));
        }
    }
}

impl Standing {
    fn run(self, last: u32, open: bool) -> Run {
        Run { doing: Doing::Stack(self.slot, self.state), first: self.first, last, open }
    }
}

/// All threads of a process over a span of time.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    anchor: Anchor,
    /// Which states keep their stacks.
    filter: Filter,
    /// Unix microseconds, strictly rising. The first is the opening, at which stacks of the span before still stand.
    ticks: Vec<u64>,
    /// How many of `ticks` were ticks.
    ticked: u64,
    lines: Vec<Line>,
    index: HashMap<Tid, usize>,
}

impl Timeline {
    pub(crate) fn new(anchor: Anchor, start_ns: u64, filter: Filter) -> Self {
        let ticks = vec![anchor.unix_us(start_ns)];
        Self { anchor, filter, ticks, ticked: 0, lines: Vec::new(), index: HashMap::new() }
    }

    pub(crate) fn ticks(&self) -> &[u64] {
        &self.ticks
    }

    /// How many ticks there were up to `end_us`.
    pub(crate) fn ticked(&self, end_us: u64) -> u64 {
        let beyond = self.ticks.len() - self.ticks.partition_point(|at| *at <= end_us);
        self.ticked.saturating_sub(beyond as u64)
    }

    /// How many ticks there were from `from_us` to `until_us`; the opening is none.
    pub(crate) fn ticked_within(&self, from_us: u64, until_us: u64) -> u64 {
        let place = |at_us: u64| self.ticks.partition_point(|at| *at < at_us);
        let all = place(until_us.saturating_add(1)).saturating_sub(place(from_us)) as u64;
        let has_opening = self.ticked < self.ticks.len() as u64 && self.start_us() >= from_us;
        all.saturating_sub(u64::from(has_opening))
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many runs have ended.
    pub(crate) fn sealed(&self) -> usize {
        self.lines.iter().map(|line| line.sealed.len()).sum()
    }

    /// The index of the current tick.
    pub(crate) fn now(&self) -> u32 {
        u32::try_from(self.ticks.len().saturating_sub(1)).unwrap_or(u32::MAX - 1)
    }

    pub(crate) fn start_us(&self) -> u64 {
        self.ticks.first().copied().unwrap_or_default()
    }

    pub(crate) fn last_us(&self) -> u64 {
        self.ticks.last().copied().unwrap_or_default()
    }

    /// The wire's time of `at_ns`, not before the last tick.
    pub(crate) fn end_us(&self, at_ns: u64) -> u64 {
        self.anchor.unix_us(at_ns).max(self.last_us())
    }

    /// A tick begins. One in the same microsecond as the one before is moved on by one: times of a thread must differ.
    pub(crate) fn tick(&mut self, at_ns: u64) {
        let at = self.anchor.unix_us(at_ns);
        self.ticked += 1;
        if self.ticked > 1 || at > self.last_us() {
            self.ticks.push(at.max(self.last_us().saturating_add(1)));
        }
    }

    /// A thread was read. False if that is what already stood.
    pub(crate) fn sample(&mut self, tid: Tid, slot: Slot, state: State) -> bool {
        let (now, slot) = (self.now(), Some(slot).filter(|_| self.filter.keeps(state)));
        self.line(tid).sample(now, slot, state)
    }

    pub(crate) fn unread(&mut self, tid: Tid) {
        let now = self.now();
        self.line(tid).unread(now);
    }

    pub(crate) fn ended(&mut self, tid: Tid) {
        let now = self.now();
        self.line(tid).end(now);
    }

    pub(crate) fn named(&mut self, tid: Tid, name: &str) {
        let line = self.line(tid);
        line.name = Some(name.to_owned());
        line.revive();
    }

    pub(crate) fn identified(&mut self, tid: Tid, ident: u64) {
        let line = self.line(tid);
        line.revive();
        line.identified(ident);
    }

    /// Forgets what was, but for the stacks that stand: they open the next span at `at_us`.
    pub(crate) fn reopen(&mut self, at_us: u64) {
        self.ticks = vec![at_us];
        self.ticked = 0;
        self.lines.retain_mut(|line| {
            line.sealed = Vec::new();
            line.ambiguous = false;
            if let Some(standing) = &mut line.standing {
                standing.first = 0;
            }
            !line.ended
        });
        self.index_lines();
    }

    fn index_lines(&mut self) {
        self.index = self.lines.iter().enumerate().map(|(place, line)| (line.tid, place)).collect();
    }

    /// What stands was not seen since [`Self::reopen`]: it stands from the next tick on.
    pub(crate) fn begin(&mut self) {
        let next = self.now().saturating_add(1);
        self.lines.iter_mut().filter_map(|line| line.standing.as_mut()).for_each(|standing| standing.first = next);
    }

    /// Forgets the ticks before `at_us`, but for one.
    pub(crate) fn forget_before(&mut self, at_us: u64) {
        let gone = self.ticks.partition_point(|at| *at < at_us).min(self.ticks.len().saturating_sub(1));
        let ticks = u32::try_from(gone).unwrap_or(u32::MAX);
        self.ticks.drain(..gone);
        self.ticked = self.ticked.min(self.ticks.len() as u64);
        self.lines.retain_mut(|line| {
            line.sealed.retain(|run| run.last >= ticks);
            if line.sealed.capacity() / 4 > line.sealed.len() {
                line.sealed.shrink_to_fit();
            }
            for run in &mut line.sealed {
                (run.first, run.last) = (run.first.saturating_sub(ticks), run.last - ticks);
            }
            if let Some(standing) = &mut line.standing {
                standing.first = standing.first.saturating_sub(ticks);
            }
            !(line.ended && line.sealed.is_empty())
        });
        self.index_lines();
    }

    /// Goes by another anchor, where nothing came since [`Self::reopen`] at `at_ns`.
    pub(crate) fn re_anchor(&mut self, anchor: Anchor, at_ns: u64) {
        self.anchor = anchor;
        self.ticks = vec![anchor.unix_us(at_ns)];
    }

    /// The stacks that stand, so that they can be kept and counted, or given new slots.
    pub(crate) fn standing(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.lines.iter_mut().filter_map(|line| line.standing.as_mut()?.slot.as_mut())
    }

    /// All stacks, those that stand and those that did.
    pub(crate) fn slots(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.lines.iter_mut().flat_map(|line| {
            let sealed = line.sealed.iter_mut().filter_map(|run| match &mut run.doing {
                Doing::Stack(slot, _) => slot.as_mut(),
                Doing::Gone => None,
            });
            sealed.chain(line.standing.as_mut().and_then(|standing| standing.slot.as_mut()))
        })
    }

    #[allow(
        clippy::indexing_slicing,
        reason = "the index holds places in `lines`, which only grows until it is rebuilt"
    )]
    fn line(&mut self, tid: Tid) -> &mut Line {
        let place = *self.index.entry(tid).or_insert_with(|| {
            self.lines.push(Line::new(tid));
            self.lines.len() - 1
        });
        &mut self.lines[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread::{Gil, ThreadState};

    const START: u64 = 1_000_000_000;
    const RUNNING: State = State { thread: ThreadState::OnCpu, gil: Some(Gil::Held) };
    const ASLEEP: State = State { thread: ThreadState::Sleeping(202), gil: Some(Gil::Awaited) };
    const READY: State = State { thread: ThreadState::Runnable, gil: None };

    fn timeline() -> Timeline {
        filtered(Filter::All)
    }

    fn filtered(filter: Filter) -> Timeline {
        Timeline::new(Anchor { unix_ns: START, monotonic_ns: START }, START, filter)
    }

    /// `slot:first-last` of each run of thread 1, `+` for one that goes on, `end:tick` where the thread ended.
    fn text(timeline: &Timeline) -> String {
        let Some(line) = timeline.lines().first() else { return String::new() };
        let runs = line.runs(timeline.now()).map(|run| match run.doing {
            Doing::Stack(slot, _) => {
                let slot = slot.map_or("-".to_owned(), |slot| slot.0.to_string());
                format!("{slot}:{}-{}{}", run.first, run.last, if run.open { "+" } else { "" })
            }
            Doing::Gone => format!("end:{}", run.first),
        });
        runs.collect::<Vec<_>>().join(" ")
    }

    /// `play("A..B")`: one tick a letter; a letter samples that stack (upper case running, lower asleep), `.` says
    /// nothing, `!` is unread, `#` ended; a digit is ready to run.
    fn play(timeline: &mut Timeline, script: &str) {
        for (number, step) in (1..).zip(script.chars()) {
            timeline.tick(START + number * 10_000_000);
            match step {
                '.' => (),
                '!' => timeline.unread(Tid(1)),
                '#' => timeline.ended(Tid(1)),
                digit if digit.is_ascii_digit() => {
                    timeline.sample(Tid(1), Slot(digit as u32), READY);
                }
                upper if upper.is_uppercase() => {
                    timeline.sample(Tid(1), Slot(upper as u32), RUNNING);
                }
                lower => {
                    timeline.sample(Tid(1), Slot(lower as u32), ASLEEP);
                }
            }
        }
    }

    /// Check that equal neighbours are one run, that silence prolongs it, that an unread tick is not claimed.
    #[test]
    fn runs() {
        let rows = [
            ("AAB", "65:1-2 66:3-3+"),
            ("a..a.b", "97:1-5 98:6-6+"),
            ("a..!..", "97:1-3 97:5-6+"),
            ("a!!b", "97:1-1 98:4-4+"),
            ("a!!", "97:1-1"),
            ("a..#..", "97:1-3 end:4"),
            ("a!#", "97:1-1 end:3"),
            ("#.!.", ""),
            ("a#.B", "97:1-1 end:2 66:4-4+"),
            ("Aa", "65:1-1 97:2-2+"),
        ];
        for (script, expected) in rows {
            let mut timeline = timeline();
            play(&mut timeline, script);
            assert_eq!(text(&timeline), expected, "{script}");
        }
    }

    /// Check which stacks each filter leaves: a thread of another state is there, without one.
    #[test]
    fn filters() {
        let rows = [
            (Filter::All, "65:1-1 66:2-2 97:3-3 98:4-4 49:5-5+"),
            (Filter::Active, "65:1-1 66:2-2 -:3-4 49:5-5+"),
            (Filter::OnCpu, "65:1-1 66:2-2 -:3-4 -:5-5+"),
            (Filter::Gil, "65:1-1 66:2-2 -:3-4 -:5-5+"),
        ];
        for (filter, expected) in rows {
            let mut timeline = filtered(filter);
            play(&mut timeline, "ABab1");
            assert_eq!(text(&timeline), expected, "{filter:?}");
        }
    }

    /// Check that a thread id given anew within the tick in which its thread ended leaves no empty run.
    #[test]
    fn reused_at_once() {
        let mut timeline = timeline();
        play(&mut timeline, "A#");
        timeline.sample(Tid(1), Slot(7), RUNNING);
        assert_eq!(text(&timeline), "65:1-1 7:2-2+");
    }

    /// Check that an ident is that of the whole span or of none: not where the thread id was given anew, nor where it changed.
    #[test]
    fn idents() {
        let mut timeline = timeline();
        let ident = |timeline: &Timeline| timeline.lines()[0].ident();
        play(&mut timeline, "A");
        assert_eq!(ident(&timeline), None);
        timeline.identified(Tid(1), 77);
        timeline.identified(Tid(1), 77);
        assert_eq!(ident(&timeline), Some(77));
        play(&mut timeline, "#B");
        assert_eq!(ident(&timeline), None);
        timeline.identified(Tid(1), 88);
        assert_eq!(ident(&timeline), None);
        timeline.reopen(START + 1);
        assert_eq!(ident(&timeline), Some(88));
        timeline.identified(Tid(1), 99);
        assert_eq!(ident(&timeline), None);
    }

    /// Check that what stands opens the next span, that what ended is forgotten, and that times rise strictly.
    #[test]
    fn reopening() {
        let mut timeline = timeline();
        play(&mut timeline, "A.b!");
        timeline.sample(Tid(2), Slot(9), RUNNING);
        timeline.ended(Tid(2));
        timeline.reopen(timeline.end_us(START + 45_000_000));
        timeline.tick(START + 45_000_000);
        timeline.tick(START + 45_000_999);
        assert_eq!(text(&timeline), "98:0-1+");
        assert_eq!(timeline.ticks(), [1_045_000, 1_045_001]);
        assert_eq!((timeline.lines().len(), timeline.ticked(u64::MAX)), (1, 2));
    }
}

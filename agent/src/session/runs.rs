//! When a process is profiled that says so itself, by its board, or whose operator does. Decides; samples nothing, and reads
//! no clock.

use std::collections::BTreeMap;

use profile::{
    board::{Board, Window, WindowKind},
    feed::Mark,
    id::ProfilerId,
};

/// A time in which a process is profiled under one profiler id. Times are `CLOCK_MONOTONIC` nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    /// What its chunks say.
    pub id: ProfilerId,
    /// Since when.
    pub start_ns: u64,
    /// Only what threads do within their marks is told.
    pub marks_only: bool,
}

/// What is to be done, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The run that goes on has ended.
    End {
        /// When.
        at_ns: u64,
    },
    /// Another begins, with the first tick after its start.
    Begin(Run),
    /// A function or block began or ended.
    Mark(Mark),
}

/// Runs of a process, one at a time.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// The operator's.
    forced: Option<Run>,
    board: Board,
    current: Option<Run>,
    /// Nothing is read, so nothing can be said.
    suspended: bool,
    /// When the last run ended: no other begins before.
    ended_ns: u64,
    /// The marks that were told, and whether their end was.
    told: BTreeMap<u64, bool>,
}

impl Runs {
    /// The board is another, as was seen at `at_ns`.
    pub(super) fn noted(&mut self, board: Board, at_ns: u64) -> Vec<Step> {
        let before = std::mem::replace(&mut self.board, board);
        // A chunk that ends is told the ends of its marks before, and the next one its beginnings.
        let (ended, begun): (Vec<Mark>, Vec<Mark>) =
            self.marks(&before, at_ns).into_iter().partition(|mark| mark.end_ns.is_some());
        let turn = self.turn(at_ns);
        ended.into_iter().map(Step::Mark).chain(turn).chain(begun.into_iter().map(Step::Mark)).collect()
    }

    /// The operator starts a run at `at_ns`, or ends the one that goes on: `None`.
    pub(super) fn forced(&mut self, id: Option<ProfilerId>, at_ns: u64) -> Vec<Step> {
        self.forced = id.map(|id| Run { id, start_ns: at_ns, marks_only: false });
        self.turn(at_ns)
    }

    /// From `at_ns` on nothing is read of the process, or it is again.
    pub(super) fn suspended(&mut self, suspended: bool, at_ns: u64) -> Vec<Step> {
        self.suspended = suspended;
        self.turn(at_ns)
    }

    fn turn(&mut self, at_ns: u64) -> Vec<Step> {
        let wanted = self.wanted().filter(|_| !self.suspended);
        if self.current.map(key) == wanted.map(key) {
            return Vec::new();
        }
        let ended = self.current.map(|run| self.end_of(run, at_ns));
        self.ended_ns = ended.unwrap_or(self.ended_ns);
        let wanted = wanted.map(|run| Run { start_ns: run.start_ns.max(self.ended_ns), ..run });
        self.current = wanted;
        ended.map(|at_ns| Step::End { at_ns }).into_iter().chain(wanted.map(Step::Begin)).collect()
    }

    /// The operator's, else the last that the process began, else that of its marks.
    fn wanted(&self) -> Option<Run> {
        let run = |window: &Window| Run {
            id: ProfilerId(window.id),
            start_ns: window.start_ns,
            marks_only: window.is_mark(),
        };
        self.forced.or_else(|| self.board.leading().map(run))
    }

    /// When the windows of a run ended: one that is not on the board any more, or that another took over from, at `at_ns`.
    fn end_of(&self, run: Run, at_ns: u64) -> u64 {
        let of = self.board.windows.values().filter(|window| {
            ProfilerId(window.id) == run.id
                && (window.is_mark() == run.marks_only)
                && window.kind != WindowKind::Transaction
        });
        let ends: Vec<Option<u64>> = of.map(|window| window.end_ns).collect();
        let all: Option<Vec<u64>> = ends.into_iter().collect();
        all.and_then(|ends| ends.into_iter().max())
            .map_or(at_ns, |end| end.clamp(run.start_ns, at_ns.max(run.start_ns)))
    }

    fn marks(&mut self, before: &Board, at_ns: u64) -> Vec<Mark> {
        let mut marks = Vec::new();
        for window in self.board.windows.values().filter(|window| window.is_mark()) {
            let has_ended = window.end_ns.is_some();
            if self.told.insert(window.sequence, has_ended) != Some(has_ended) {
                marks.extend(mark(window, window.end_ns));
            }
        }
        // A board that is no more: what was open there has ended.
        let lost =
            before.open().filter(|window| window.is_mark() && !self.board.windows.contains_key(&window.sequence));
        marks.extend(lost.filter_map(|window| mark(window, Some(at_ns))));
        self.told.retain(|sequence, _| self.board.windows.contains_key(sequence));
        marks
    }
}

/// What tells runs apart. One id that is noted again within some milliseconds is one run.
fn key(run: Run) -> (ProfilerId, bool) {
    (run.id, run.marks_only)
}

fn mark(window: &Window, end_ns: Option<u64>) -> Option<Mark> {
    Some(Mark {
        sequence: window.sequence,
        is_block: window.kind == WindowKind::Block,
        ident: window.thread,
        name: window.name.clone()?,
        start_ns: window.start_ns,
        end_ns,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::tests::board, *};

    fn shown(steps: Vec<Step>) -> String {
        let text = steps.into_iter().map(|step| match step {
            Step::End { at_ns } => format!("end {at_ns}"),
            Step::Begin(run) => {
                let marks = if run.marks_only { " marks" } else { "" };
                format!("begin {} at {}{marks}", run.id.0.as_u128(), run.start_ns)
            }
            Step::Mark(mark) => {
                format!("{} {}..{}", mark.name, mark.start_ns, mark.end_ns.map_or(String::new(), |end| end.to_string()))
            }
        });
        text.collect::<Vec<_>>().join(", ")
    }

    /// What becomes of boards seen at 100, 200 and so on.
    fn play(boards: &[&str]) -> Vec<String> {
        let mut runs = Runs::default();
        (1..).zip(boards).map(|(at, text)| shown(runs.noted(board(text), at * 100))).collect()
    }

    /// Check that a run begins and ends when its process says, once; that one id noted again is one run; and that what began
    /// and ended between two looks is nothing.
    #[test]
    fn runs() {
        assert_eq!(play(&["1 run 5 90 -", "1 run 5 90 -", "1 run 5 90 250"]), ["begin 5 at 90", "", "end 250"]);
        assert_eq!(play(&["1 run 5 90 -", "1 run 5 90 150, 2 run 5 155 -"]), ["begin 5 at 90", ""]);
        assert_eq!(
            play(&["1 run 5 90 -", "1 run 5 90 150, 2 run 6 190 -"]),
            ["begin 5 at 90", "end 150, begin 6 at 190"]
        );
        assert_eq!(play(&["", "1 run 5 110 120"]), ["", ""]);
        assert_eq!(play(&["1 run 5 90 -", ""]), ["begin 5 at 90", "end 200"], "the board is gone");
        assert_eq!(
            play(&["1 run 5 90 -", "1 run 5 90 9000"]),
            ["begin 5 at 90", "end 200"],
            "an end to come is forged"
        );
    }

    /// Check that marks alone are a run of marks, that a whole run takes over from them and gives back, and that each mark's
    /// begin and end is told once.
    #[test]
    fn marks() {
        let steps = play(&[
            "1 block 5 90 -",
            "1 block 5 90 -, 2 run 6 190 -",
            "1 block 5 90 -, 2 run 6 190 280",
            "1 block 5 90 350, 2 run 6 190 280",
            "2 run 6 190 280",
        ]);
        assert_eq!(
            steps,
            [
                "begin 5 at 90 marks, block 90..",
                "end 200, begin 6 at 200",
                "end 280, begin 5 at 280 marks",
                "block 90..350, end 350",
                ""
            ]
        );
        assert_eq!(play(&["1 block 5 90 -", ""])[1], "block 90..200, end 200");
    }

    /// Check that the operator's run goes before the process's own.
    #[test]
    fn forced() {
        let mut runs = Runs::default();
        let id = |id: u128| Some(ProfilerId(uuid::Uuid::from_u128(id)));
        assert_eq!(shown(runs.forced(id(9), 50)), "begin 9 at 50");
        assert_eq!(shown(runs.noted(board("1 run 5 90 -"), 100)), "");
        assert_eq!(shown(runs.forced(None, 150)), "end 150, begin 5 at 150");
        assert_eq!(shown(runs.forced(id(10), 170)), "end 170, begin 10 at 170");
    }

    /// Check that a run which nobody reads ends, and goes on under its id when it is read again.
    #[test]
    fn suspended() {
        let mut runs = Runs::default();
        assert_eq!(shown(runs.noted(board("1 run 5 90 -"), 100)), "begin 5 at 90");
        assert_eq!(shown(runs.suspended(true, 150)), "end 150");
        assert_eq!(shown(runs.noted(board("1 run 5 90 -, 2 run 6 180 -"), 200)), "");
        assert_eq!(shown(runs.noted(board("1 run 5 90 -, 2 run 6 180 190"), 200)), "");
        assert_eq!(shown(runs.suspended(false, 300)), "begin 5 at 150");
    }
}

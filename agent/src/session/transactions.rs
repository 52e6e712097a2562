//! Which transactions of a process have ended, by its board, and which go on for so long that their profile is to be built
//! before. Decides; builds no profile, and reads no clock.

use std::collections::{BTreeMap, BTreeSet};

use profile::{
    board::{Board, WindowKind},
    chunk::TRANSACTION_MAX_NS,
};

/// A transaction whose profile can be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Transaction {
    /// Its profile's id.
    pub id: uuid::Uuid,
    /// When it began.
    pub start_ns: u64,
    /// When it ended, or 30 s after it began.
    pub end_ns: u64,
    /// It goes on.
    pub cut: bool,
}

/// How long the samples of a transaction that goes on after [`TRANSACTION_MAX_NS`] are kept: most end soon, and who ends together
/// with others shares theirs.
const KEPT_NS: u64 = 60_000_000_000;

/// Transactions of a process that are profiled.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// By sequence: those that go on and need samples.
    open: BTreeMap<u64, (uuid::Uuid, u64)>,
    /// Those that go on and have lasted for as long as a profile may: it is built when they end.
    cut: BTreeMap<u64, (uuid::Uuid, u64)>,
    /// Those that go on, and whose profile was to be built before.
    long: BTreeMap<u64, uuid::Uuid>,
    /// Those that have ended.
    done: BTreeSet<u64>,
}

/// Transactions that have ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Those whose profile can be built.
    pub kept: Vec<Transaction>,
    /// Those whose profile was to be built before.
    pub long: Vec<uuid::Uuid>,
}

impl Transactions {
    /// The board is another, as was seen at `at_ns`: those that have ended.
    pub(super) fn noted(&mut self, board: &Board, at_ns: u64) -> Ended {
        let mut ended = Ended::default();
        for window in board.windows.values().filter(|window| window.kind == WindowKind::Transaction) {
            let sequence = window.sequence;
            if self.done.contains(&sequence) {
                continue;
            }
            let is_long = self.long.contains_key(&sequence);
            if let Some(end_ns) = window.end_ns {
                self.done.insert(sequence);
                if !is_long {
                    ended.kept.push(transaction(window.id, window.start_ns, end_ns, at_ns));
                }
            } else if !is_long && !self.cut.contains_key(&sequence) {
                self.open.insert(sequence, (window.id, window.start_ns));
            }
        }
        self.done.retain(|sequence| board.windows.contains_key(sequence));
        let goes_on = |sequence: &u64| board.windows.get(sequence).is_some_and(|window| window.end_ns.is_none());
        self.open.retain(|sequence, _| goes_on(sequence));
        self.cut.retain(|sequence, _| goes_on(sequence));
        ended.long.extend(self.long.extract_if(.., |sequence, _| !goes_on(sequence)).map(|(_, id)| id));
        ended
    }

    /// At `at_ns`: whether any has now lasted for as long as a profile may.
    pub(super) fn overdue(&mut self, at_ns: u64) -> bool {
        let before = self.cut.len();
        let is_past = |start: u64| start.saturating_add(TRANSACTION_MAX_NS) <= at_ns;
        self.cut.extend(self.open.extract_if(.., |_, (_, start)| is_past(*start)));
        self.cut.len() > before
    }

    /// Those whose samples are not kept any longer at `at_ns`; `all`: of all that need no more of them. Their profile is to be
    /// built now.
    pub(super) fn long(&mut self, at_ns: u64, all: bool) -> Vec<Transaction> {
        let is_long = |start: u64| all || start.saturating_add(TRANSACTION_MAX_NS + KEPT_NS) <= at_ns;
        let long = self.cut.extract_if(.., |_, (_, start)| is_long(*start));
        let of = long.map(|(sequence, (id, start_ns))| {
            self.long.insert(sequence, id);
            transaction(id, start_ns, u64::MAX, at_ns)
        });
        of.collect()
    }

    /// Whether none goes on that needs samples.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// When the first of those began for which samples are needed or kept.
    pub(super) fn first_start_ns(&self) -> Option<u64> {
        self.open.values().chain(self.cut.values()).map(|(_, start)| *start).min()
    }
}

fn transaction(id: uuid::Uuid, start_ns: u64, end_ns: u64, at_ns: u64) -> Transaction {
    let limit = start_ns.saturating_add(TRANSACTION_MAX_NS);
    Transaction { id, start_ns, end_ns: end_ns.min(limit).min(at_ns.max(start_ns)), cut: end_ns > limit }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::board, *};

    fn ended(of: &Ended) -> String {
        let row = |of: &Transaction| {
            format!("{} {}..{}{}", of.id.as_u128(), of.start_ns, of.end_ns, if of.cut { " cut" } else { "" })
        };
        let long = of.long.iter().map(|id| format!("{} long", id.as_u128()));
        of.kept.iter().map(row).chain(long).collect::<Vec<_>>().join(", ")
    }

    const S: u64 = 1_000_000_000;

    /// Check that a transaction is told once, when it has ended: also of one that went on for more than 30 s, whose first 30 s
    /// are its profile.
    #[test]
    fn transactions() {
        let mut all = Transactions::default();
        assert_eq!(ended(&all.noted(&board("1 tx 5 90 -, 2 tx 6 95 -"), 100)), "");
        assert_eq!(all.first_start_ns(), Some(90));
        assert_eq!(
            ended(&all.noted(&board("1 tx 5 90 150, 2 tx 6 95 -, 3 tx 7 110 120"), 200)),
            "5 90..150, 7 110..120"
        );
        assert_eq!(ended(&all.noted(&board("1 tx 5 90 150, 2 tx 6 95 -"), 300)), "");
        assert!(!all.overdue(30 * S) && !all.is_idle());
        assert!(all.overdue(31 * S) && all.is_idle());
        assert!(!all.overdue(32 * S), "told once");
        assert_eq!(ended(&all.noted(&board("2 tx 6 95 -"), 33 * S)), "");
        assert_eq!(all.first_start_ns(), Some(95), "its samples are kept");
        let late = format!("2 tx 6 95 {}", 40 * S);
        assert_eq!(ended(&all.noted(&board(&late), 41 * S)), format!("6 95..{} cut", 30 * S + 95));
        assert_eq!(all.first_start_ns(), None);
        assert_eq!(ended(&all.noted(&board(&late), 42 * S)), "");
    }

    /// Check that of one that goes on for much longer the profile is to be built before its end, once, and that its end is told;
    /// and the same where too much would have been kept, and where it is gone without an end.
    #[test]
    fn long_transactions() {
        let mut all = Transactions::default();
        let long =
            |all: &mut Transactions, at: u64, any: bool| ended(&Ended { kept: all.long(at, any), long: Vec::new() });
        all.noted(&board("1 tx 5 95 -"), 100);
        all.overdue(31 * S);
        assert_eq!(long(&mut all, 90 * S, false), "");
        assert_eq!(all.first_start_ns(), Some(95));
        assert_eq!(long(&mut all, 91 * S, false), format!("5 95..{} cut", 30 * S + 95));
        assert_eq!(long(&mut all, 92 * S, false), "");
        assert_eq!(all.first_start_ns(), None);
        let next = format!("1 tx 5 95 -, 2 tx 6 {0} -, 3 tx 7 {0} -", 91 * S);
        assert_eq!(ended(&all.noted(&board(&next), 92 * S)), "");
        assert_eq!(long(&mut all, 100 * S, true), "", "they need samples");
        all.overdue(122 * S);
        let cut = |id: u64| format!("{id} {}..{} cut", 91 * S, 121 * S);
        assert_eq!(long(&mut all, 122 * S, true), [cut(6), cut(7)].join(", "));
        assert_eq!(all.first_start_ns(), None);
        let over = format!("1 tx 5 95 {}, 2 tx 6 {} {}", 122 * S, 91 * S, 122 * S);
        assert_eq!(ended(&all.noted(&board(&over), 123 * S)), "5 long, 6 long, 7 long");
        assert_eq!(ended(&all.noted(&board(&over), 124 * S)), "");
    }
}

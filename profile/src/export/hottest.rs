//! The functions in which most samples were: the list at the end of a run.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    export::{Options, Recorded, show},
    record::RecordedRun,
};

/// A function and its share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hot {
    /// Its name, or what stands for it.
    pub function: String,
    /// File name of its module.
    pub module: Option<Arc<str>>,
    /// Samples in which it was the leaf.
    pub self_ticks: u64,
    /// Samples in which it was anywhere on the stack.
    pub total_ticks: u64,
}

/// Name and module.
type Function = (String, Option<Arc<str>>);

/// The `n` functions with the most samples of their own, of those on a CPU; of all if nothing ever ran.
pub fn hottest(recorded: &Recorded, n: usize) -> Vec<Hot> {
    let runs = || recorded.threads.iter().flat_map(|thread| &thread.runs);
    let options = Options { on_cpu: runs().any(|run| run.state.is_on_cpu()), ..Options::default() };
    let mut found: Vec<Hot> = by_function(recorded, runs().filter(|run| options.takes(run)));
    found.sort_by(|one, other| {
        let by_ticks = (other.self_ticks, other.total_ticks).cmp(&(one.self_ticks, one.total_ticks));
        by_ticks.then_with(|| (&one.function, &one.module).cmp(&(&other.function, &other.module)))
    });
    found.truncate(n);
    found
}

fn by_function<'r>(recorded: &Recorded, runs: impl Iterator<Item = &'r RecordedRun>) -> Vec<Hot> {
    let mut ticks: BTreeMap<usize, u64> = BTreeMap::new();
    for run in runs {
        *ticks.entry(run.stack).or_default() += run.ticks;
    }
    let mut found: HashMap<Function, (u64, u64)> = HashMap::new();
    for (stack, ticks) in ticks {
        // A recursive function is on the stack once.
        let mut seen = HashSet::new();
        for (depth, (frame, location)) in recorded.frames(stack).enumerate() {
            let key = (show(recorded, frame, location).name.into_owned(), frame.module.clone());
            let (own, total) = found.entry(key.clone()).or_default();
            *own += if depth == 0 { ticks } else { 0 };
            *total += if seen.insert(key) { ticks } else { 0 };
        }
    }
    let hot = |((function, module), (self_ticks, total_ticks))| Hot { function, module, self_ticks, total_ticks };
    found.into_iter().map(hot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::recorded;

    /// Check the order, and that a recursive function counts once.
    #[test]
    fn list() {
        let rows = hottest(&recorded(), 9);
        let text = |hot: &Hot| {
            let module = hot.module.as_deref().unwrap_or("-");
            format!("{:>3} {:>3} {} {module}", hot.self_ticks, hot.total_ticks, hot.function)
        };
        insta::assert_snapshot!(rows.iter().map(text).collect::<Vec<_>>().join("\n"), @r#"
        3   3 compare sorter
        1   4 sort(int*; int*) sorter
        0   4 main sorter
        0   3 merge sorter
        "#);
        assert_eq!(hottest(&recorded(), 1).len(), 1);
    }
}

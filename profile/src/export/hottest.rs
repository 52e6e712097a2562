//! The functions in which most samples were: the list at the end of a run.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use crate::export::{Recorded, recorded::name};

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

/// More distinct functions than these are not told apart: thousands of programs have as many.
const FUNCTIONS_MAX: usize = 200_000;

/// Samples, of those on a CPU and of all.
#[derive(Clone, Copy, Default, Debug)]
struct Ticks {
    on_cpu: u64,
    all: u64,
}

/// The functions of any number of recordings, which need not be kept.
#[derive(Default, Debug)]
pub struct Hottest {
    /// Samples in which each was the leaf, and in which it was anywhere on the stack.
    functions: HashMap<Function, (Ticks, Ticks)>,
    samples: Ticks,
}

impl Hottest {
    /// Adds a recording's.
    pub fn add(&mut self, recorded: &Recorded) {
        let mut stacks: BTreeMap<usize, Ticks> = BTreeMap::new();
        for run in recorded.threads.iter().flat_map(|thread| &thread.runs) {
            let ticks = Ticks { on_cpu: if run.state.is_on_cpu() { run.ticks } else { 0 }, all: run.ticks };
            stacks.entry(run.stack).or_default().add(ticks);
            self.samples.add(ticks);
        }
        for (stack, ticks) in stacks {
            self.add_stack(recorded, stack, ticks);
        }
    }

    fn add_stack(&mut self, recorded: &Recorded, stack: usize, ticks: Ticks) {
        // A recursive function is on the stack once.
        let mut seen = HashSet::new();
        for (depth, (frame, location)) in recorded.frames(stack).enumerate() {
            let mut key = (name(recorded, frame, location).to_string(), frame.module.clone());
            if self.functions.len() >= FUNCTIONS_MAX && !self.functions.contains_key(&key) {
                key = ("[other functions]".to_owned(), None);
            }
            let (own, total) = self.functions.entry(key.clone()).or_default();
            own.add(if depth == 0 { ticks } else { Ticks::default() });
            total.add(if seen.insert(key) { ticks } else { Ticks::default() });
        }
    }

    /// The `n` functions with the most samples of their own, of those on a CPU; of all if nothing ever ran.
    pub fn top(&self, n: usize) -> Vec<Hot> {
        let count = |ticks: Ticks| if self.samples.on_cpu > 0 { ticks.on_cpu } else { ticks.all };
        let hot = |((function, module), (own, total)): (&Function, &(Ticks, Ticks))| Hot {
            function: function.clone(),
            module: module.clone(),
            self_ticks: count(*own),
            total_ticks: count(*total),
        };
        let mut found: Vec<Hot> = self.functions.iter().map(hot).filter(|hot| hot.total_ticks > 0).collect();
        found.sort_by(|one, other| {
            let by_ticks = (other.self_ticks, other.total_ticks).cmp(&(one.self_ticks, one.total_ticks));
            by_ticks.then_with(|| (&one.function, &one.module).cmp(&(&other.function, &other.module)))
        });
        found.truncate(n);
        found
    }

    /// How many samples were on a CPU.
    pub fn on_cpu(&self) -> u64 {
        self.samples.on_cpu
    }

    /// How many samples [`Self::top`] counts: those on a CPU, or all if nothing ever ran.
    pub fn counted(&self) -> u64 {
        if self.samples.on_cpu > 0 { self.samples.on_cpu } else { self.samples.all }
    }
}

impl Ticks {
    fn add(&mut self, more: Self) {
        self.on_cpu = self.on_cpu.saturating_add(more.on_cpu);
        self.all = self.all.saturating_add(more.all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::recorded;

    /// Check the order, that a recursive function counts once, and that recordings add up.
    #[test]
    fn list() {
        let mut hottest = Hottest::default();
        hottest.add(&recorded());
        let rows = hottest.top(9);
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
        assert_eq!(hottest.on_cpu(), 4);
        hottest.add(&recorded());
        assert_eq!(text(&hottest.top(1)[0]), "  6   6 compare sorter");
        assert_eq!(hottest.counted(), 8);
    }
}

//! Two selections side by side, with the error that sampling makes.
//!
//! Of a selection with `n` ticks, a function on `x` of them has the share `p = x / n`. By Agresti and Caffo ("Simple and
//! effective confidence intervals for proportions and differences of proportions result from adding two successes and two
//! failures", The American Statistician 54:4, 2000) the 95 % interval of a difference of two shares has half the width
//!
//! ```text
//! 1.96 * sqrt(p1 (1 - p1) / (n1 + 2) + p2 (1 - p2) / (n2 + 2)),  p = (x + 1) / (n + 2)
//! ```
//!
//! which holds for few samples and for shares of 0, too. Ticks are time times rate: samples would be too few where unchanged
//! stacks are sent as runs. It takes ticks as independent of each other. Those of one long call are not, so that what is
//! within the error is noise for sure, and what is a little beyond it may be.

use std::cmp::Reverse;

use super::{
    Difference, DifferenceNode, DifferenceRow, Share,
    forest::{Forest, Sum},
    grow::{by_function, ranks},
};
use crate::{
    encoding::branches::Branches,
    tree::{Node, Weight},
};

/// 95 % of a normal distribution lie within so many standard deviations.
const Z_95: f64 = 1.96;

/// A selection's time without idle threads, and its ticks.
#[derive(Clone, Copy)]
struct Whole {
    us: f64,
    ticks: f64,
}

/// Compares two selections; `a` is before.
pub(super) fn difference(a: &Forest, b: &Forest, lines: bool) -> Difference {
    let mut joint = Forest::new(lines);
    let (map_a, map_b) = (joint.map(a.symbols(), ""), joint.map(b.symbols(), ""));
    let of = |map: &[u32], forest: &Forest| {
        let mut own = vec![Sum::default(); joint.nodes().len() + 1];
        for (node, sum) in map.iter().zip(&forest.weights) {
            if let Some(place) = own.get_mut(*node as usize) {
                place.add(*sum);
            }
        }
        own
    };
    let (own_a, own_b) = (of(&map_a, a), of(&map_b, b));
    joint.weights.clone_from(&own_a);
    let (totals_a, functions_a) = (joint.totals(), by_function(&joint));
    joint.weights.clone_from(&own_b);
    let (totals_b, functions_b) = (joint.totals(), by_function(&joint));
    let first = |sums: &[Sum]| sums.first().copied().unwrap_or_default();
    let (all_a, all_b) = (first(&totals_a), first(&totals_b));
    let shares = Shares { a: whole(all_a), b: whole(all_b) };

    let names = joint.functions();
    let rows = names.iter().zip(functions_a.iter().zip(&functions_b));
    let mut functions: Vec<DifferenceRow> = rows
        .filter(|(_, (a, b))| (a.1.weight, b.1.weight) != (Weight::default(), Weight::default()))
        .map(|(function, (a, b))| DifferenceRow {
            function: function.clone(),
            own: shares.of(a.0, b.0),
            total: shares.of(a.1, b.1),
        })
        .collect();
    functions.sort_by(|a, b| {
        let size = |row: &DifferenceRow| row.own.difference.abs();
        size(b).total_cmp(&size(a)).then_with(|| a.function.name.cmp(&b.function.name))
    });

    let ranks = ranks(&names);
    let nodes = joint.nodes();
    let at = |sums: &[Sum], id: u32| sums.get(id as usize).copied().unwrap_or_default();
    let frame = |id: u32| nodes.get((id as usize).saturating_sub(1)).map_or(0, |node| node.frame);
    let key = |id: u32| {
        let total = shares.of(at(&totals_a, id), at(&totals_b, id));
        // Numbers that are not negative have the order of their bits.
        (Reverse((total.a + total.b).to_bits()), ranks.get(frame(id) as usize).copied())
    };
    let branches = Branches::of(nodes, key);
    let mut tree = Vec::new();
    let enter = |id: u32, depth: u32| {
        let (mut total, other) = (at(&totals_a, id), at(&totals_b, id));
        let of_total = shares.of(total, other);
        total.add(other);
        if total.weight == Weight::default() {
            return false;
        }
        let (mut own, other) = (at(&own_a, id), at(&own_b, id));
        let of_own = shares.of(own, other);
        own.add(other);
        let node = Node { function: frame(id), depth, total: total.weight, own: own.weight };
        tree.push(DifferenceNode { node, total: of_total, own: of_own });
        true
    };
    branches.walk(enter, |_| ());
    Difference {
        a: all_a.weight,
        b: all_b.weight,
        ticks_a: all_a.ticks,
        ticks_b: all_b.ticks,
        functions,
        tree_functions: names,
        nodes: tree,
    }
}

fn whole(sum: Sum) -> Whole {
    Whole { us: sum.weight.us as f64, ticks: sum.ticks }
}

struct Shares {
    a: Whole,
    b: Whole,
}

impl Shares {
    fn of(&self, a: Sum, b: Sum) -> Share {
        let part = |us: u64, whole: Whole| if whole.us > 0.0 { us as f64 / whole.us } else { 0.0 };
        let (share_a, share_b) = (part(a.weight.us, self.a), part(b.weight.us, self.b));
        Share {
            a_us: a.weight.us,
            b_us: b.weight.us,
            a: share_a,
            b: share_b,
            difference: share_b - share_a,
            error_95: Z_95 * (variance(share_a, self.a.ticks) + variance(share_b, self.b.ticks)).sqrt(),
        }
    }
}

fn variance(share: f64, ticks: f64) -> f64 {
    let n = ticks.max(0.0) + 2.0;
    let p = (share * ticks.max(0.0) + 1.0) / n;
    p * (1.0 - p) / n
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    /// Check the error against values worked out by hand (57/72 and 49/82: 1.96 * sqrt(0.002290 + 0.002933)), a share of 0,
    /// and no ticks at all.
    #[test]
    fn error() {
        let of = |x: u64, n: u64, y: u64, m: u64| {
            let sum = |us: u64| Sum { weight: Weight { us, samples: 0 }, ticks: us as f64 };
            let share = Shares { a: whole(sum(n)), b: whole(sum(m)) }.of(sum(x), sum(y));
            format!("{:+.4} +- {:.4}", share.difference, share.error_95)
        };
        assert_snapshot!([of(56, 70, 48, 80), of(0, 1000, 0, 1000), of(0, 0, 0, 0)].join("\n"), @r#"
        -0.2000 +- 0.1417
        +0.0000 +- 0.0028
        +0.0000 +- 0.9800
        "#);
    }
}

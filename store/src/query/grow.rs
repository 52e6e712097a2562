//! A tree out of merged stacks: largest children first, the right way up or upside down; and functions, recursion counted
//! once.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::{
    answer::FunctionRow,
    forest::{Forest, Sum},
};
use crate::{
    encoding::{branches::Branches, symbols::Node},
    tree::{self, Function, Shape, Tree},
};

/// The merged stacks as a tree.
pub(super) fn shaped(forest: &Forest, shape: Shape) -> Tree {
    if shape.inverted { inverted(forest) } else { upright(forest) }
}

/// Without what took no time and no sample.
fn upright(forest: &Forest) -> Tree {
    let totals = forest.totals();
    build(forest, forest.nodes(), &totals, &forest.weights)
}

/// The tree upside down: its roots are the functions that took the time themselves, below them who called them.
fn inverted(forest: &Forest) -> Tree {
    let mut nodes: Vec<Node> = Vec::new();
    let mut totals = vec![Sum::default()];
    let mut own = vec![Sum::default()];
    let mut known = FxHashMap::<(u32, u32), u32>::default();
    let all = forest.nodes();
    for (id, sum) in (0_u32..).zip(&forest.weights).skip(1).filter(|(_, sum)| **sum != Sum::default()) {
        let (mut at, mut below) = (id, 0);
        while let Some(node) = (at as usize).checked_sub(1).and_then(|at| all.get(at)) {
            below = *known.entry((below, node.frame)).or_insert_with(|| {
                nodes.push(Node { parent: below, frame: node.frame });
                totals.push(Sum::default());
                own.push(Sum::default());
                u32::try_from(nodes.len()).unwrap_or(u32::MAX)
            });
            if let Some(total) = totals.get_mut(below as usize) {
                total.add(*sum);
            }
            at = node.parent;
        }
        if let Some(end) = own.get_mut(below as usize) {
            end.add(*sum);
        }
    }
    if let (Some(all), Some(real)) = (totals.first_mut(), forest.totals().first()) {
        *all = *real;
    }
    build(forest, &nodes, &totals, &own)
}

fn build(forest: &Forest, nodes: &[Node], totals: &[Sum], own: &[Sum]) -> Tree {
    let functions = forest.functions();
    let ranks = ranks(&functions);
    let sum = |sums: &[Sum], node: u32| sums.get(node as usize).copied().unwrap_or_default();
    let mut numbers = vec![None; functions.len()];
    let mut tree = Tree {
        total: sum(totals, 0).weight,
        idle: forest.idle().weight,
        nodes: Vec::with_capacity(nodes.len()),
        functions: Vec::new(),
        states: Vec::new(),
    };
    let enter = |id: u32, depth: u32| {
        let total = sum(totals, id).weight;
        let frame = nodes.get((id as usize).saturating_sub(1)).map_or(0, |node| node.frame as usize);
        let (Some(number), true) = (numbers.get_mut(frame), total != tree::Weight::default()) else { return false };
        let function = *number.get_or_insert_with(|| {
            tree.functions.extend(functions.get(frame).cloned());
            u32::try_from(tree.functions.len() - 1).unwrap_or(u32::MAX)
        });
        tree.nodes.push(tree::Node { function, depth, total, own: sum(own, id).weight });
        if let Some(states) = &forest.states {
            tree.states.push(states.get(id as usize).copied().unwrap_or_default());
        }
        true
    };
    let key = |id: u32| {
        let frame = nodes.get((id as usize).saturating_sub(1)).map_or(0, |node| node.frame as usize);
        (Reverse(sum(totals, id).weight.us), ranks.get(frame).copied())
    };
    Branches::of(nodes, key).walk(enter, |_| ());
    tree
}

/// Each function's place in the alphabet: siblings that took the same time stand in an order that does not change from one
/// answer to the next.
pub(super) fn ranks(functions: &[Function]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..functions.len()).collect();
    order.sort_by_key(|at| functions.get(*at).map(|f| (&f.name, &f.module, &f.package, &f.path, &f.file, f.line)));
    let mut ranks = vec![0; functions.len()];
    for (rank, at) in (0_u32..).zip(order) {
        if let Some(place) = ranks.get_mut(at) {
            *place = rank;
        }
    }
    ranks
}

/// The time of each function by its frame's index: own, and total with recursion counted once.
pub(super) fn by_function(forest: &Forest) -> Vec<(Sum, Sum)> {
    let totals = forest.totals();
    let nodes = forest.nodes();
    let mut sums = vec![(Sum::default(), Sum::default()); forest.symbols().frames.len()];
    // How often each function is on the way from the root to here.
    let on_stack = std::cell::RefCell::new(vec![0_u32; sums.len()]);
    let frame = |id: u32| nodes.get((id as usize).saturating_sub(1)).map_or(0, |node| node.frame as usize);
    let enter = |id: u32, _| {
        let frame = frame(id);
        if let (Some((own, total)), Some(above)) = (sums.get_mut(frame), on_stack.borrow_mut().get_mut(frame)) {
            own.add(forest.weights.get(id as usize).copied().unwrap_or_default());
            if *above == 0 {
                total.add(totals.get(id as usize).copied().unwrap_or_default());
            }
            *above += 1;
        }
        true
    };
    let leave = |id: u32| {
        if let Some(above) = on_stack.borrow_mut().get_mut(frame(id)) {
            *above -= 1;
        }
    };
    Branches::of(nodes, |_| ()).walk(enter, leave);
    sums
}

/// The table of functions, the largest own time first.
pub(super) fn functions(forest: &Forest) -> Vec<FunctionRow> {
    let row = |(function, (own, total)): (_, (Sum, Sum))| FunctionRow {
        function,
        own: own.weight,
        total: total.weight,
        frequency: total.ticks,
    };
    let mut rows: Vec<FunctionRow> = forest.functions().into_iter().zip(by_function(forest)).map(row).collect();
    rows.retain(|row| row.total != tree::Weight::default());
    rows.sort_by(|a, b| {
        let key = |row: &FunctionRow| (row.own.us, row.total.us);
        key(b).cmp(&key(a)).then_with(|| a.function.name.cmp(&b.function.name))
    });
    rows
}

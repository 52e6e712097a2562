//! What each function took in an hour of a session: rows for those who look at the database with other tools.

use std::cell::RefCell;

use clickhouse::Row;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    encoding::{
        Aggregate, Symbols,
        branches::Branches,
        symbols::{Frame, TextRef},
    },
    tree::Weight,
};

/// A row of `functions`.
#[derive(Row, Serialize, Deserialize)]
pub(super) struct FunctionRow {
    pub(super) project_id: u64,
    pub(super) hour: u32,
    pub(super) function: String,
    pub(super) module: String,
    pub(super) package: String,
    pub(super) file: String,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) profiler_id: Uuid,
    pub(super) of_group: u64,
    pub(super) platform: String,
    pub(super) environment: Option<String>,
    pub(super) release: Option<String>,
    pub(super) own_us: u64,
    pub(super) total_us: u64,
    pub(super) samples: u64,
    pub(super) retention_days: u16,
}

/// Its names; empty where there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) module: String,
    pub(super) package: String,
    pub(super) file: String,
}

/// Its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Times {
    pub(super) own_us: u64,
    pub(super) total_us: u64,
    pub(super) samples: u64,
}

/// What makes it one function: its four names, and without a name of its own its address.
type Key = ([TextRef; 4], u64);

/// Each function once, with its time. In recursion it counts once. As fast for deep stacks as for flat ones: each node is
/// looked at once, whatever rows there are.
pub(super) fn rows(symbols: &Symbols, aggregate: &Aggregate) -> Vec<(Name, Times)> {
    let (of_frame, mut functions) = distinct(symbols);
    let own = own(symbols, aggregate);
    let totals = totals(symbols, own.clone());
    let sum = |sums: &[Weight], node: u32| sums.get(node as usize).copied().unwrap_or_default();
    let function = |node: u32| {
        let frame = symbols.node(node).map_or(usize::MAX, |node| node.frame as usize);
        of_frame.get(frame).map_or(usize::MAX, |function| *function as usize)
    };
    // How often each function is on the way from the root to here.
    let on_stack = RefCell::new(vec![0_u32; functions.len()]);
    let enter = |node: u32, _| {
        let function = function(node);
        if let (Some((_, times)), Some(above)) = (functions.get_mut(function), on_stack.borrow_mut().get_mut(function))
        {
            times.own_us = times.own_us.saturating_add(sum(&own, node).us);
            if *above == 0 {
                let total = sum(&totals, node);
                times.total_us = times.total_us.saturating_add(total.us);
                times.samples = times.samples.saturating_add(total.samples);
            }
            *above += 1;
        }
        true
    };
    let leave = |node: u32| {
        if let Some(above) = on_stack.borrow_mut().get_mut(function(node)) {
            *above -= 1;
        }
    };
    Branches::of(&symbols.nodes, |_| ()).walk(enter, leave);
    functions
}

/// By node: of all threads and states. The empty stack is 0.
fn own(symbols: &Symbols, aggregate: &Aggregate) -> Vec<Weight> {
    let mut sums = vec![Weight::default(); symbols.nodes.len() + 1];
    for row in &aggregate.rows {
        if let Some(sum) = sums.get_mut(row.node as usize) {
            sum.add(Weight { us: row.us, samples: row.samples });
        }
    }
    sums
}

/// With those of all nodes below, from the leaves up: a node is behind its parent.
fn totals(symbols: &Symbols, mut sums: Vec<Weight>) -> Vec<Weight> {
    for (at, node) in symbols.nodes.iter().enumerate().rev() {
        let below = sums.get(at + 1).copied().unwrap_or_default();
        if let Some(sum) = sums.get_mut(node.parent as usize) {
            sum.add(below);
        }
    }
    sums
}

/// Which function each frame is of, and the functions.
fn distinct(symbols: &Symbols) -> (Vec<u32>, Vec<(Name, Times)>) {
    let mut known: FxHashMap<Key, u32> = FxHashMap::default();
    let mut functions = Vec::new();
    let of_frame = symbols.frames.iter().map(|frame| {
        *known.entry(key(frame, symbols)).or_insert_with(|| {
            functions.push((name(frame, symbols), Times::default()));
            u32::try_from(functions.len() - 1).unwrap_or(u32::MAX)
        })
    });
    (of_frame.collect(), functions)
}

fn key(frame: &Frame, symbols: &Symbols) -> Key {
    let address = if is_named(frame, symbols) { 0 } else { frame.address };
    ([frame.function(), frame.module(), frame.package(), frame.file()], address)
}

fn is_named(frame: &Frame, symbols: &Symbols) -> bool {
    symbols.texts.get(frame.function()).is_some_and(|name| !name.is_empty())
}

fn name(frame: &Frame, symbols: &Symbols) -> Name {
    let text = |reference| symbols.texts.get(reference).unwrap_or_default().to_owned();
    let name = match is_named(frame, symbols) {
        true => text(frame.function()),
        false if frame.has_address => format!("{:#x}", frame.address),
        false => String::new(),
    };
    Name { name, module: text(frame.module()), package: text(frame.package()), file: text(frame.file()) }
}

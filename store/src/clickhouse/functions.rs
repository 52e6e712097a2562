//! What each function took in an hour of a session: rows for those who look at the database with other tools.

use clickhouse::Row;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::encoding::{
    Aggregate, Symbols,
    symbols::{Frame, TextRef},
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

/// Each function once, with its time. In recursion it counts once.
pub(super) fn rows(symbols: &Symbols, aggregate: &Aggregate) -> Vec<(Name, Times)> {
    let (of_frame, mut functions) = distinct(symbols);
    // For each function the last row of sums that has counted for it.
    let mut counted = vec![usize::MAX; functions.len()];
    for (at, row) in aggregate.rows.iter().enumerate() {
        let mut node = row.node;
        let mut is_leaf = true;
        while let Some(found) = symbols.node(node) {
            let function = of_frame.get(found.frame as usize).map_or(usize::MAX, |function| *function as usize);
            if let (Some((_, times)), Some(last)) = (functions.get_mut(function), counted.get_mut(function)) {
                if is_leaf {
                    times.own_us = times.own_us.saturating_add(row.us);
                }
                if *last != at {
                    *last = at;
                    times.total_us = times.total_us.saturating_add(row.us);
                    times.samples = times.samples.saturating_add(row.samples);
                }
            }
            is_leaf = false;
            node = found.parent;
        }
    }
    functions
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

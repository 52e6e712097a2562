//! Threads and their time.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::{answer::ThreadRow, read::Sink};
use crate::{
    chunk_store::Part,
    encoding::{Symbols, aggregate::Row},
    tree::Weight,
};

/// Collects threads.
#[derive(Debug, Default)]
pub(super) struct Threads {
    rows: FxHashMap<(Uuid, String), (u64, ThreadRow)>,
}

impl Threads {
    /// Those with most samples first.
    pub(super) fn rows(self) -> Vec<ThreadRow> {
        let mut rows: Vec<ThreadRow> = self.rows.into_values().map(|(_, row)| row).collect();
        rows.sort_by(|a, b| {
            let samples = b.weight.samples.cmp(&a.weight.samples);
            samples.then_with(|| (a.profiler_id, &a.id).cmp(&(b.profiler_id, &b.id)))
        });
        rows
    }

    /// Of two names the later stands.
    fn add(&mut self, named_us: u64, name: Option<&str>, row: ThreadRow) {
        let key = (row.profiler_id, row.id.clone());
        let (known_us, known) = self.rows.entry(key).or_insert_with(|| {
            let empty = ThreadRow { weight: Weight::default(), idle_us: 0, states_us: BTreeMap::new(), ..row.clone() };
            (0, empty)
        });
        known.weight.add(row.weight);
        known.idle_us = known.idle_us.saturating_add(row.idle_us);
        for (class, us) in row.states_us {
            let sum = known.states_us.entry(class).or_default();
            *sum = sum.saturating_add(us);
        }
        if let Some(name) = name.filter(|_| named_us >= *known_us) {
            known.name = Some(name.to_owned());
            *known_us = named_us;
        }
    }
}

impl Sink for Threads {
    fn take(&mut self, part: &Part, symbols: &Symbols, rows: &[Row]) {
        for rows in rows.chunk_by(|a, b| a.thread == b.thread) {
            let Some(thread) = rows.first().and_then(|row| symbols.threads.get(row.thread as usize)) else { continue };
            let name = symbols.texts.get(thread.name);
            let mut sum = ThreadRow {
                profiler_id: part.profiler_id,
                id: symbols.texts.get(thread.id).unwrap_or_default().to_owned(),
                name: name.map(str::to_owned),
                weight: Weight::default(),
                idle_us: 0,
                states_us: BTreeMap::new(),
            };
            for row in rows {
                sum.weight.add(Weight { us: row.us, samples: row.samples });
                sum.idle_us += if row.node == 0 { row.us } else { 0 };
                let class = sum.states_us.entry(row.class).or_default();
                *class = class.saturating_add(row.us);
            }
            self.add(part.end_us, name, sum);
        }
    }

    fn join(&mut self, other: Self) {
        for (named_us, row) in other.rows.into_values() {
            let name = row.name.clone();
            self.add(named_us, name.as_deref(), row);
        }
    }
}

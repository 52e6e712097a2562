//! The section of sums: for each thread, state class and stack the time and the samples. All that a flame graph of a whole
//! profile needs besides the names.

use super::bytes::{Broken, Reader, Writer, unpack};
use crate::item::StateClass;

/// More rows are refused: memory for what is 768 MiB of a hostile file, and far more than any chunk has.
const ROWS_MAX: usize = 16 << 20;

/// Sums of a profile, or of many.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Aggregate {
    /// By thread, class and node.
    pub rows: Vec<Row>,
}

/// Time of a thread in one stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Index into the threads.
    pub thread: u32,
    /// What it did.
    pub class: StateClass,
    /// Node of its leaf; 0: no stack.
    pub node: u32,
    /// Microseconds.
    pub us: u64,
    /// Samples that were not their thread's last.
    pub samples: u64,
}

impl Aggregate {
    /// The section; `None`: too large to be kept.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::default();
        let rows = &self.rows;
        writer.number(rows.len() as u64);
        // Rows of a thread and class stand together: both columns pack to nothing.
        writer.column(rows.iter().map(|row| u64::from(row.thread)));
        writer.column(rows.iter().map(|row| row.class as u64));
        writer.column(rows.iter().map(|row| u64::from(row.node)));
        writer.column(rows.iter().map(|row| row.us));
        writer.column(rows.iter().map(|row| row.samples));
        writer.pack()
    }

    /// Reads the section that belongs to symbols with so many threads and nodes.
    pub fn decode(section: &[u8], threads: usize, nodes: usize) -> Result<Self, Broken> {
        let bytes = unpack(section)?;
        let mut reader = Reader::new(&bytes);
        let count = reader.count(ROWS_MAX, "rows")?;
        let thread = reader.column32(count)?;
        let class = reader.column32(count)?;
        let node = reader.column32(count)?;
        let us = reader.column(count)?;
        let samples = reader.column(count)?;
        reader.end()?;
        let mut rows = Vec::with_capacity(count);
        for ((((thread, class), node), us), samples) in thread.into_iter().zip(class).zip(node).zip(us).zip(samples) {
            if thread as usize >= threads {
                return Err(Broken::Reference("a thread"));
            }
            if node as usize > nodes {
                return Err(Broken::Reference("a stack"));
            }
            let class = StateClass::from_number(class).ok_or(Broken::Reference("a state"))?;
            rows.push(Row { thread, class, node, us, samples });
        }
        Ok(Self { rows })
    }
}

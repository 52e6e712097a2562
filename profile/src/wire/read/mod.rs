//! Bytes of an item to what a receiver keeps: profiles of both formats, transactions, spans. Follows Relay in what is
//! refused, in which order, and under which name; takes less where Relay counts bytes only (`limits`). Never panics, never
//! takes memory without bound, whatever the bytes. Which item is which is the envelope's business.

mod chunk;
mod frames;
mod lift;
mod measurements;
mod own;
mod profile_v1;
mod samples;
mod spans;
mod text;
mod threads;
mod time;
mod transaction;

pub use chunk::chunk;
pub(super) use chunk::{Note, chunk_noting};
pub use profile_v1::profile;
pub use spans::spans;
pub use transaction::{Event, transaction};

use crate::received::{Received, Span, Transaction};

/// A profile that was taken.
#[derive(Clone, PartialEq, Debug)]
pub struct Taken {
    /// It.
    pub received: Received,
    /// Threads that had too few samples and were left out, as Relay leaves them out.
    pub threads_dropped: usize,
}

/// Spans that were taken.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Spans {
    /// Those that are one.
    pub spans: Vec<Span>,
    /// For each span that begins a segment: what stands for the transaction.
    pub transactions: Vec<Transaction>,
    /// Those that lacked an id or a time, and were left out.
    pub spans_dropped: usize,
}

#[cfg(test)]
mod tests;

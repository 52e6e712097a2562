//! A profile as four sections of bytes, and back. No files, and no sums over several profiles.
//!
//! | section | what | read for |
//! |---|---|---|
//! | symbols | texts, frames, stacks as a trie, threads, states | everything |
//! | aggregate | thread, state class, stack: microseconds, samples | flame graphs of whole profiles |
//! | timeline | for each thread times, stacks, states | windows that cut a profile, flame charts |
//! | measurements | `cpu_usage` ... | charts beside them |
//!
//! The layout of each is `encode`'s of its module; numbers, columns and packing are `bytes`'. Reading checks everything: a
//! file may be anybody's.

pub mod aggregate;
pub(crate) mod branches;
pub mod bytes;
pub mod measurements;
pub mod merge;
mod plain;
pub mod symbols;
#[cfg(test)]
mod tests;
pub mod timeline;

use profile::received::{Head, Received};

pub use self::{
    aggregate::Aggregate,
    bytes::Broken,
    plain::{Plain, Stay, intervals},
    symbols::Symbols,
    timeline::Timeline,
};
use crate::chunk_store::Sections;

/// The sections of a profile; `None`: larger than any that is kept.
pub fn encode(received: &Received) -> Option<Sections> {
    Plain::of(received).encode()
}

/// The profile again. Stacks that no sample has are gone, and the others are in the order of their first sample.
pub fn decode(head: Head, sections: &Sections) -> Result<Received, Broken> {
    Plain::decode(sections)?.received(head)
}

//! The nouns of a profile: addresses, ids, modules, frames, stacks, samples, chunks; what goes over the wire
//! (`wire`) and into files (`export`). Never does I/O, never reads a clock.
#![forbid(unsafe_code)]

pub mod address;
pub mod counters;
pub mod feed;
pub mod frame;
pub mod id;
pub mod module;
pub mod stack;
pub mod thread;

//! The nouns of a profile: addresses, ids, modules, frames, stacks, samples, chunks; what goes over the wire
//! (`wire`) and into files (`export`). Never does I/O, never reads a clock.
#![forbid(unsafe_code)]

pub mod address;
pub mod board;
pub mod chunk;
pub mod code;
pub mod counters;
pub mod export;
pub mod feed;
pub mod frame;
pub mod id;
pub mod in_app;
pub mod machinery;
pub mod module;
pub mod naming;
mod python;
pub mod received;
pub mod record;
pub mod session;
pub mod stack;
mod stacks;
pub mod thread;
mod timeline;
pub mod wire;

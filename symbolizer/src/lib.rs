//! Names for addresses: ELF symbols, DWARF lines and inlined calls, debug files, demangling.
//!
//! It is given open files and bytes, and a way to open further files as the target sees them. It never looks into
//! /proc, never traces, never maps a file (a target may truncate its own under us) and holds no more than its
//! settings allow. It speaks to no network: who does so is handed in. Every byte it reads is taken for hostile.
#![forbid(unsafe_code)]

mod budget;
mod debugdata;
mod debugfile;
mod demangle;
mod dwarf;
mod elf;
mod functions;
pub mod fuzz;
mod image;
mod lines;
mod meter;
mod module;
mod names;
#[cfg(test)]
mod oracle;
mod path;
mod reader;
mod references;
mod section;
mod source;
mod split;
mod stored;
mod supplement;
mod symbolizer;
mod symbols;
mod unit;
mod units;

pub use budget::Budget;
pub use source::{Elf, Fetch, ModuleSource, TargetFiles, build_id_of};
pub use symbolizer::{ModuleKey, Settings, Symbolizer};

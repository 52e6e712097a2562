//! What the benches share: stacks captured from real programs, the rival unwinder, and CPU time as criterion's measure.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs, reason = "benches fail loudly")]

pub mod corpus;
pub mod cpu;
pub mod rival;

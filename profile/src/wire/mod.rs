//! What goes over the wire around and about a chunk: the envelope, and the rules by which Relay judges a payload.

mod check;
pub mod envelope;
#[doc(hidden)]
pub mod fuzz;

pub use check::{Refusal, check};

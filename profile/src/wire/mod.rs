//! What goes over the wire around and about a chunk: the envelope; what is read of the items of others, by Relay's rules.

mod check;
pub mod envelope;
#[doc(hidden)]
pub mod fuzz;
pub mod limits;
pub mod read;
mod refusal;
mod write;

pub use check::check;
pub use refusal::Refusal;
pub use write::write;

//! Receives envelopes as Sentry does, answers questions about what it keeps, and serves the page. Binds nothing itself: it is
//! given a listener. Knows a store only as [`store::ChunkStore`].
#![forbid(unsafe_code)]

pub mod api;
mod budget;
mod connections;
mod guard;
mod ingest;
mod listen;
pub mod page;
pub mod projects;
mod server;
mod settings;
pub mod shutdown;
#[doc(hidden)]
pub mod testing;

pub use ingest::{Counts, Tally};
pub use server::{Server, ServerError};
pub use settings::{Limits, Project, Settings};
pub use shutdown::{Shutdown, Trigger};

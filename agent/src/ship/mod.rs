//! Shipping: samples into a journal, chunks into a spool, the spool to a Sentry server. Samples nothing, builds no chunk.
//!
//! # How it goes together
//! ```text
//! pipeline --Event--> Journal      on disk within a second; one file a chunk
//!          --Chunk--> Shipper::submit_closing: Spool (fsync), then the journal's file is deleted
//!                     ship thread: Spool -> envelope -> gzip -> HTTP -> 2xx: away | 4xx: refused/ | else: again
//! ```
//! Whatever dies at whatever moment: every sample that reached the journal reaches the server at least once, and every chunk
//! that is sent twice has the same id and the same bytes.
//!
//! # Use
//! ```no_run
//! # use std::{path::Path, time::Duration};
//! # use agent::ship::{Journal, Shipper, ShipSettings, journal::recover};
//! # fn run(session: profile::session::SessionInfo, now_ns: u64, chunk: profile::chunk::Chunk, event: profile::feed::Event) -> anyhow::Result<()> {
//! # let state = Path::new("state");
//! let shipper = Shipper::start(ShipSettings::new("https://KEY@o1.ingest.us.sentry.io/42".parse()?, state.join("spool")))?;
//! for mut dead in recover(&state.join("journals"), shipper.spooled_journals())? {
//!     // ChunkBuilder::new(dead.header.session.clone(), dead.header.start_ns), apply each event, close at the last tick:
//!     for event in &mut dead {}
//!     shipper.submit_closing(&chunk, dead.close())?; // or dead.close().delete(), if there is no chunk in it
//! }
//! let mut journal = Journal::create(&state.join("journals"), &session, now_ns)?;
//! journal.append(&event)?; // each event, before ChunkBuilder::apply
//! let (closed, begun) = journal.rotate(now_ns); // with ChunkBuilder::close(now_ns, ..)
//! if let Some(closed) = closed { shipper.submit_closing(&chunk, closed)?; }
//! begun?; // there is no journal until the next rotation
//! if let Some(pause) = shipper.paused() { /* let the sampling rest until pause.until */ }
//! let status = shipper.drain(Duration::from_secs(10)); // at the stop
//! # Ok(()) }
//! ```
//! # Answers
//! | answer | the chunk | then |
//! |---|---|---|
//! | 2xx | leaves the spool | the next: at once as chunks come, up to 100 ms later where a backlog is sent |
//! | none, 5xx, 3xx | waits, is sent again with the same bytes | a random part of 1, 2, 4 ... 60 s; no end while the spool's bounds hold |
//! | 429 or `X-Sentry-Rate-Limits`, up to 5 min | waits | sent again when the limit ends |
//! | the same, longer | thrown away and counted, so are all others | [`Shipper::paused`] until the limit ends |
//! | other 4xx | moved to `refused/` with the answer | the next |
//!
//! The key is in the auth header and nowhere else: in no log (at any level), file, error or panic.

mod carried;
mod client;
mod dsn;
mod envelope;
pub(crate) mod files;
pub mod fuzz;
pub mod journal;
pub mod limits;
mod records;
pub mod report;
mod settings;
mod shipper;
pub mod spool;
mod worker;

pub use dsn::{Dsn, DsnError};
pub use journal::{Journal, JournalError, RecoveredSession, recover};
pub use report::Reason;
pub use settings::ShipSettings;
pub use shipper::{Pause, ShipError, Shipper, Status};
pub use spool::{Arrival, Bounds};

//! Profiles as files that other tools read, and as the short list that a person reads. Every format is written from one
//! noun, [`View`], whether it was recorded here or asked of a store. Writes to whatever it is given; opens no file.

pub mod collapsed;
pub mod firefox;
mod hottest;
pub mod pprof;
mod recorded;
pub mod speedscope;
#[cfg(test)]
mod testing;
mod view;

pub use hottest::{Hot, Hottest};
pub use view::{Clock, Counted, Entry, Mapping, Place, Run, Shown, Track, View};

pub use crate::record::{Recorded, Recording};

/// How a view is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// `collapsed`: say the source line of each frame, ` (file:line)`.
    pub lines: bool,
}

//! A recording as files that other tools read, and as the short list that a person reads. Writes to whatever it is
//! given; opens no file.

pub mod collapsed;
mod hottest;
pub mod pprof;
pub mod speedscope;
#[cfg(test)]
mod testing;

use std::borrow::Cow;

pub use hottest::{Hot, hottest};

pub use crate::record::{Recorded, Recording};
use crate::{
    frame::Frame,
    naming::{label, truncation_frame},
    record::{Location, RecordedRun},
};

/// What of a recording is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Only what ran: runs in which the thread was on a CPU.
    pub on_cpu: bool,
    /// `collapsed`: say the source line of each frame, ` (file:line)`.
    pub lines: bool,
}

impl Options {
    fn takes(self, run: &RecordedRun) -> bool {
        !self.on_cpu || run.state.is_on_cpu()
    }
}

/// A frame of a stack as an export shows it.
struct Shown<'r> {
    name: Cow<'r, str>,
    file: Option<&'r str>,
    line: Option<u32>,
}

/// The frames of a stack, root first. One that was cut starts with the frame that says why.
fn root_first(recorded: &Recorded, stack: usize) -> impl Iterator<Item = Shown<'_>> {
    let end = recorded.stacks.get(stack).and_then(|stack| truncation_frame(stack.end));
    let cut = end.and_then(|frame| frame.function).map(|name| Shown {
        name: Cow::Owned(name.to_string()),
        file: None,
        line: None,
    });
    cut.into_iter().chain(recorded.frames(stack).rev().map(|(frame, location)| show(recorded, frame, location)))
}

fn show<'r>(recorded: &'r Recorded, frame: &'r Frame, location: &'r Location) -> Shown<'r> {
    let module = location.raw.module.and_then(|index| recorded.modules.get(&index));
    Shown { name: label(frame, &location.raw, module), file: frame.filename.as_deref(), line: frame.line }
}

//! How large the payload is going to be, kept up to date in constant time a sample. An estimate: names are not known
//! yet.

use crate::stacks::{Slot, Stacks};

/// `{"timestamp":1790000000.123456,"stack_id":1234,"thread_id":"12345"},`
const SAMPLE: usize = 70;
/// `"12345":{"name":"worker-12"},` and the thread's states.
const THREAD: usize = 60;
/// An index in a stack.
const INDEX: usize = 6;
/// A named frame with its inlined ones; measured: 150 to 260 on C++ and Rust programs.
const FRAME: usize = 240;
/// The rest.
const BASE: usize = 2048;

/// Counts bytes, each distinct stack and frame once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Estimate {
    bytes: usize,
    stacks: Seen,
    frames: Seen,
}

impl Estimate {
    pub(crate) fn bytes(&self) -> usize {
        BASE.saturating_add(self.bytes)
    }

    pub(crate) fn thread(&mut self) {
        self.add(THREAD);
    }

    pub(crate) fn sample(&mut self) {
        self.add(SAMPLE);
    }

    /// A run begins: one sample, or the three of a blocked thread.
    pub(crate) fn run(&mut self, slot: Slot, stacks: &Stacks, blocked: bool) {
        self.add(if blocked { 3 * SAMPLE } else { SAMPLE });
        if !self.stacks.is_new(slot.0) {
            return;
        }
        let Some(stack) = stacks.get(slot) else { return };
        self.add(stack.frames.len().saturating_mul(INDEX));
        for frame in &stack.frames {
            if self.frames.is_new(frame.0) {
                self.add(FRAME);
            }
        }
    }

    fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Which places were seen. They are dense.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Vec<bool>);

impl Seen {
    /// Marks a place as seen; whether it was not before.
    pub(crate) fn is_new(&mut self, place: u32) -> bool {
        let place = place as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, false);
        }
        self.0.get_mut(place).is_some_and(|seen| !std::mem::replace(seen, true))
    }
}

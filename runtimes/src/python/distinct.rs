//! The distinct objects of a stack, such as its code objects: in recursion, few of many. Allocates once.

use std::hash::{BuildHasher as _, RandomState};

use profile::address::RemoteAddr;

use super::walk::{FRAMES_MAX, touched};

/// Twice as many as there can be addresses, so that a free one is near.
const SLOTS: usize = 2 * FRAMES_MAX;
/// A slot of no address.
const FREE: u16 = u16::MAX;
/// Slots that are tried for an address. Of a half full table one in 10^9 addresses needs more.
const TRIES_MAX: usize = 128;

/// Addresses in the order in which they came, and what is known of each once it is read.
#[derive(Debug)]
pub(super) struct Distinct<T> {
    /// An odd number that nobody knows: no target can choose addresses that crowd one place.
    spread: u64,
    slots: Box<[u16]>,
    items: Vec<(RemoteAddr, Option<T>)>,
}

impl<T: Copy + Default> Distinct<T> {
    pub(super) fn new() -> Self {
        let spread = RandomState::new().hash_one(SLOTS) | 1;
        Self { spread, slots: vec![FREE; SLOTS].into_boxed_slice(), items: touched(FRAMES_MAX) }
    }

    pub(super) fn clear(&mut self) {
        self.slots.fill(FREE);
        self.items.clear();
    }

    /// Those that came, each once.
    pub(super) fn items_mut(&mut self) -> &mut [(RemoteAddr, Option<T>)] {
        &mut self.items
    }

    /// Adds an address if it is new; of at most [`FRAMES_MAX`].
    pub(super) fn add(&mut self, at: RemoteAddr) {
        let Some(slot) = self.slot_of(at) else { return };
        let next = u16::try_from(self.items.len()).unwrap_or(FREE);
        if let Some(slot) = self.slots.get_mut(slot)
            && *slot == FREE
            && self.items.len() < FRAMES_MAX
        {
            *slot = next;
            self.items.push((at, None));
        }
    }

    /// What is known of an address.
    pub(super) fn get(&self, at: RemoteAddr) -> Option<T> {
        let item = *self.slots.get(self.slot_of(at)?)?;
        self.items.get(usize::from(item))?.1
    }

    /// The slot that an address has, or would have.
    fn slot_of(&self, at: RemoteAddr) -> Option<usize> {
        let start = usize::try_from(at.0.wrapping_mul(self.spread) >> (u64::BITS - SLOTS.ilog2())).unwrap_or(0);
        (0..TRIES_MAX).map(|further| (start + further) % SLOTS).find(|slot| {
            let item = self.slots.get(*slot).copied().unwrap_or(FREE);
            item == FREE || self.items.get(usize::from(item)).is_some_and(|(other, _)| *other == at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that each address is there once, however many there are, and keeps its own key.
    #[test]
    fn full() {
        let mut distinct = Distinct::new();
        for _ in 0..2 {
            distinct.clear();
            let addresses = || (0..FRAMES_MAX as u64).map(|index| RemoteAddr(index * 0x1_0000));
            addresses().chain(addresses()).for_each(|at| distinct.add(at));
            assert_eq!(distinct.items_mut().len(), FRAMES_MAX);
            distinct.items_mut().iter_mut().for_each(|(at, known)| *known = Some(at.0));
            assert!(addresses().all(|at| distinct.get(at) == Some(at.0)));
            assert_eq!(distinct.get(RemoteAddr(1)), None);
        }
    }
}

//! The raw stacks of a session, each frame held once. Stacks are never named here.

use std::collections::{BTreeMap, HashMap};

use crate::{
    code::{Code, CodeIndex, Language},
    feed::StackId,
    module::{Module, ModuleIndex},
    stack::{RawFrame, RawStack, StackEnd},
};

/// A stack in [`Stacks`]. Unlike a [`StackId`], which a feed may define anew, it stands for one stack only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Slot(pub(crate) u32);

/// A raw frame in [`Stacks`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FrameSlot(pub(crate) u32);

/// A stack of frames that are held elsewhere, leaf first.
#[derive(Clone, Debug)]
pub(crate) struct Interned {
    pub(crate) frames: Box<[FrameSlot]>,
    pub(crate) end: StackEnd,
}

/// Garbage below this many stacks is not worth a pass.
const GARBAGE_MIN: usize = 4096;

/// Stacks, frames and modules of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stacks {
    slots: HashMap<StackId, Slot>,
    interned: Vec<Interned>,
    frames: Vec<RawFrame>,
    frame_slots: HashMap<RawFrame, FrameSlot>,
    modules: BTreeMap<ModuleIndex, Module>,
    codes: BTreeMap<CodeIndex, Code>,
}

impl Stacks {
    pub(crate) fn define_module(&mut self, index: ModuleIndex, module: &Module) {
        self.modules.insert(index, module.clone());
    }

    pub(crate) fn define_code(&mut self, index: CodeIndex, code: &Code) {
        self.codes.insert(index, code.clone());
    }

    /// Takes a stack. An id that is defined anew stands for the new stack from here on: so the feed may reuse ids, and
    /// neither side grows for ever.
    pub(crate) fn define(&mut self, id: StackId, stack: &RawStack) {
        let frames = stack.frames.iter().map(|frame| self.frame_slot(*frame)).collect();
        let slot = self.push(Interned { frames, end: stack.end });
        self.slots.insert(id, slot);
    }

    pub(crate) fn slot(&self, id: StackId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Interned> {
        self.interned.get(slot.0 as usize)
    }

    pub(crate) fn frame(&self, slot: FrameSlot) -> Option<&RawFrame> {
        self.frames.get(slot.0 as usize)
    }

    /// Whether a frame of it is of a language that an interpreter runs.
    pub(crate) fn is_interpreted(&self, stack: &Interned) -> bool {
        stack.frames.iter().filter_map(|frame| self.frame(*frame)).any(|frame| frame.is_interpreted(|at| self.code(at)))
    }

    /// Whether a stack shows that a runtime of a language runs: by a frame of it, or one in its interpreter.
    pub(crate) fn runs(&self, stack: &Interned, language: Language) -> bool {
        stack.frames.iter().filter_map(|slot| self.frame(*slot)).any(|frame| match frame {
            RawFrame::Code(frame) => self.code(frame.code).is_some_and(|code| code.language == language),
            RawFrame::Native(frame) => {
                frame.module.and_then(|index| self.module(index)).is_some_and(|it| it.interpreter == Some(language))
            }
            RawFrame::Omitted(_) | RawFrame::Gap(_) => false,
        })
    }

    pub(crate) fn module(&self, index: ModuleIndex) -> Option<&Module> {
        self.modules.get(&index)
    }

    pub(crate) fn code(&self, index: CodeIndex) -> Option<&Code> {
        self.codes.get(&index)
    }

    pub(crate) fn into_modules(self) -> BTreeMap<ModuleIndex, Module> {
        self.modules
    }

    /// Whether most of what is held can no longer be named by the feed.
    pub(crate) fn is_mostly_garbage(&self) -> bool {
        self.interned.len() > GARBAGE_MIN.max(self.slots.len().saturating_mul(2))
    }

    /// Keeps what an id names, and what stands (`standing` is given the new slots).
    pub(crate) fn collect_garbage<'s>(&mut self, standing: impl Iterator<Item = &'s mut Slot>) {
        let old = std::mem::take(self);
        let mut moved: HashMap<Slot, Slot> = HashMap::new();
        self.modules = old.modules;
        self.codes = old.codes;
        let mut keep = |slot: Slot, to: &mut Self| {
            *moved.entry(slot).or_insert_with(|| {
                let raw = old.interned.get(slot.0 as usize).cloned();
                let raw = raw.unwrap_or(Interned { frames: Box::default(), end: StackEnd::Complete });
                let frame = |place: &FrameSlot| old.frames.get(place.0 as usize).map(|frame| to.frame_slot(*frame));
                let frames = raw.frames.iter().filter_map(frame).collect();
                to.push(Interned { frames, end: raw.end })
            })
        };
        for (id, slot) in old.slots {
            let kept = keep(slot, self);
            self.slots.insert(id, kept);
        }
        standing.for_each(|slot| *slot = keep(*slot, self));
    }

    fn push(&mut self, stack: Interned) -> Slot {
        let slot = Slot(u32::try_from(self.interned.len()).unwrap_or(u32::MAX));
        self.interned.push(stack);
        slot
    }

    fn frame_slot(&mut self, frame: RawFrame) -> FrameSlot {
        *self.frame_slots.entry(frame).or_insert_with(|| {
            let slot = FrameSlot(u32::try_from(self.frames.len()).unwrap_or(u32::MAX));
            self.frames.push(frame);
            slot
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        address::RemoteAddr,
        stack::{NativeFrame, PcKind},
    };

    fn stack(pcs: &[u64]) -> RawStack {
        let frame =
            |pc: &u64| RawFrame::Native(NativeFrame { pc: RemoteAddr(*pc), kind: PcKind::Return, module: None });
        RawStack { frames: pcs.iter().map(frame).collect(), end: StackEnd::Complete }
    }

    fn pcs(stacks: &Stacks, slot: Slot) -> Vec<u64> {
        stacks
            .get(slot)
            .unwrap()
            .frames
            .iter()
            .map(|frame| stacks.frame(*frame).unwrap().native().unwrap().pc.0)
            .collect()
    }

    /// Check that an id defined anew leaves the old stack to those who hold it, until it is collected.
    #[test]
    fn redefinition_and_garbage() {
        let mut stacks = Stacks::default();
        stacks.define(StackId(0), &stack(&[1, 2]));
        let mut old = stacks.slot(StackId(0)).unwrap();
        for pc in 0..5000 {
            stacks.define(StackId(0), &stack(&[pc, 2]));
        }
        assert_eq!(pcs(&stacks, old), [1, 2]);
        assert!(stacks.is_mostly_garbage());
        stacks.collect_garbage(std::iter::once(&mut old));
        assert_eq!(pcs(&stacks, old), [1, 2]);
        assert_eq!(pcs(&stacks, stacks.slot(StackId(0)).unwrap()), [4999, 2]);
        assert_eq!((stacks.interned.len(), stacks.frames.len()), (2, 3));
    }
}

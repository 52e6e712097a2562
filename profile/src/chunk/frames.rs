//! The chunk's frames, stacks and images: each distinct one once, and only those that a sample uses.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    address::{FileAddr, RemoteAddr},
    chunk::{Namer, Naming, SessionInfo},
    frame::Frame,
    machinery::{Folding, Shown, shown},
    module::ModuleIndex,
    naming::{file_name, named_by_itself, truncation_frame},
    stack::{NativeFrame, RawFrame, StackEnd},
    stacks::{FrameSlot, Interned, Slot, Stacks},
};

/// What the samples of a chunk refer to.
#[derive(Default)]
pub(crate) struct Tables {
    /// With `address` only where it goes on the wire.
    pub(crate) frames: Vec<(Frame, bool)>,
    pub(crate) stacks: Vec<Arc<[u32]>>,
    /// Modules of frames that a server would have to name.
    pub(crate) unnamed: BTreeSet<ModuleIndex>,
    /// Of frames without a name: where the function begins in its file, or if the file does not tell, where the frame is in it.
    pub(crate) in_file: BTreeMap<u32, FileAddr>,
}

impl From<Box<[u32]>> for Places {
    fn from(frames: Box<[u32]>) -> Self {
        Self { frames, folds: false }
    }
}

impl From<[u32; 1]> for Places {
    fn from(frame: [u32; 1]) -> Self {
        Self { frames: frame.into(), folds: false }
    }
}

/// Fills the tables.
pub(crate) struct Collector<'t> {
    info: &'t SessionInfo,
    raw: &'t Stacks,
    namer: &'t mut dyn Namer,
    pub(crate) tables: Tables,
    frame_places: HashMap<Frame, u32>,
    stack_places: HashMap<Arc<[u32]>, u32>,
    /// By the slot of a stack; dense, and asked once a sample.
    by_slot: Vec<Option<u32>>,
    by_frame: HashMap<(FrameSlot, In), Places>,
}

/// Where a frame is: that decides how it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct In {
    /// Innermost of its stack.
    leaf: bool,
    /// In a stack in which the machinery of interpreters is left out.
    condensed: bool,
}

/// What a raw frame becomes.
#[derive(Clone, Default)]
struct Places {
    frames: Box<[u32]>,
    /// It is written once for all that follow on each other.
    folds: bool,
}

impl<'t> Collector<'t> {
    pub(crate) fn new(info: &'t SessionInfo, raw: &'t Stacks, namer: &'t mut dyn Namer) -> Self {
        Self {
            info,
            raw,
            namer,
            tables: Tables::default(),
            frame_places: HashMap::new(),
            stack_places: HashMap::new(),
            by_slot: Vec::new(),
            by_frame: HashMap::new(),
        }
    }

    /// The place of a stack in the chunk; the empty one for `None`.
    pub(crate) fn stack(&mut self, slot: Option<Slot>) -> u32 {
        let Some(slot) = slot else { return self.stack_place(&[]) };
        let known = slot.0 as usize;
        if let Some(Some(place)) = self.by_slot.get(known) {
            return *place;
        }
        let places = self.expand(slot);
        let place = self.stack_place(&places);
        if self.by_slot.len() <= known {
            self.by_slot.resize(known + 1, None);
        }
        if let Some(to) = self.by_slot.get_mut(known) {
            *to = Some(place);
        }
        place
    }

    /// The stack's frames with their inlined ones, and what says that it was cut, if it was.
    fn expand(&mut self, slot: Slot) -> Vec<u32> {
        let raw = self.raw;
        let Some(stack) = raw.get(slot) else { return Vec::new() };
        let mut places = Vec::with_capacity(stack.frames.len() + 4);
        let condensed = self.is_condensed(stack);
        let mut folding = Folding::default();
        for slot in &stack.frames {
            let Places { frames, folds } = self.frame(*slot, In { leaf: places.is_empty(), condensed });
            if !frames.is_empty() && folding.writes(folds) {
                places.extend(&frames);
            }
        }
        places.extend(self.truncation(stack.end));
        places
    }

    fn is_condensed(&self, stack: &Interned) -> bool {
        let is_ours = self.info.naming == Naming::Here && !self.info.keep_interpreter_frames;
        is_ours && self.raw.is_interpreted(stack)
    }

    fn truncation(&mut self, end: StackEnd) -> Option<u32> {
        let mut frame = truncation_frame(end)?;
        if self.info.naming == Naming::RawForServer {
            // One frame without an address makes the whole chunk unreadable to Symbolicator.
            frame.address = Some(RemoteAddr(0));
        }
        Some(self.frame_place(frame, false))
    }

    fn frame(&mut self, slot: FrameSlot, is_in: In) -> Places {
        if let Some(known) = self.by_frame.get(&(slot, is_in)) {
            return known.clone();
        }
        let Some(raw) = self.raw.frame(slot).copied() else { return Places::default() };
        let places = match (raw, self.info.naming) {
            (RawFrame::Native(raw), Naming::RawForServer) => [self.unnamed(Frame::default(), &raw, is_in.leaf)].into(),
            (RawFrame::Native(raw), Naming::Here) => self.named(&raw, is_in),
            _ => self.named_by_itself(&raw).into(),
        };
        self.by_frame.insert((slot, is_in), places.clone());
        places
    }

    fn named_by_itself(&mut self, raw: &RawFrame) -> Box<[u32]> {
        let named = named_by_itself(raw, self.info.cwd.as_deref(), |index| self.raw.code(index));
        let place = |frame: Frame| {
            let in_app = self.info.is_in_app(&frame);
            self.frame_place(frame, in_app)
        };
        named.into_iter().map(place).collect()
    }

    fn named(&mut self, raw: &NativeFrame, is_in: In) -> Places {
        let names = self.namer.name(raw);
        if !is_in.condensed {
            return self.all(&names, raw, is_in.leaf).into();
        }
        match shown(&names, raw.module.and_then(|index| self.raw.module(index))) {
            Shown::Frames(left) if left.is_empty() && !names.is_empty() => Places::default(),
            Shown::Frames(left) => self.all(&left, raw, is_in.leaf).into(),
            Shown::Fold(frame) => {
                let in_app = self.info.is_in_app(&frame);
                Places { frames: [self.frame_place(frame, in_app)].into(), folds: true }
            }
        }
    }

    fn all(&mut self, names: &[Frame], raw: &NativeFrame, is_leaf: bool) -> Box<[u32]> {
        if names.is_empty() {
            return [self.unnamed(Frame::default(), raw, is_leaf)].into();
        }
        let place = |frame: &Frame| {
            if frame.function.is_none() {
                return self.unnamed(frame.clone(), raw, is_leaf);
            }
            let frame = Frame { address: None, inlined: false, missing: None, ..frame.clone() };
            let in_app = self.info.is_in_app(&frame);
            self.frame_place(frame, in_app)
        };
        names.iter().map(place).collect()
    }

    /// A frame that keeps its address, since nothing else tells it from others.
    fn unnamed(&mut self, frame: Frame, raw: &NativeFrame, is_leaf: bool) -> u32 {
        let module = raw.module.and_then(|index| self.raw.module(index));
        let path = module.map(|module| module.path.as_str());
        let in_file = frame.start.or_else(|| Some(module?.bias.to_file(raw.lookup())));
        let frame = Frame {
            module: frame.module.or_else(|| path.map(|path| file_name(path).into())),
            package: frame.package.or_else(|| path.map(Into::into)),
            address: Some(wire_address(raw, is_leaf)),
            inlined: false,
            missing: None,
            ..frame
        };
        self.tables.unnamed.extend(raw.module);
        let in_app = self.info.is_in_app(&frame);
        let place = self.frame_place(frame, in_app);
        self.tables.in_file.extend(in_file.map(|at| (place, at)));
        place
    }

    fn frame_place(&mut self, frame: Frame, in_app: bool) -> u32 {
        if let Some(place) = self.frame_places.get(&frame) {
            return *place;
        }
        let place = u32::try_from(self.tables.frames.len()).unwrap_or(u32::MAX);
        self.tables.frames.push((frame.clone(), in_app));
        self.frame_places.insert(frame, place);
        place
    }

    fn stack_place(&mut self, places: &[u32]) -> u32 {
        if let Some(place) = self.stack_places.get(places) {
            return *place;
        }
        let place = u32::try_from(self.tables.stacks.len()).unwrap_or(u32::MAX);
        let stack: Arc<[u32]> = places.into();
        self.tables.stacks.push(Arc::clone(&stack));
        self.stack_places.insert(stack, place);
        place
    }
}

/// Receivers take the leaf's address as it is and look up all others one byte earlier. This gives them the address at
/// which we would look it up ourselves, also below a signal handler.
fn wire_address(raw: &NativeFrame, is_leaf: bool) -> RemoteAddr {
    let lookup = raw.lookup();
    if is_leaf { lookup } else { RemoteAddr(lookup.0.saturating_add(1)) }
}

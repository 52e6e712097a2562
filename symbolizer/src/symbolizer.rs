//! The symbolizer: modules in, named frames out. Keeps the caches and their bounds; what a file says is `module`.

use std::{collections::HashMap, sync::Arc};

use profile::{
    address::FileAddr,
    frame::{Frame, Missing},
    id::BuildId,
};

use crate::{
    budget::Budget,
    demangle::demangle,
    lines::Found,
    module::Module,
    names::Names,
    path::short,
    source::{Fetch, Identity, ModuleSource},
};

/// More hints than this are noise.
const HINTS_MAX: usize = 10;

/// The bounds of a symbolizer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of symbol tables and debug information held for all modules; the longest unused go first.
    pub memory: usize,
    /// Bytes held for one module; a unit that needs more is named without lines and inlined calls.
    pub file_memory: usize,
    /// Bytes of named frames held, so that an address is named once.
    pub names: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { memory: 192 << 20, file_memory: 96 << 20, names: 8 << 20 }
    }
}

/// A module that was added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ModuleKey(pub(crate) u32);

/// Names frames. Not shared between threads: naming has one of its own, of low priority.
pub struct Symbolizer {
    settings: Settings,
    fetch: Option<Arc<dyn Fetch>>,
    modules: HashMap<ModuleKey, Module>,
    known: HashMap<Identity, ModuleKey>,
    names: Names,
    next_key: u32,
    /// Names asked for so far, but for those known.
    asked: u64,
    /// The same when [`Self::rest`] was last said.
    rested: u64,
}

impl std::fmt::Debug for Symbolizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Symbolizer")
            .field("modules", &self.modules.len())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl Symbolizer {
    /// Without modules.
    pub fn new(settings: Settings) -> Self {
        let names = Names::new(settings.names);
        Self {
            settings,
            fetch: None,
            modules: HashMap::new(),
            known: HashMap::new(),
            names,
            next_key: 0,
            asked: 0,
            rested: 0,
        }
    }

    /// Also asks `fetch` for the debug files of modules that lack symbols or lines.
    #[must_use]
    pub fn with_fetch(self, fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch: Some(fetch), ..self }
    }

    /// Takes a module. Nothing is read before its first name; a module that is known already gives the same key.
    pub fn add(&mut self, source: ModuleSource) -> ModuleKey {
        let identity = Identity::of(&source).ok();
        if let Some(key) = identity.as_ref().and_then(|identity| self.known.get(identity))
            && let Some(module) = self.modules.get_mut(key)
        {
            module.users += 1;
            return *key;
        }
        let key = ModuleKey(self.next_key);
        self.next_key = self.next_key.wrapping_add(1);
        self.modules.insert(key, Module::new(source, self.fetch.clone()));
        if let Some(identity) = identity {
            self.known.insert(identity, key);
        }
        key
    }

    /// Takes back one [`Self::add`]; after the last of them the module's file is closed and its key is void.
    pub fn forget(&mut self, module: ModuleKey) {
        let Some(known) = self.modules.get_mut(&module) else { return };
        known.users = known.users.saturating_sub(1);
        if known.users == 0 {
            self.modules.remove(&module);
            self.known.retain(|_, key| *key != module);
            self.names.forget(module);
        }
    }

    /// The frames at a lookup address (a byte before the return address, for callers), innermost inlined frame first.
    /// Never empty: an unknown one is a frame with the reason in `missing`. `address` is left for the caller to fill.
    ///
    /// With the budget exhausted only what was named before has a name; the rest says [`Missing::Budget`] and is looked
    /// up when asked again.
    pub fn name(&mut self, module: ModuleKey, at: FileAddr, budget: &mut Budget) -> Arc<[Frame]> {
        let key = (module, at);
        if let Some(frames) = self.names.get(key) {
            return frames;
        }
        let Some(known) = self.modules.get_mut(&module) else { return unnamed(Frame::default(), Missing::NoModule) };
        self.asked += 1;
        known.last_used = self.asked;
        let blank = Frame {
            module: Some(Arc::clone(&known.file_name)),
            package: Some(Arc::clone(&known.path)),
            ..Frame::default()
        };
        if budget.is_exhausted() {
            return unnamed(blank, Missing::Budget);
        }
        let held = known.bytes();
        let found = known.find(at.0, self.settings.file_memory);
        budget.charge(known.take_read());
        known.misses += u64::from(found.is_err());
        let start = if found.is_err() { known.start_of(at.0).map(FileAddr) } else { None };
        let grew = known.bytes() > held;
        let frames = match found {
            Ok(found) => self.frames(found, &blank),
            Err(why) => unnamed(Frame { start, ..blank }, why),
        };
        self.names.keep(key, &frames);
        if grew {
            self.make_room(module);
        }
        frames
    }

    /// Says that the debug file of a build, asked for before, is there now. Gives the modules whose names are forgotten
    /// for that: asked again, they may say more.
    pub fn arrived(&mut self, build_id: &BuildId) -> Vec<ModuleKey> {
        let better = self.modules.iter_mut().filter_map(|(key, module)| module.arrived(build_id).then_some(*key));
        let better: Vec<ModuleKey> = better.collect();
        better.iter().for_each(|key| self.names.forget(*key));
        better
    }

    /// To be said every few seconds while names are rare: drops the open units and the inflated sections of modules that
    /// were not asked for since this was last said. Gives whether some are left that may be dropped the next time.
    pub fn rest(&mut self) -> bool {
        let before = std::mem::replace(&mut self.rested, self.asked);
        let (idle, used): (Vec<_>, Vec<_>) = self.modules.values_mut().partition(|module| module.last_used <= before);
        idle.into_iter().for_each(Module::rest);
        used.iter().any(|module| module.can_rest())
    }

    /// What a person can do to see more names: one line a module, the most missed first.
    pub fn hints(&self) -> Vec<String> {
        let mut hints: Vec<_> =
            self.modules.values().filter_map(|module| Some((module.misses, module.hint()?))).collect();
        hints.sort_unstable_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        hints.dedup_by(|one, other| one.1 == other.1);
        hints.into_iter().take(HINTS_MAX).map(|(_, line)| line).collect()
    }

    /// Bytes of symbol tables and debug information held now.
    pub fn bytes(&self) -> usize {
        self.modules.values().map(Module::bytes).sum()
    }

    fn frames(&mut self, found: Vec<Found>, blank: &Frame) -> Arc<[Frame]> {
        let frame = |found: Found| {
            let path = found.source.as_ref().map(|source| &*source.path).filter(|path| !path.is_empty());
            let folder = found.source.as_ref().and_then(|source| source.folder.as_deref());
            Frame {
                missing: found.function.is_none().then_some(Missing::NoSymbol),
                function: found.function.map(|name| self.names.text(&demangle(&name))),
                filename: path.map(|path| self.names.text(&short(path, folder))),
                abs_path: path.map(|path| self.names.text(path)),
                line: found.source.as_ref().and_then(|source| source.line).filter(|&line| line > 0),
                inlined: found.inlined,
                ..blank.clone()
            }
        };
        found.into_iter().map(frame).collect()
    }

    /// Drops tables of the modules that were not asked for longest, but never those of `current`.
    fn make_room(&mut self, current: ModuleKey) {
        while self.bytes() > self.settings.memory {
            let others = self.modules.iter_mut().filter(|(key, module)| **key != current && module.bytes() > 0);
            let Some((_, oldest)) = others.min_by_key(|(_, module)| module.last_used) else { return };
            oldest.drop_tables();
        }
    }
}

fn unnamed(blank: Frame, why: Missing) -> Arc<[Frame]> {
    Arc::from([Frame { missing: Some(why), ..blank }])
}

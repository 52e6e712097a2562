//! What was named already, within a byte bound. Two generations: when the young one is full it becomes the old one,
//! and what nobody asks for in between is forgotten.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use profile::{address::FileAddr, frame::Frame};

use crate::symbolizer::ModuleKey;

type Key = (ModuleKey, FileAddr);

/// The bookkeeping of one entry in the map, roughly.
const ENTRY: usize = 64;

/// Named frames by address.
#[derive(Debug)]
pub(crate) struct Names {
    young: HashMap<Key, Arc<[Frame]>>,
    old: HashMap<Key, Arc<[Frame]>>,
    young_bytes: usize,
    /// Of one generation.
    bytes_max: usize,
    /// Each text once: a thousand addresses share a function's name and its file's path.
    texts: HashSet<Arc<str>>,
}

impl Names {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            bytes_max: bytes_max / 2,
            texts: HashSet::new(),
        }
    }

    pub(crate) fn get(&mut self, key: Key) -> Option<Arc<[Frame]>> {
        if let Some(frames) = self.young.get(&key) {
            return Some(Arc::clone(frames));
        }
        let frames = self.old.remove(&key)?;
        self.keep(key, &frames);
        Some(frames)
    }

    pub(crate) fn keep(&mut self, key: Key, frames: &Arc<[Frame]>) {
        if self.young_bytes >= self.bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
            self.texts.retain(|text| Arc::strong_count(text) > 1);
        }
        // Texts are shared, so each entry is charged for one name only.
        let name = frames.first().and_then(|frame| frame.function.as_ref()).map_or(0, |name| name.len());
        self.young_bytes += ENTRY + frames.len() * size_of::<Frame>() + name;
        self.young.insert(key, Arc::clone(frames));
    }

    /// Forgets the frames of a module.
    pub(crate) fn forget(&mut self, module: ModuleKey) {
        self.young.retain(|key, _| key.0 != module);
        self.old.retain(|key, _| key.0 != module);
    }

    /// The one copy of a text.
    pub(crate) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that what is asked for stays, the rest goes, and texts go with it.
    #[test]
    fn forgets_the_unasked() {
        let mut names = Names::new(20_000);
        let key = |n| (ModuleKey(0), FileAddr(n));
        for n in 0..1000 {
            let function = Some(names.text(&format!("function {n}")));
            names.keep(key(n), &Arc::from([Frame { function, ..Frame::default() }]));
            assert!(names.get(key(0)).is_some());
        }
        assert!(names.get(key(1)).is_none());
        assert!(names.get(key(999)).is_some());
        assert!(names.young.len() + names.old.len() < 150);
        assert!(names.texts.len() < 200, "{}", names.texts.len());
        assert!(Arc::ptr_eq(&names.text("a"), &names.text("a")));
        names.forget(ModuleKey(0));
        assert!(names.get(key(999)).is_none());
    }
}

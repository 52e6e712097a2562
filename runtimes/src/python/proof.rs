//! Whether code objects still are what they were when they were named: their names and line tables are compared with the
//! memory, those of a whole stack by a few calls.

use std::collections::HashMap;

use profile::address::RemoteAddr;

use super::{
    CodeKey,
    bytes::u64_at,
    code::Identity,
    find::Process,
    strings::{Bytes, Text},
};
use crate::Memory;

/// Bytes that are read for one stack; 1,000 functions have 400 KB. What does not fit is read by itself.
const ROOM_MAX: usize = 4 << 20;

/// What names a code object and its lines, as it lay in the memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) name: Text,
    pub(super) file: Text,
    pub(super) table: Bytes,
}

impl Seen {
    /// What it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            .saturating_add(self.name.data().len())
            .saturating_add(self.file.data().len())
            .saturating_add(self.table.data().len())
    }
}

/// A part of the memory, and where its copy is.
#[derive(Clone, Copy, Debug)]
struct Part {
    at: RemoteAddr,
    from: usize,
    len: usize,
}

/// A code object that is asked for, and its parts by number.
#[derive(Debug)]
struct Asked {
    code: Identity,
    object: usize,
    name: usize,
    file: usize,
    table: usize,
}

/// The question, for one stack.
#[derive(Default, Debug)]
pub(super) struct Proof {
    asked: Vec<Asked>,
    parts: Vec<Part>,
    /// Functions of one file share its name.
    by_text: HashMap<(RemoteAddr, usize), usize>,
    used: usize,
    room: Vec<u8>,
}

/// What the memory shows of a code object.
pub(super) struct Shown<'p> {
    process: &'p Process,
    key: CodeKey,
    object: &'p [u8],
    name: &'p [u8],
    file: &'p [u8],
    table: &'p [u8],
}

impl Shown<'_> {
    /// Whether that is what was seen before.
    pub(super) fn is(&self, seen: &Seen) -> bool {
        let file = u64_at(self.object, self.process.layout.code.file).map(RemoteAddr);
        CodeKey::parse(self.process, self.object) == Some(self.key)
            && file == Some(seen.file.at())
            && seen.name.is_in(self.process, self.name)
            && seen.file.is_in(self.process, self.file)
            && seen.table.is_in(self.process, self.table)
    }
}

impl Proof {
    pub(super) fn clear(&mut self) {
        self.asked.clear();
        self.parts.clear();
        self.by_text.clear();
        self.used = 0;
    }

    /// Asks for a code object that was seen before.
    pub(super) fn ask(&mut self, process: &Process, code: Identity, seen: &Seen) {
        // Texts that do not lie in one piece are not proved.
        let (Some(name), Some(file)) = (seen.name.object_len(), seen.file.object_len()) else { return };
        let table = seen.table.object_len(process);
        let object = usize::try_from(process.layout.code.size).unwrap_or(usize::MAX);
        let all = [object, name, file, table].into_iter().fold(self.used, usize::saturating_add);
        if all > ROOM_MAX {
            return;
        }
        let object = self.part(code.0, object);
        let name = self.part(seen.name.at(), name);
        let key = (seen.file.at(), file);
        let file = self.by_text.get(&key).copied().unwrap_or_else(|| self.part(key.0, key.1));
        self.by_text.insert(key, file);
        let table = self.part(seen.table.at(), table);
        self.asked.push(Asked { code, object, name, file, table });
    }

    fn part(&mut self, at: RemoteAddr, len: usize) -> usize {
        self.parts.push(Part { at, from: self.used, len });
        self.used = self.used.saturating_add(len);
        self.parts.len().saturating_sub(1)
    }

    /// Reads all that was asked for, and shows each. Nothing is shown where any of it is gone.
    pub(super) fn check(
        &mut self,
        process: &Process,
        memory: &mut impl Memory,
        mut each: impl FnMut(Identity, &Shown<'_>),
    ) {
        if self.room.len() < self.used {
            self.room.resize(self.used, 0);
        }
        let mut rest = self.room.as_mut_slice();
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let Some((into, behind)) = std::mem::take(&mut rest).split_at_mut_checked(part.len) else { return };
            parts.push((part.at, into));
            rest = behind;
        }
        if !memory.read_all(&mut parts) {
            return;
        }
        for asked in &self.asked {
            let shown = Shown {
                process,
                key: asked.code.1,
                object: self.copy(asked.object),
                name: self.copy(asked.name),
                file: self.copy(asked.file),
                table: self.copy(asked.table),
            };
            each(asked.code, &shown);
        }
    }

    fn copy(&self, part: usize) -> &[u8] {
        let part = self.parts.get(part).copied().unwrap_or(Part { at: RemoteAddr(0), from: 0, len: 0 });
        self.room.get(part.from..part.from.saturating_add(part.len)).unwrap_or_default()
    }
}

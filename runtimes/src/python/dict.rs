//! Dictionaries: the values of a few keys, and all entries of a small one. Those whose keys lie apart from their values, as the
//! attributes of objects do, too. Of a target that runs meanwhile: what is found has to be proved by who asks.

use profile::address::RemoteAddr;

use super::{
    bytes::{i64_at, pointer, u8_at, u64_at},
    find::Process,
    offsets::{DictLayout, KeysForm},
    strings::{is_of, is_text, string},
};
use crate::Memory;

/// Entries of a module's globals that are looked at for its `__name__`, which is the first of every module; who builds globals
/// by hand may put some before it.
const GLOBALS_MAX: u64 = 64;
/// Objects of at most so many slots are believed: 2^32 names are no namespace.
const LOG2_SLOTS_MAX: u8 = 32;
/// Entries that are read at once.
const AT_ONCE: u32 = 64;
/// Bytes of the longest entry: hash, key and value.
const ENTRY_MAX: usize = 24;
/// Bytes of a string that are compared at once, without its text.
const HEADER_MAX: usize = 64;
/// The longest key that is looked for by its text.
const KEY_MAX: usize = 32;

/// The string that a module's globals hold for a key that is a string too.
pub(super) fn string_value(process: &Process, dict: RemoteAddr, key: &str, memory: &mut impl Memory) -> Option<String> {
    let place = Table::of(process, dict, memory)?.place_of(process, key, GLOBALS_MAX, memory)?;
    string(process, pointer(place, 0, memory)?, memory)
}

/// The keys of a dictionary, and where its values are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// The first entry.
    at: RemoteAddr,
    /// How many there are, also of keys that were taken away.
    pub(super) count: u64,
    /// Bytes of one.
    stride: u64,
    /// The first value, where they lie apart.
    values: Option<RemoteAddr>,
}

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    index: u64,
    /// Of the key; 0 where entries have none, since all keys are strings.
    pub(super) hash: u64,
    pub(super) key: RemoteAddr,
    /// 0 of a key that was taken away, and where values lie apart.
    pub(super) value: RemoteAddr,
}

impl Table {
    /// Of a dictionary.
    pub(super) fn of(process: &Process, dict: RemoteAddr, memory: &mut impl Memory) -> Option<Self> {
        let layout = &process.layout.dict;
        let mut object = [0; 64];
        memory.read(dict, object.get_mut(..usize::try_from(layout.values).ok()?.checked_add(8)?)?).then_some(())?;
        is_of(&object, process.types.dict).then_some(())?;
        let keys = RemoteAddr(u64_at(&object, layout.keys)?);
        match u64_at(&object, layout.values)? {
            0 => Self::of_keys(layout, keys, None, memory),
            values => Self::of_keys(layout, keys, RemoteAddr(values).checked_add(layout.first_value.into()), memory),
        }
    }

    /// Of an object's keys, and its values where they are not beside them.
    pub(super) fn of_keys(
        layout: &DictLayout,
        keys: RemoteAddr,
        values: Option<RemoteAddr>,
        memory: &mut impl Memory,
    ) -> Option<Self> {
        let mut header = [0; 40];
        memory.read(keys, &mut header).then_some(())?;
        let (indices, index_bytes, count, stride) = match layout.form {
            KeysForm::Slots => {
                let slots = u64_at(&header, 8).filter(|slots| slots.is_power_of_two())?;
                (40, index_bytes(slots)?, i64_at(&header, 32)?, 24)
            }
            KeysForm::Kinds => {
                let log2 = u8_at(&header, 9).filter(|log2| *log2 <= LOG2_SLOTS_MAX + 3)?;
                let stride = match u8_at(&header, 10)? {
                    0 => 24,
                    1 | 2 => 16,
                    _ => return None,
                };
                (32, 1 << log2, i64_at(&header, 24)?, stride)
            }
        };
        let at = keys.checked_add(indices)?.checked_add(index_bytes)?;
        Some(Self { at, count: u64::try_from(count).ok()?, stride, values })
    }

    /// What `wanted` makes of the first entry of which it makes something, of the first `max`.
    pub(super) fn find<M: Memory, T>(
        &self,
        max: u64,
        memory: &mut M,
        mut wanted: impl FnMut(Entry, &mut M) -> Option<T>,
    ) -> Option<T> {
        let mut room = [0; ENTRY_MAX * AT_ONCE as usize];
        let count = self.count.min(max);
        for first in (0..count).step_by(AT_ONCE as usize) {
            let some = count.saturating_sub(first).min(AT_ONCE.into());
            let bytes = room.get_mut(..usize::try_from(some.checked_mul(self.stride)?).ok()?)?;
            memory.read(self.at.checked_add(first.checked_mul(self.stride)?)?, bytes).then_some(())?;
            for (bytes, index) in bytes.chunks(usize::try_from(self.stride).ok()?).zip(first..) {
                if let Some(found) = wanted(Entry::parse(bytes, index)?, memory) {
                    return Some(found);
                }
            }
        }
        None
    }

    /// Where the value of a key is that is a short text of ASCII, among the first `max` entries.
    pub(super) fn place_of(
        &self,
        process: &Process,
        key: &str,
        max: u64,
        memory: &mut impl Memory,
    ) -> Option<RemoteAddr> {
        let mut room = [0; HEADER_MAX + KEY_MAX];
        let header = usize::try_from(process.layout.string.ascii).ok()?;
        let text = room.get_mut(..header.checked_add(key.len())?)?;
        self.find(max, memory, |entry, memory| {
            let is_it =
                entry.key != RemoteAddr(0) && memory.read(entry.key, text) && is_text(process, text, key.as_bytes());
            is_it.then(|| self.place(entry))?
        })
    }

    /// Where an entry's value is.
    pub(super) fn place(&self, entry: Entry) -> Option<RemoteAddr> {
        match self.values {
            Some(values) => values.checked_add(entry.index.checked_mul(8)?),
            None => self.at.checked_add(entry.index.checked_add(1)?.checked_mul(self.stride)?.checked_sub(8)?),
        }
    }
}

impl Entry {
    /// From the bytes of an entry: its hash, unless all keys are strings, its key and its value.
    fn parse(bytes: &[u8], index: u64) -> Option<Self> {
        let (words, _) = bytes.as_chunks();
        let mut words = words.iter().copied().map(u64::from_le_bytes).rev();
        let (value, key) = (RemoteAddr(words.next()?), RemoteAddr(words.next()?));
        Some(Self { index, hash: words.next().unwrap_or(0), key, value })
    }
}

/// Bytes of all the indices of a table of so many slots.
fn index_bytes(slots: u64) -> Option<u64> {
    match slots {
        0..=0xff => Some(slots),
        0x100..=0xffff => slots.checked_mul(2),
        _ if slots <= 1 << LOG2_SLOTS_MAX => slots.checked_mul(4),
        _ => None,
    }
}

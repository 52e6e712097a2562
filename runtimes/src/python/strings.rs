//! Strings and bytes of Python, out of a target's memory.

use std::fmt::{self, Write as _};

use profile::address::RemoteAddr;

use super::{
    bytes::{i64_at, u32_at, u64_at},
    find::Process,
    offsets::TYPE,
};
use crate::Memory;

/// Longer strings are cut: a path is at most 4,096 bytes, a qualified name far less; what is longer is generated.
const CHARS_MAX: usize = 4096;
/// The header of the longest layout: two words more than [`super::offsets::StringLayout::compact`] has at most.
const HEADER_MAX: usize = 128;

/// A string as it lies in the memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Text {
    at: RemoteAddr,
    /// In characters; of more than [`CHARS_MAX`] the first are here.
    length: usize,
    state: State,
    data: Box<[u8]>,
}

/// A string as text. `None` if there is none.
pub(super) fn string(process: &Process, at: RemoteAddr, memory: &mut impl Memory) -> Option<String> {
    Text::read(process, at, memory).map(|text| text.to_string())
}

/// The text of a string of which these are the first bytes, with a mark where there would be more.
pub(super) fn text_of(process: &Process, object: &[u8]) -> Option<String> {
    let (length, state) = head(process, object)?;
    let data = object.get(usize::try_from(state.data(process)?).ok()?..)?;
    let whole = length.checked_mul(state.width()?)?;
    let data = data.get(..whole.min(data.len()))?;
    let text = Text { at: RemoteAddr(0), length, state, data: data.into() }.to_string();
    Some(if whole > data.len() { text + "…" } else { text })
}

/// Whether the bytes of an object are a short text of ASCII, all of it, as interpreters keep names.
pub(super) fn is_text(process: &Process, object: &[u8], text: &[u8]) -> bool {
    let Some((length, state)) = head(process, object) else { return false };
    let ascii = process.layout.string.ascii;
    let data = usize::try_from(ascii).ok().and_then(|at| object.get(at..));
    length == text.len()
        && state.width() == Some(1)
        && state.data(process) == Some(ascii)
        && data.is_some_and(|data| data.starts_with(text))
}

impl Text {
    /// `None` if there is none: another type, or a form that no interpreter makes.
    pub(super) fn read(process: &Process, at: RemoteAddr, memory: &mut impl Memory) -> Option<Self> {
        let layout = &process.layout.string;
        let mut room = [0; HEADER_MAX];
        let header = room.get_mut(..usize::try_from(layout.compact).ok()?.checked_add(8)?)?;
        if !read_short(memory, at, header, layout.ascii)? {
            return None;
        }
        let (length, state) = head(process, header)?;
        let data_at = match state.data(process) {
            Some(offset) => at.checked_add(offset.into())?,
            None => RemoteAddr(u64_at(header, layout.compact)?),
        };
        let mut data = vec![0; length.min(CHARS_MAX).checked_mul(state.width()?)?].into_boxed_slice();
        let whole = memory.read(data_at, &mut data);
        let start = state.data(process);
        whole.then_some(Self { at, length, state: State { start, ..state }, data })
    }

    pub(super) fn at(&self) -> RemoteAddr {
        self.at
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    /// From the object's start to the end of what is here of it; `None` if it does not lie in one piece.
    pub(super) fn object_len(&self) -> Option<usize> {
        usize::try_from(self.state.start?).ok()?.checked_add(self.data.len())
    }

    /// Whether the bytes of an object are this string.
    pub(super) fn is_in(&self, process: &Process, object: &[u8]) -> bool {
        let is_head = head(process, object) == Some((self.length, State { start: None, ..self.state }));
        is_head && object.get(self.state.start.map_or(usize::MAX, |start| start as usize)..) == Some(&*self.data)
    }
}

/// One number a character, whatever the width; surrogates, which a Python string may hold, are no characters.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut write = |number: u32| f.write_char(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
        match self.state.width() {
            Some(1) => self.data.iter().try_for_each(|byte| write((*byte).into())),
            Some(2) => self.data.as_chunks().0.iter().try_for_each(|pair| write(u16::from_le_bytes(*pair).into())),
            _ => self.data.as_chunks().0.iter().try_for_each(|four| write(u32::from_le_bytes(*four))),
        }
    }
}

/// Length and state of a string, from the bytes of its object; `None` if it is none.
fn head(process: &Process, object: &[u8]) -> Option<(usize, State)> {
    let layout = &process.layout.string;
    is_of(object, process.types.string).then_some(())?;
    let length = usize::try_from(i64_at(object, layout.length)?).ok()?;
    Some((length, State { bits: u32_at(object, layout.state)? & FORM, start: None }))
}

/// A bytes object as it lies in the memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bytes {
    at: RemoteAddr,
    data: Box<[u8]>,
}

impl Bytes {
    /// Of at most `max` bytes.
    pub(super) fn read(process: &Process, at: RemoteAddr, max: usize, memory: &mut impl Memory) -> Option<Self> {
        let mut header = [0; 32];
        memory.read(at, &mut header).then_some(())?;
        let size = Self::size(process, &header).filter(|size| *size <= max)?;
        let mut data = vec![0; size].into_boxed_slice();
        memory.read(at.checked_add(process.layout.bytes.data.into())?, &mut data).then_some(Self { at, data })
    }

    pub(super) fn at(&self) -> RemoteAddr {
        self.at
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    pub(super) fn object_len(&self, process: &Process) -> usize {
        (process.layout.bytes.data as usize).saturating_add(self.data.len())
    }

    /// Whether the bytes of an object are these.
    pub(super) fn is_in(&self, process: &Process, object: &[u8]) -> bool {
        let data = object.get(process.layout.bytes.data as usize..);
        Self::size(process, object) == Some(self.data.len()) && data == Some(&*self.data)
    }

    fn size(process: &Process, object: &[u8]) -> Option<usize> {
        is_of(object, process.types.bytes).then_some(())?;
        usize::try_from(i64_at(object, process.layout.bytes.size)?).ok()
    }
}

/// Whether an object is of a type; `true` where the interpreter does not say which type that is.
pub(super) fn is_of(object: &[u8], wanted: Option<RemoteAddr>) -> bool {
    wanted.is_none_or(|wanted| u64_at(object, TYPE) == Some(wanted.0))
}

/// Fills `into`, or only its first `least` bytes where the target's memory ends: a short string may be the last thing there.
fn read_short(memory: &mut impl Memory, at: RemoteAddr, into: &mut [u8], least: u32) -> Option<bool> {
    let whole = memory.read(at, into);
    Some(whole || memory.read(at, into.get_mut(..usize::try_from(least).ok()?)?))
}

/// Of the bits of a string's state those that do not change: three of the width, one each of compact and ASCII. Below them
/// are two of interning.
const FORM: u32 = 0x1f << 2;

/// The form of a string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    bits: u32,
    /// Where in its object the characters begin, if they are in it.
    start: Option<u32>,
}

impl State {
    fn width(self) -> Option<usize> {
        match (self.bits >> 2) & 7 {
            1 => Some(1),
            2 => Some(2),
            4 => Some(4),
            _ => None,
        }
    }

    /// Where in a compact string's object its characters are.
    fn data(self, process: &Process) -> Option<u32> {
        let layout = &process.layout.string;
        let (is_compact, is_ascii) = (self.bits & (1 << 5) != 0, self.bits & (1 << 6) != 0);
        is_compact.then_some(if is_ascii { layout.ascii } else { layout.compact })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a string of each width is read as it is, and a surrogate as no character.
    #[test]
    fn widths() {
        let text = |width: u32, data: &[u8]| {
            let state = State { bits: width << 2 | 1 << 5, start: None };
            Text { at: RemoteAddr(0), length: 0, state, data: data.into() }.to_string()
        };
        assert_eq!(text(1, b"caf\xe9"), "café");
        assert_eq!(text(2, &[0x2f, 0x66, 0x57, 0x5b, 0x00, 0xd8]), "是字\u{fffd}");
        assert_eq!(text(4, &[0x0d, 0xf4, 0x01, 0x00, b'!', 0, 0, 0]), "🐍!");
        assert_eq!(State { bits: 3 << 2, start: None }.width(), None);
    }
}

//! The board: a piece of a process's own memory in which it notes when it wants to be profiled (`docs/control.md`). Reads
//! the bytes; does not fetch them, and trusts none.

use std::collections::BTreeMap;

use uuid::Uuid;

/// Bytes of a board.
pub const BOARD_BYTES: usize = 32768;
/// Bytes of its header.
pub const HEADER_BYTES: usize = 64;
/// "SSPFBRD1"
const MAGIC: u64 = 0x3144_5242_4650_5353;
const SLOT_BYTES: usize = 64;
/// Where the slots end and the names begin.
const NAMES_AT: usize = 16384;
/// Longer names are forged.
const NAME_MAX: usize = 256;

/// What the first words of a board say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Grows with each note.
    pub changes: u64,
    /// Windows that are open.
    pub open: u64,
    /// Windows that found no slot.
    pub lost: u64,
    names: u64,
}

impl Header {
    /// `None`: this is no board.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let word = |place: usize| word_at(bytes, place * 8);
        (word(0)? == MAGIC).then_some(())?;
        Some(Self { changes: word(1)?, open: word(2)?, lost: word(3)?, names: word(4)? })
    }
}

/// What a window is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum WindowKind {
    /// Everything is profiled.
    Run,
    /// A profile of its own, for a transaction.
    Transaction,
    /// A function of one thread.
    Function,
    /// A block of one thread.
    Block,
}

/// A time that a process noted. Times are `CLOCK_MONOTONIC` nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// Rises with each window of a board.
    pub sequence: u64,
    /// What it is for.
    pub kind: WindowKind,
    /// The thread, by the id that its language has for it; 0: all.
    pub thread: u64,
    /// When it began.
    pub start_ns: u64,
    /// When it ended; `None`: it has not.
    pub end_ns: Option<u64>,
    /// The profiler's or the profile's.
    pub id: Uuid,
    /// Of a function or block.
    pub name: Option<String>,
}

impl Window {
    /// Whether it is one of a thread's functions or blocks.
    pub fn is_mark(&self) -> bool {
        matches!(self.kind, WindowKind::Function | WindowKind::Block)
    }
}

/// A board at one moment: the windows that it shows, by their sequence. Those that ended long ago may be gone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Board {
    /// By sequence.
    pub windows: BTreeMap<u64, Window>,
    /// Windows that found no slot.
    pub lost: u64,
}

impl Board {
    /// Reads all of it. Slots that make no sense are left out; `None`: this is no board.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header = Header::read(bytes)?;
        let (slots, names) = bytes.get(HEADER_BYTES..BOARD_BYTES)?.split_at_checked(NAMES_AT - HEADER_BYTES)?;
        let names = names.get(..usize::try_from(header.names).ok()?.min(names.len()))?;
        let windows = slots.chunks_exact(SLOT_BYTES).filter_map(|slot| window(slot, names));
        Some(Self { windows: windows.map(|window| (window.sequence, window)).collect(), lost: header.lost })
    }

    /// Those that have not ended.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = &Window> {
        self.windows.values().filter(|window| window.end_ns.is_none())
    }

    /// The window by which the process is profiled: the last run that goes on, else the first mark.
    pub fn leading(&self) -> Option<&Window> {
        let last_run = self.open().rev().find(|window| window.kind == WindowKind::Run);
        last_run.or_else(|| self.open().find(|window| window.is_mark()))
    }
}

fn window(slot: &[u8], names: &[u8]) -> Option<Window> {
    let word = |place: usize| word_at(slot, place * 8);
    let sequence = word(0).filter(|sequence| *sequence != 0)?;
    let kind = match word(1)? {
        1 => WindowKind::Run,
        2 => WindowKind::Transaction,
        3 => WindowKind::Function,
        4 => WindowKind::Block,
        _ => return None,
    };
    let (start_ns, end_ns) = (word(3)?, word(4).filter(|end| *end != 0));
    if end_ns.is_some_and(|end| end < start_ns) {
        return None;
    }
    let id = Uuid::from_slice(slot.get(40..56)?).ok().filter(|id| !id.is_nil())?;
    let name = word(7)?.checked_sub(1).and_then(|at| name_at(names, at));
    Some(Window { sequence, kind, thread: word(2)?, start_ns, end_ns, id, name })
}

fn name_at(names: &[u8], at: u64) -> Option<String> {
    let (length, text) = names.get(usize::try_from(at).ok()?..)?.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_ne_bytes(*length)).min(NAME_MAX);
    let text: String = String::from_utf8_lossy(text.get(..length)?).chars().filter(|c| !c.is_control()).collect();
    (!text.is_empty()).then_some(text)
}

fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// What must hold for any bytes taken as a board: the body of the fuzz target, and of the test that replays its corpus.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn fuzz(bytes: &[u8]) {
    let mut whole = vec![0; BOARD_BYTES];
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = *from;
    }
    for bytes in [bytes, &whole] {
        let Some(board) = Board::read(bytes) else { continue };
        assert!(board.windows.len() <= (NAMES_AT - HEADER_BYTES) / SLOT_BYTES);
        for window in board.windows.values() {
            assert!(window.end_ns.is_none_or(|end| end >= window.start_ns) && !window.id.is_nil());
            assert!(window.name.as_ref().is_none_or(|name| name.chars().count() <= NAME_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A board of these words, at their offsets, and these names.
    fn board(words: &[(usize, u64)], names: &[&str]) -> Vec<u8> {
        let mut bytes = vec![0; BOARD_BYTES];
        let mut put = |at: usize, from: &[u8]| bytes[at..at + from.len()].copy_from_slice(from);
        put(0, b"SSPFBRD1");
        let mut at = NAMES_AT;
        for name in names {
            put(at, &u16::try_from(name.len()).unwrap().to_ne_bytes());
            put(at + 2, name.as_bytes());
            at += 2 + name.len();
        }
        put(32, &((at - NAMES_AT) as u64).to_ne_bytes());
        for (at, word) in words {
            put(*at, &word.to_ne_bytes());
        }
        bytes
    }

    /// The words of a slot.
    fn slot(place: usize, words: [u64; 8]) -> Vec<(usize, u64)> {
        words.iter().enumerate().map(|(word, value)| (64 + place * 64 + word * 8, *value)).collect()
    }

    fn shown(bytes: &[u8]) -> String {
        let Some(board) = Board::read(bytes) else { return "no board".to_owned() };
        let rows = board.windows.values().map(|window| {
            let end = window.end_ns.map_or(String::new(), |end| end.to_string());
            let name = window.name.as_deref().unwrap_or("-");
            format!("{} {:?} {} {}..{end} {name}", window.sequence, window.kind, window.thread, window.start_ns)
        });
        rows.collect::<Vec<_>>().join("; ")
    }

    /// Check what is read of a board: windows by their order, names, and nothing of slots that are empty or make no sense.
    #[test]
    fn reading() {
        let run = slot(3, [7, 1, 0, 100, 0, 1, 1, 0]);
        let block = slot(0, [8, 4, 55, 120, 130, 1, 1, 6]);
        assert_eq!(
            shown(&board(&[run.clone(), block].concat(), &["one", "two"])),
            "7 Run 0 100.. -; 8 Block 55 120..130 two"
        );
        for wrong in [
            [0, 1, 0, 100, 0, 1, 1, 0],
            [1, 0, 0, 100, 0, 1, 1, 0],
            [1, 5, 0, 100, 0, 1, 1, 0],
            [1, 1, 0, 100, 99, 1, 1, 0],
            [1, 1, 0, 100, 0, 0, 0, 0],
        ] {
            assert_eq!(shown(&board(&slot(254, wrong), &[])), "", "{wrong:?}");
        }
        for beyond in [5, 20_000, u64::MAX] {
            let named = slot(0, [1, 3, 9, 100, 0, 1, 1, beyond]);
            assert_eq!(shown(&board(&named, &["one"])), "1 Function 9 100.. -", "{beyond}");
        }
        let whole = board(&run, &[]);
        assert_eq!(shown(&whole[..BOARD_BYTES - 1]), "no board");
        assert_eq!(shown(&vec![0; BOARD_BYTES]), "no board");
    }

    /// Check that a name of many bytes is cut, and that control characters are left out.
    #[test]
    fn names() {
        let long = "x".repeat(300);
        let words = [slot(0, [1, 3, 9, 1, 0, 1, 1, 1]), slot(1, [2, 3, 9, 1, 0, 1, 1, 303])].concat();
        let read = Board::read(&board(&words, &[&long, "a\u{1b}[31m\n"])).unwrap();
        let names: Vec<_> = read.windows.values().map(|window| window.name.as_deref().unwrap_or("-")).collect();
        assert_eq!(names, [&"x".repeat(256), "a[31m"]);
    }
}

//! `perf-PID.map`: where the code is that a runtime has generated, and what it is called, as the runtime tells `perf`. Takes
//! the file's bytes as they come and answers for addresses; opens nothing, knows no clock. [`names`] makes sense of names.
//!
//! Format (Linux `tools/perf/Documentation/jit-interface.txt`): lines of `START SIZE NAME`, both numbers hexadecimal, the name
//! all the rest. HotSpot and BeamAsm put `0x` before the numbers. Entries are appended as code is made; nothing says when
//! code is given back, but that other code is at its address.

pub mod names;

use std::collections::BTreeMap;

use profile::address::RemoteAddr;

/// More entries are forgotten, the oldest first. V8 writes two to four a function; a large server has 100,000 functions.
const ENTRIES_MAX: usize = 500_000;
/// Bytes of all names together; more are forgotten in the same way.
const NAMES_MAX: usize = 64 << 20;
/// What is longer is cut: a generic Java signature has a few hundred bytes.
const NAME_MAX: usize = 1024;
/// As much of a line as is looked at: two numbers, and a name that is longer than it may be.
const LINE_MAX: usize = NAME_MAX + 64;
/// No function is larger: it is more than V8's whole code range was for years.
const SIZE_MAX: u64 = 128 << 20;

/// The code that is known to be generated.
#[derive(Debug, Default)]
pub struct PerfMap {
    /// By their first byte. None overlaps another.
    entries: BTreeMap<RemoteAddr, Entry>,
    name_bytes: usize,
    /// Entries taken so far.
    taken: u64,
    /// The line that has begun.
    begun: Vec<u8>,
    /// How often something was not taken.
    left_out: LeftOut,
}

/// What of a map was not taken, or not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LeftOut {
    /// Lines that are no entries.
    pub garbage: u64,
    /// Entries that were forgotten because there were too many.
    pub forgotten: u64,
}

#[derive(Debug)]
struct Entry {
    /// One past the last byte.
    end: RemoteAddr,
    /// How many were taken before.
    order: u64,
    name: Box<str>,
}

impl PerfMap {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what the file has next. A line counts once its end is there.
    pub fn extend(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(line) if self.begun.is_empty() => self.line(line),
                Some(rest) => {
                    self.begin(rest);
                    let line = std::mem::take(&mut self.begun);
                    self.line(&line);
                }
                None => self.begin(piece),
            }
        }
    }

    /// What the code at an address is called: by the last entry for it.
    pub fn find(&self, at: RemoteAddr) -> Option<&str> {
        let (_, entry) = self.entries.range(..=at).next_back()?;
        (at < entry.end).then_some(&*entry.name)
    }

    /// How many entries are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no entry is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What was not taken.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    fn begin(&mut self, piece: &[u8]) {
        let room = LINE_MAX.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    fn line(&mut self, line: &[u8]) {
        // As if it had come in pieces.
        match parse(line.get(..LINE_MAX).unwrap_or(line)) {
            Some((start, end, name)) => self.take(start, end, name),
            None => self.left_out.garbage = self.left_out.garbage.saturating_add(1),
        }
    }

    /// Code that others are put over is gone, all of it: two functions do not share bytes.
    fn take(&mut self, start: RemoteAddr, end: RemoteAddr, name: Box<str>) {
        while let Some((first, entry)) = self.entries.range(..end).next_back()
            && entry.end > start
        {
            let first = *first;
            self.remove(first);
        }
        self.name_bytes = self.name_bytes.saturating_add(name.len());
        self.entries.insert(start, Entry { end, order: self.taken, name });
        self.taken = self.taken.saturating_add(1);
        if self.entries.len() > ENTRIES_MAX || self.name_bytes > NAMES_MAX {
            self.forget_older_half();
        }
    }

    fn remove(&mut self, first: RemoteAddr) {
        if let Some(entry) = self.entries.remove(&first) {
            self.name_bytes = self.name_bytes.saturating_sub(entry.name.len());
        }
    }

    /// Half at once, so that it is rare. An address that loses its entry has no name; it never has a wrong one.
    fn forget_older_half(&mut self) {
        let mut orders: Vec<u64> = self.entries.values().map(|entry| entry.order).collect();
        let half = orders.len() / 2;
        if half == 0 {
            return;
        }
        let (_, middle, _) = orders.select_nth_unstable(half);
        let oldest = *middle;
        self.entries.retain(|_, entry| entry.order >= oldest);
        self.name_bytes = self.entries.values().map(|entry| entry.name.len()).sum();
        self.left_out.forgotten = self.left_out.forgotten.saturating_add(half as u64);
    }
}

/// First byte, one past the last, name.
fn parse(line: &[u8]) -> Option<(RemoteAddr, RemoteAddr, Box<str>)> {
    let (start, rest) = field(line)?;
    let (size, name) = field(rest)?;
    let (start, size) = (hexadecimal(start)?, hexadecimal(size)?);
    let name = name.trim_ascii();
    if name.is_empty() || size == 0 || size > SIZE_MAX {
        return None;
    }
    Some((RemoteAddr(start), RemoteAddr(start.checked_add(size)?), text(name)))
}

fn field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b' ')?;
    Some((text.get(..end)?, text.get(end..)?.trim_ascii_start()))
}

/// Digits alone: the standard parser takes a sign as well.
fn hexadecimal(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if !(1..=16).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| Some(number << 4 | u64::from(char::from(*digit).to_digit(16)?)))
}

fn text(name: &[u8]) -> Box<str> {
    let Some(kept) = name.get(..NAME_MAX).filter(|kept| kept.len() < name.len()) else {
        return String::from_utf8_lossy(name).into();
    };
    // Cut in a character, its beginning becomes a mark of its own.
    format!("{}...", String::from_utf8_lossy(kept).trim_end_matches(char::REPLACEMENT_CHARACTER)).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(text: &str) -> PerfMap {
        let mut map = PerfMap::new();
        map.extend(text.as_bytes());
        map
    }

    /// What is found at each address.
    fn found<'m>(map: &'m PerfMap, at: &[u64]) -> Vec<Option<&'m str>> {
        at.iter().map(|at| map.find(RemoteAddr(*at))).collect()
    }

    /// Check entries as V8, HotSpot and CPython write them, and borders.
    #[test]
    fn entries() {
        let map = map("7f8c1dffe100 30c JS:*leafWork /srv/a b/w.js:1:18\n\
                       0x00007f061ceca940 0x00000000000000f8 double W.leafWork(int)\n\
                       7ff476ce9000 b py::_find_and_load:<frozen importlib._bootstrap>\r\n");
        let (v8, hotspot) = (Some("JS:*leafWork /srv/a b/w.js:1:18"), Some("double W.leafWork(int)"));
        let python = Some("py::_find_and_load:<frozen importlib._bootstrap>");
        let borders = [0x7f8c_1dff_e0ff, 0x7f8c_1dff_e100, 0x7f8c_1dff_e40b, 0x7f8c_1dff_e40c];
        assert_eq!(found(&map, &borders), [None, v8, v8, None]);
        assert_eq!(found(&map, &[0x7f06_1cec_aa37, 0x7f06_1cec_aa38, 0x7ff4_76ce_900a]), [hotspot, None, python]);
        assert_eq!(map.left_out(), LeftOut::default());
    }

    /// Check that lines which are no entries are counted and nothing else: no numbers, no name, no size, an end beyond
    /// memory, a function as large as a program.
    #[test]
    fn garbage() {
        let lines = [
            "",
            "x",
            "10",
            "10 8",
            "10 8 ",
            "10  ",
            "zz 8 f",
            "10 zz f",
            "10 0 f",
            "+10 8 f",
            "-1 8 f",
            "0x 8 f",
            "10 8\tf",
            "ffffffffffffffff 8 f",
            "11112222333344445 8 f",
            "10 8000001 f",
            " 10 8 f",
            "\u{fffd}\0 8 f",
        ];
        let mut whole = map(&lines.join("\n"));
        whole.extend(b"\n20 8 good\n");
        assert_eq!((whole.len(), whole.left_out().garbage), (1, lines.len() as u64), "{whole:?}");
    }

    /// Check that a line counts when it is whole, in however many pieces it comes, and that of an endless one nothing is held.
    #[test]
    fn pieces() {
        let mut map = PerfMap::new();
        for piece in ["10", " 8 on", "e\n20 8 tw"] {
            map.extend(piece.as_bytes());
        }
        assert_eq!(found(&map, &[0x10, 0x20]), [Some("one"), None]);
        for _ in 0..1000 {
            map.extend(&[b'o'; 1000]);
        }
        assert!(map.begun.capacity() < 4 * LINE_MAX);
        map.extend(b"\n30 8 three\n");
        let long = map.find(RemoteAddr(0x20)).unwrap();
        assert_eq!((long.len(), &long[..4], &long[NAME_MAX - 1..]), (NAME_MAX + 3, "twoo", "o..."));
        assert_eq!(map.find(RemoteAddr(0x30)), Some("three"));
    }

    /// Check that a name is cut between characters, and that bytes that are none are told as such.
    #[test]
    fn cut_names() {
        let long = "ü".repeat(600);
        assert_eq!(map(&format!("10 8 x{long}\n")).find(RemoteAddr(0x10)), Some(&*format!("x{}...", "ü".repeat(511))));
        let mut map = PerfMap::new();
        map.extend(b"10 8 a\xffb\n");
        assert_eq!(map.find(RemoteAddr(0x10)), Some("a\u{fffd}b"));
    }

    /// Check that memory is bounded, that the newest entries are kept, and that what is forgotten has no name.
    #[test]
    fn bounded() {
        let mut map = PerfMap::new();
        let count = ENTRIES_MAX as u64 + 10;
        for number in 0..count {
            map.extend(format!("{:x} 10 f{number}\n", number * 0x10).as_bytes());
        }
        assert!(map.len() <= ENTRIES_MAX / 2 + 10, "{}", map.len());
        assert_eq!(map.left_out().forgotten + map.len() as u64, count);
        assert_eq!(map.find(RemoteAddr((count - 1) * 0x10)), Some(&*format!("f{}", count - 1)));
        assert_eq!(map.find(RemoteAddr(0)), None);
        let name = "n".repeat(NAME_MAX);
        for number in 0..100_000_u64 {
            map.extend(format!("{:x} 10 {name}\n", number * 0x10).as_bytes());
        }
        assert!(map.name_bytes <= NAMES_MAX && map.len() > 10_000);
    }

    type Given = (u64, u64);

    /// By going through all entries: the last one that holds the address, if no later one touches it.
    fn oracle(given: &[Given], at: u64) -> Option<String> {
        let place = given.iter().rposition(|(start, size)| (*start..start + size).contains(&at))?;
        let (start, size) = given[place];
        let is_over = |(other, len): &Given| *other < start + size && start < other + len;
        (!given[place + 1..].iter().any(is_over)).then(|| format!("f{place}"))
    }

    proptest! {
        /// Check against the naive reading of the same file, in pieces of any length.
        #[test]
        fn as_read_line_by_line(given in prop::collection::vec((0..300_u64, 1..40_u64), 0..60), len in 1..30_usize) {
            let lines = given.iter().enumerate().map(|(place, (start, size))| format!("{start:x} {size:x} f{place}\n"));
            let text: String = lines.collect();
            let mut map = PerfMap::new();
            text.as_bytes().chunks(len).for_each(|piece| map.extend(piece));
            for at in 0..360 {
                prop_assert_eq!(map.find(RemoteAddr(at)).map(str::to_owned), oracle(&given, at), "{}", at);
            }
        }
    }
}

//! What must hold for any memory of a target: the bodies of the fuzz targets, and of the tests that replay their corpora.

use std::cell::RefCell;

use profile::address::{LoadBias, RemoteAddr};

use crate::{
    Memory,
    perf_map::{PerfMap, names},
    python::{
        BELOW_MAX, Candidate, Codes, End, FRAMES_MAX, Plan, Process, READS_MAX, Symbols, ThreadNames, ThreadState,
        Walk, threads, tid_of_ident,
    },
};

/// The bytes as an interpreter: the first chooses its version, the others are its memory.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn python(bytes: &[u8]) {
    let Some((version, image)) = bytes.split_first() else { return };
    let mut memory = Image { bytes: image, calls: 0 };
    // A file is any bytes, too.
    let symbols = Symbols::of(image).unwrap_or_default();
    let candidate = Candidate { path: "/usr/lib/libpython3.11.so.1.0", symbols: &symbols, bias: LoadBias(0) };
    let _ = Process::find(&[candidate], &["a.cpython-310-x86_64-linux-gnu.so"], &mut memory);
    let Some(process) = Process::assumed(version % 16, RemoteAddr(0), &mut memory) else { return };

    let mut found = Vec::new();
    let _ = threads(&process, &mut memory, &mut found);
    found.truncate(2);
    // Most memory has no list of threads.
    let some = (0..2).map(|index| RemoteAddr(index * 0x100));
    found.extend(some.filter_map(|at| ThreadState::assumed(&process, at, &mut memory)));
    let mut codes = Codes::new();
    for thread in &found {
        let _ = tid_of_ident(thread.ident, &mut memory);
        // Its buffers are megabytes, of which most inputs need a page.
        WALK.with_borrow_mut(|walk| {
            if let Some(name) = ThreadNames::default().name(&process, thread, &mut memory) {
                assert!(name.is_still(&mut memory), "a name of memory that stands differs");
            }
            check_walk(&process, &[*thread], walk, &mut codes, &mut memory);
            check_walk(&process, &found, walk, &mut codes, &mut memory);
        });
    }
}

thread_local! {
    static WALK: RefCell<Walk> = RefCell::new(Walk::new());
}

fn check_walk(process: &Process, states: &[ThreadState], walk: &mut Walk, codes: &mut Codes, memory: &mut Image<'_>) {
    let mut plan = Plan::default();
    for _ in 0..2 {
        memory.calls = 0;
        let end = walk.read(process, states, &mut plan, memory);
        walk.learn(&mut plan);
        assert!(memory.calls <= READS_MAX, "more reads than allowed");
        assert!(walk.frames().len() <= FRAMES_MAX, "more frames than allowed");
        assert!(
            matches!(end, End::Complete | End::Cut) || walk.frames().is_empty(),
            "frames of a stack that is not shown"
        );
        let in_order = walk.marks().is_sorted_by_key(|mark| mark.frames);
        assert!(in_order, "marks out of order");
        assert!(walk.marks().last().is_none_or(|mark| mark.frames <= walk.frames().len()), "a mark beyond the frames");
        assert!(walk.omitted().is_none_or(|(cut, count)| cut <= walk.frames().len() && count > 0), "a cut beyond them");
    }
    codes.begin_stack(process, walk.frames(), memory);
    let (place, below) = walk.tasks().unwrap_or((0, &[]));
    assert!(place <= walk.frames().len() && below.len() <= BELOW_MAX, "tasks that no stack has");
    for item in below {
        let _ = codes.resolve_below(process, item, memory);
    }
    for frame in walk.frames().iter().take(16) {
        let first = codes.resolve(process, frame, memory);
        let again = codes.resolve(process, frame, memory);
        let known =
            |resolved: Option<crate::python::Resolved>| resolved.map(|resolved| (resolved.index, resolved.line));
        assert_eq!(known(first), known(again), "named once, a frame differs");
    }
}

/// The bytes as a perf map: the first says in which pieces it comes.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn perf_map(bytes: &[u8]) {
    let Some((len, file)) = bytes.split_first() else { return };
    let (mut whole, mut pieces) = (PerfMap::new(), PerfMap::new());
    whole.extend(file);
    file.chunks(usize::from(*len).max(1)).for_each(|piece| pieces.extend(piece));
    assert_eq!(whole.left_out(), pieces.left_out(), "the pieces matter");
    // Every number that is in it may be an address of it.
    let words = file.split(|byte| !byte.is_ascii_hexdigit()).filter_map(|word| std::str::from_utf8(word).ok());
    for at in words.filter_map(|word| u64::from_str_radix(word, 16).ok()).take(64) {
        for at in [at.saturating_sub(1), at, at.saturating_add(1)].map(RemoteAddr) {
            assert_eq!(whole.find(at), pieces.find(at), "the pieces matter");
            let Some(name) = whole.find(at) else { continue };
            assert!(!name.is_empty() && name.len() < 4096, "a name of {} bytes", name.len());
            assert!(!names::code(name).function.is_empty(), "a frame without a name");
        }
    }
}

/// A memory that is the bytes, again and again, so that most pointers lead somewhere; nothing in its upper half.
struct Image<'b> {
    bytes: &'b [u8],
    calls: usize,
}

impl Memory for Image<'_> {
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        self.read_all(&mut [(at, into)])
    }

    fn read_all(&mut self, parts: &mut [(RemoteAddr, &mut [u8])]) -> bool {
        self.calls += 1;
        parts.iter_mut().all(|(at, into)| self.copy(*at, into))
    }
}

impl Image<'_> {
    fn copy(&self, at: RemoteAddr, into: &mut [u8]) -> bool {
        if at.0 > u64::MAX / 2 || self.bytes.is_empty() {
            return false;
        }
        let start = usize::try_from(at.0 % self.bytes.len() as u64).unwrap_or(0);
        let around = self.bytes.iter().cycle().skip(start);
        into.iter_mut().zip(around).for_each(|(byte, from)| *byte = *from);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Memory of small words: pointers into it, sizes and counts.
    fn words() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            4 => (0u64..4096).prop_map(|word| word & !7),
            2 => 0u64..256,
            1 => any::<u64>(),
            1 => Just(0x60u64),
        ];
        proptest::collection::vec(word, 1..512).prop_map(|words| words.into_iter().flat_map(u64::to_le_bytes).collect())
    }

    /// What an interpreter that states its offsets begins with.
    fn stated() -> impl Strategy<Value = Vec<u8>> {
        let version = (13u64..16).prop_map(|minor| 0x0300_00f0 | minor << 16);
        let sizes = proptest::collection::vec(prop_oneof![0u64..128, Just(128), Just(0x1000)], 110);
        (version, sizes).prop_map(|(version, sizes)| {
            let words = [version, 0].into_iter().chain(sizes).flat_map(u64::to_le_bytes);
            b"xdebugpy".iter().copied().chain(words).collect()
        })
    }

    /// How far the walk of the first thread gets; what the tests are worth.
    fn frames(bytes: &[u8]) -> usize {
        let mut memory = Image { bytes: &bytes[1..], calls: 0 };
        let mut walk = Walk::new();
        let process = Process::assumed(bytes[0] % 16, RemoteAddr(0), &mut memory).unwrap();
        let thread = ThreadState::assumed(&process, RemoteAddr(0), &mut memory).unwrap();
        walk.read(&process, &[thread], &mut Plan::default(), &mut memory);
        walk.frames().len()
    }

    /// Check that the made memory has stacks at all: here one of a frame that says that it is a code object, too.
    #[test]
    fn reaches_frames() {
        let mut words = vec![0x100u64; 64];
        // The state before it, at 0x100, has it as its next; the frame, there too, has no caller, and its code elsewhere.
        words[0x100 / 8 + 1] = 0;
        words[0x100 / 8 + 3] = 0;
        words[0x100 / 8 + 4] = 0x80;
        let bytes: Vec<_> = std::iter::once(8).chain(words.into_iter().flat_map(u64::to_le_bytes)).collect();
        assert_eq!(frames(&bytes), 1);
        python(&bytes);
    }

    proptest! {
        /// Check that no stated offsets break a promise.
        #[test]
        fn any_offsets(head in stated(), words in words()) {
            let bytes: Vec<_> = std::iter::once(13).chain(head).chain(words).collect();
            python(&bytes);
        }

        /// Check that no memory breaks a promise, whatever the version.
        #[test]
        fn any_memory(version: u8, words in words()) {
            let bytes: Vec<_> = std::iter::once(version).chain(words).collect();
            python(&bytes);
        }

        /// Check the same where every pointer leads to a multiple of some words: chains that go round.
        #[test]
        fn chains(version in 7u8..13, step in 1u64..64, len in 1u64..128) {
            let words = (0..len).flat_map(|word| ((word * step % len) * 8).to_le_bytes());
            let bytes: Vec<_> = std::iter::once(version).chain(words).collect();
            python(&bytes);
        }
    }
}

//! What must hold for any bytes taken as a file, as call frame information or as a stack: the bodies of the fuzz targets,
//! and of the tests that replay their corpora.

mod input;

use std::{io::Cursor, sync::Arc};

use object::read::ReadCache;
use profile::{
    address::{FileAddr, LoadBias, RemoteAddr},
    module::ModuleIndex,
    stack::{FRAMES_MAX, NativeStack, PcKind, StackEnd, Truncation},
};

use self::input::{CODE, Input, STACK};
use crate::{
    ElfLayout, Limits, MappedRange, Memory, ModuleMap, Registers, UnwindInfo, Unwinder,
    elf::SEGMENTS_MAX,
    lookup::{self, Context},
    rule::Cfa,
};

/// Small, so that they are reached.
const LIMITS: Limits = Limits { section_bytes: 16 << 10, functions: 64 };
/// Added to file addresses. Of whole pages, as the kernel does.
const BIAS: LoadBias = LoadBias(0x10_0000);

/// The layout of a file and its unwind information.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn elf(bytes: &[u8]) {
    let layout = ElfLayout::parse(bytes);
    let cache = ReadCache::new(Cursor::new(bytes));
    // The other way round, a table that is not aligned is refused in memory only.
    assert!(layout.is_err() || layout == ElfLayout::parse(&cache), "read and in memory, a file differs");
    if let Ok(layout) = &layout {
        assert!((1..=SEGMENTS_MAX).contains(&layout.loads.len()), "loads without a bound");
        for load in layout.loads.iter().take(16) {
            assert!(load.vaddr >= layout.base, "the base is not the lowest");
            let _ = layout.bias(RemoteAddr(BIAS.0), load.offset);
        }
    }
    let info = UnwindInfo::parse(bytes, LIMITS);
    assert!(info.is_err() || UnwindInfo::parse(&cache, LIMITS).is_ok());
    let Ok(info) = info else { return };
    check_info(&info);
    let pages = layout.iter().flat_map(|layout| &layout.loads).take(16).map(|load| load.vaddr.0);
    pages.chain([0, 1, 0x1000, u64::MAX]).for_each(|at| check_find(&info, at));
}

/// A walk. `Input` says what the bytes are.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn cfi(bytes: &[u8]) {
    let input = Input::of(bytes);
    let info = UnwindInfo::parse(input.file().as_slice(), LIMITS);
    let Ok(info) = info else { panic!("our own file is refused: {info:?}") };
    check_info(&info);
    (0..64).for_each(|ahead| check_find(&info, input.pc.wrapping_add(ahead)));

    let info = Arc::new(info);
    let code_end = CODE.wrapping_add(input.code.len().max(0x100) as u64);
    let range = MappedRange {
        start: BIAS.to_remote(FileAddr(CODE)),
        end: BIAS.to_remote(FileAddr(code_end)),
        module: Some(ModuleIndex(0)),
        bias: BIAS,
        info: Some(Arc::clone(&info)),
    };
    // Behind it, code of which nothing is known.
    let beyond = MappedRange {
        start: range.end,
        end: RemoteAddr(range.end.0.wrapping_add(0x100)),
        module: None,
        info: None,
        ..range
    };
    let walk = Walk { modules: ModuleMap::new(vec![range, beyond]), registers: input.registers(BIAS), input };
    walk.check(&info);
}

fn check_info(info: &UnwindInfo) {
    let sections = usize::try_from(LIMITS.section_bytes).unwrap_or(usize::MAX).saturating_mul(3);
    assert!(info.bytes() <= sections.saturating_add(LIMITS.functions.saturating_mul(32)), "it holds more than allowed");
}

fn check_find(info: &UnwindInfo, at: u64) {
    if let Ok(Some((_, fde))) = info.find(at) {
        assert!(fde.contains(at), "found a function that is elsewhere");
    }
    if let Some((start, len)) = lookup::function(info, at) {
        assert!(at.wrapping_sub(start) < len, "found a function that is elsewhere");
    }
}

struct Walk<'b> {
    input: Input<'b>,
    modules: ModuleMap,
    registers: Registers,
}

impl Walk<'_> {
    fn check(&self, info: &UnwindInfo) {
        let mut unwinder = Unwinder::with_cache_bits(8);
        let first = self.run(|stack, memory| unwinder.unwind(&self.registers, memory, &self.modules, stack));
        let again = self.run(|stack, memory| unwinder.unwind(&self.registers, memory, &self.modules, stack));
        assert_eq!(first, again, "the caches change a stack");
        self.check_form(&first);

        let mut fast_did = false;
        let fast = self.run(|stack, memory| {
            fast_did = Unwinder::with_cache_bits(1).by_rules(&self.registers, memory, &self.modules, stack);
        });
        if !fast_did || self.is_known_to_differ(info, &fast) {
            return;
        }
        let exact = self.run(|stack, memory| {
            Unwinder::with_cache_bits(1).by_all_registers(&self.registers, memory, &self.modules, stack);
        });
        assert_eq!(comparable(&fast), comparable(&exact), "by rules and by all registers, a stack differs");
    }

    fn run(&self, walk: impl FnOnce(&mut NativeStack, &mut Target<'_>)) -> NativeStack {
        // What was there before must not show.
        let mut stack =
            NativeStack { frames: Vec::new(), sps: Vec::new(), end: StackEnd::Truncated(Truncation::TooDeep) };
        walk(&mut stack, &mut Target(&self.input));
        stack
    }

    fn check_form(&self, stack: &NativeStack) {
        assert!(stack.frames.len() <= FRAMES_MAX, "more frames than allowed");
        let leaf = stack.frames.first();
        assert_eq!(leaf.map(|leaf| (leaf.pc, leaf.kind)), Some((self.registers.pc(), PcKind::Exact)), "another leaf");
        for frame in stack.frames.iter().skip(1) {
            let range = self.modules.find(frame.lookup());
            assert!(frame.kind == PcKind::Exact || range.is_some(), "a caller without code");
            assert_eq!(frame.module, range.and_then(|range| range.module));
        }
        let cut = stack.end == StackEnd::Truncated(Truncation::TooDeep);
        assert!(!cut || stack.frames.len() == FRAMES_MAX, "too deep, but it is not");
    }

    /// Where the two walks may differ. In the child that `clone3` has just made, only the fast one knows that nothing
    /// called it. A leaf may stand where its caller does only in the exact one. The depth of a PLT entry is that of the
    /// looked-up byte in the fast one, of the return address in the exact one; real entries call nothing.
    fn is_known_to_differ(&self, info: &UnwindInfo, fast: &NativeStack) -> bool {
        const PLT: [u8; 6] = [0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a];
        let leaf = BIAS.to_file(self.registers.pc()).0;
        let starts = lookup::rule(info, &mut Context::new(), leaf).cfa == Cfa::Start;
        let stands = fast.frames.len() == 1 && fast.end == StackEnd::Truncated(Truncation::NoProgress);
        let sections = [self.input.eh_frame, self.input.debug_frame];
        starts || stands || sections.iter().any(|section| section.windows(PLT.len()).any(|bytes| *bytes == PLT))
    }
}

/// A stack without the one thing in which the walks may differ: the exact one misses memory before it sees that it would
/// not have moved up.
fn comparable(stack: &NativeStack) -> NativeStack {
    let mut stack = stack.clone();
    if stack.end == StackEnd::Truncated(Truncation::NoProgress) {
        stack.end = StackEnd::Truncated(Truncation::BeyondCopy);
    }
    stack
}

/// The input's stack, and its code.
struct Target<'b>(&'b Input<'b>);

impl Memory for Target<'_> {
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        copy(self.0.stack, at.0.checked_sub(STACK), into)
    }

    fn read_code(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        copy(self.0.code, BIAS.to_file(at).0.checked_sub(CODE), into)
    }
}

fn copy(from: &[u8], at: Option<u64>, into: &mut [u8]) -> bool {
    let bytes = at.and_then(|at| from.get(usize::try_from(at).ok()?..)?.get(..into.len()));
    bytes.is_some_and(|bytes| {
        into.copy_from_slice(bytes);
        true
    })
}

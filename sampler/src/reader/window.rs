//! The memory of the stop windows: a slot for each interrupt in flight, allocated and locked before the first one.
//! Between a stop and its resume only these are written.

use std::io::IoSliceMut;

use nix::{
    libc::user_regs_struct,
    sys::uio::{RemoteIoVec, process_vm_readv},
};
use profile::{
    address::RemoteAddr,
    id::Tid,
    stack::{FRAMES_MAX, NativeStack, StackEnd},
};
use runtimes::python::Walk;
use unwinder::{Memory, ModuleMap, Registers, Unwinder};

use crate::{
    memory::{PAGE, page_of},
    sys,
    threads::{COPY_FIRST, COPY_MAX, Thread},
};

/// Interrupts in flight at once. More would hold each thread longer (docs/architecture.md).
pub const IN_FLIGHT_MAX: usize = 8;
/// Page reads of a walk in one stop.
pub const WALK_PAGES: usize = 32;
/// Ranges read beside the stack.
pub const RANGES_MAX: usize = 16;
const PAGE_LEN: usize = 4096;

/// What a stop writes to.
#[derive(Debug)]
pub struct Slot {
    stack: Box<[u8]>,
    stack_len: usize,
    stack_at: u64,
    pages: Box<[u8]>,
    page_at: [u64; WALK_PAGES],
    page_count: usize,
}

impl Slot {
    fn new() -> Self {
        let slot = Self {
            stack: vec![0; COPY_MAX].into_boxed_slice(),
            stack_len: 0,
            stack_at: 0,
            pages: vec![0; WALK_PAGES * PAGE_LEN].into_boxed_slice(),
            page_at: [0; WALK_PAGES],
            page_count: 0,
        };
        // Without the right to lock, a fault of ours may lengthen a stop; that is no reason not to profile.
        let _ = sys::lock_in_memory(&slot.stack);
        let _ = sys::lock_in_memory(&slot.pages);
        slot
    }

    /// One vectored read: `len` bytes from `sp` on, and the pages planned beforehand.
    pub fn copy(&mut self, tid: Tid, sp: u64, len: usize, planned: &[u64]) {
        self.stack_at = sp;
        self.stack_len = 0;
        self.page_count = 0;
        let top = sp.saturating_add(len as u64);
        let mut remote = [RemoteIoVec { base: 0, len: 0 }; RANGES_MAX + 1];
        let mut local: [IoSliceMut<'_>; RANGES_MAX + 1] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let mut wanted = planned.iter().filter(|page| page.saturating_add(PAGE) > top).take(RANGES_MAX);
        let Some(stack) = self.stack.get_mut(..len.min(COPY_MAX)) else { return };
        let stack_len = stack.len();
        let Ok(base) = usize::try_from(sp) else { return };
        let mut count = 0;
        // Pages first: a copy that runs past the end of its mapping ends the call.
        for (at, buffer) in self.page_at.iter_mut().zip(self.pages.chunks_exact_mut(PAGE_LEN)) {
            let (Some(page), Some(to), Some(from)) = (wanted.next(), local.get_mut(count), remote.get_mut(count))
            else {
                break;
            };
            *at = *page;
            *to = IoSliceMut::new(buffer);
            *from = RemoteIoVec { base: usize::try_from(*page).unwrap_or(0), len: PAGE_LEN };
            count += 1;
        }
        if let (Some(to), Some(from)) = (local.get_mut(count), remote.get_mut(count)) {
            *to = IoSliceMut::new(stack);
            *from = RemoteIoVec { base, len: stack_len };
        }
        let (Some(to), Some(from)) = (local.get_mut(..=count), remote.get(..=count)) else { return };
        let got = process_vm_readv(nix::unistd::Pid::from_raw(tid.0), to, from).unwrap_or(0);
        let in_pages = count * PAGE_LEN;
        self.page_count = if got >= in_pages { count } else { got / PAGE_LEN };
        self.stack_len = got.saturating_sub(in_pages);
        if got < in_pages {
            // A planned page is gone (the stack shrank): the stack itself matters more.
            self.stack_len = self.copy_stack_alone(tid, base, stack_len);
        }
    }

    fn copy_stack_alone(&mut self, tid: Tid, base: usize, len: usize) -> usize {
        let Some(stack) = self.stack.get_mut(..len) else { return 0 };
        let remote = [RemoteIoVec { base, len }];
        process_vm_readv(nix::unistd::Pid::from_raw(tid.0), &mut [IoSliceMut::new(stack)], &remote).unwrap_or(0)
    }

    /// The copied stack.
    pub fn stack(&self) -> &[u8] {
        self.stack.get(..self.stack_len).unwrap_or_default()
    }

    /// The pages read beside it.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.page_at.iter().copied().zip(self.pages.chunks_exact(PAGE_LEN)).take(self.page_count)
    }
}

/// All slots, and what a walk in a stop needs.
#[derive(Debug)]
pub struct Slots {
    all: Vec<Slot>,
    unwinder: Unwinder,
    walked: NativeStack,
    python: Walk,
}

impl Default for Slots {
    fn default() -> Self {
        Self::new()
    }
}

impl Slots {
    /// Allocates and locks.
    pub fn new() -> Self {
        let python = Walk::new();
        let _ = sys::lock_in_memory(python.room());
        Self {
            all: (0..IN_FLIGHT_MAX).map(|_| Slot::new()).collect(),
            unwinder: Unwinder::with_cache_bits(13),
            walked: NativeStack {
                frames: Vec::with_capacity(FRAMES_MAX + 1),
                sps: Vec::with_capacity(FRAMES_MAX + 1),
                end: StackEnd::Complete,
            },
            python,
        }
    }

    /// A slot by its number.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Slot> {
        self.all.get_mut(number)
    }

    /// Empties a slot.
    pub fn clear(&mut self, number: usize) {
        if let Some(slot) = self.all.get_mut(number) {
            (slot.stack_len, slot.page_count) = (0, 0);
        }
    }

    /// Copies a stopped thread's native stack, by a walk where it was deep lately.
    pub fn copy(&mut self, number: usize, thread: &Thread, registers: &user_regs_struct, modules: &ModuleMap) {
        let Some(slot) = self.all.get_mut(number) else { return };
        slot.copy(thread.tid, registers.rsp, stop_copy(thread), &thread.pages);
        if thread.is_walked() {
            self.walk(number, thread.tid, &dwarf_registers(registers), modules);
        }
    }

    /// Where a stopped thread's Python stack is read to.
    pub fn python(&mut self) -> &mut Walk {
        &mut self.python
    }

    /// Walks a stopped thread's stack so that every page it leads through is in the slot. Returns at most
    /// [`WALK_PAGES`] page reads later.
    pub fn walk(&mut self, number: usize, tid: Tid, registers: &Registers, modules: &ModuleMap) {
        let Some(slot) = self.all.get_mut(number) else { return };
        let mut memory = Walking { slot, tid };
        self.unwinder.unwind(registers, &mut memory, modules, &mut self.walked);
    }
}

/// Registers of a stop as the unwinder wants them: DWARF's numbering of x86-64.
pub fn dwarf_registers(r: &user_regs_struct) -> Registers {
    Registers::full([
        r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
        r.rip,
    ])
}

/// How much to copy in a stop: of a stack that is walked, its near end.
pub(super) fn stop_copy(thread: &Thread) -> usize {
    let sparse = thread.is_walked() && !thread.dense;
    if sparse { COPY_FIRST } else { thread.copy_len.clamp(COPY_FIRST, COPY_MAX) }
}

/// The next read of the thread takes these pages at once.
pub(super) fn learn_pages(thread: &mut Thread, pages: &[(u64, Box<[u8]>)]) {
    if thread.is_walked() {
        thread.pages.clear();
        thread.pages.extend(pages.iter().map(|(at, _)| *at));
    }
}

/// A slot as memory that fetches the pages it lacks, as long as it has room.
struct Walking<'s> {
    slot: &'s mut Slot,
    tid: Tid,
}

impl Memory for Walking<'_> {
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        if copied(self.slot.stack_at, self.slot.stack(), at.0, into) {
            return true;
        }
        let mut done = 0;
        while done < into.len() {
            let Some(address) = at.0.checked_add(done as u64) else { return false };
            let page = page_of(address);
            let Some(bytes) = self.page(page) else { return false };
            let offset = usize::try_from(address - page).unwrap_or(PAGE_LEN);
            let Some(from) = bytes.get(offset..) else { return false };
            let Some(to) = into.get_mut(done..) else { return false };
            let len = from.len().min(to.len());
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            done += len.max(1);
        }
        true
    }
}

impl Walking<'_> {
    fn page(&mut self, page: u64) -> Option<&[u8]> {
        let known = self.slot.page_at.iter().take(self.slot.page_count).position(|at| *at == page);
        let place = match known {
            Some(place) => place,
            None => self.fetch(page)?,
        };
        self.slot.pages.chunks_exact(PAGE_LEN).nth(place)
    }

    fn fetch(&mut self, page: u64) -> Option<usize> {
        let place = self.slot.page_count;
        let buffer = self.slot.pages.chunks_exact_mut(PAGE_LEN).nth(place)?;
        let got = crate::memory::read(self.tid, RemoteAddr(page), buffer).ok()?;
        if got != PAGE_LEN {
            return None;
        }
        *self.slot.page_at.get_mut(place)? = page;
        self.slot.page_count += 1;
        Some(place)
    }
}

/// Copies from `bytes`, which lie at `base`; `false` if not all of it is there.
#[inline]
pub fn copied(base: u64, bytes: &[u8], at: u64, into: &mut [u8]) -> bool {
    let Some(offset) = at.checked_sub(base).and_then(|offset| usize::try_from(offset).ok()) else { return false };
    let Some(end) = offset.checked_add(into.len()) else { return false };
    let Some(from) = bytes.get(offset..end) else { return false };
    into.copy_from_slice(from);
    true
}

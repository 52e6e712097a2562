//! Copies of a target's memory that one walk makes, in a room that is allocated once; and the plan of what the next walk of
//! the same thread will want, so that it is copied by one call.

use std::array;

use profile::address::RemoteAddr;

use super::walk::touched;
use crate::Memory;

/// Room for copies. A stack of 1,000 frames has about 130 KiB on the data stack; up to 3.10, 500 KiB of frame objects and
/// as much of the C stack, which the marks of 3.10 are on.
const ROOM: usize = 3 << 19;
/// Parts of one vectored read; far less than the kernel's 1,024, since they are on our stack.
pub(super) const BATCH: usize = 64;
/// Ranges that a plan keeps. Frame objects (3.10 and older) are one each where they lie apart.
const PLAN_MAX: usize = 256;
/// Bytes that a plan asks for: the rest of the room is for what it did not know.
const PLAN_BYTES_MAX: u32 = 5 << 18;
/// A plan of fewer bytes is kept: they cost less than one call.
const WASTE_MIN: u64 = 32 << 10;
/// A plan of so many times what was needed is made anew. Of a frame object a quarter is needed.
const WASTE_RATIO: u64 = 12;
/// Ranges nearer to each other are one range. Less than a page: between two that are there, no whole page can be missing.
const GAP_MAX: u64 = 1024;
/// Accesses that are remembered: a plan is made of those.
const TOUCHED_MAX: usize = 4096;
const PAGE: u64 = 4096;

/// What the last walk of a thread had to read. Kept beside the thread, one for each.
#[derive(Debug)]
pub struct Plan {
    ranges: Vec<Range>,
    /// How often in a row the stack was too deep to be read whole.
    pub(super) cuts: u32,
}

impl Default for Plan {
    /// Allocates what it may need, so that a walk does not.
    fn default() -> Self {
        Self { ranges: touched(PLAN_MAX), cuts: 0 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
struct Range {
    at: u64,
    len: u32,
}

impl Range {
    fn end(self) -> u64 {
        self.at.saturating_add(self.len.into())
    }

    /// Makes it reach so far, and says by how much it grew.
    fn grow_to(&mut self, end: u64) -> u32 {
        let more = u32::try_from(end.saturating_sub(self.end())).unwrap_or(0);
        self.len = self.len.saturating_add(more);
        more
    }
}

/// A range, and where its copy is in the room.
#[derive(Clone, Copy, Default, Debug)]
struct Span {
    range: Range,
    from: usize,
}

/// Why something is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    /// The target has no such memory.
    Unreadable,
    /// No more calls are allowed.
    NoReadsLeft,
}

/// The copies.
#[derive(Debug)]
pub(super) struct Copies {
    room: Box<[u8]>,
    used: usize,
    /// The first `planned` are sorted by address; the few others as they came.
    spans: Vec<Span>,
    planned: usize,
    touched: Vec<Range>,
    reads_left: usize,
    /// Something had to be read that was not planned.
    missed: bool,
}

impl Copies {
    pub(super) fn new() -> Self {
        Self {
            // Not zero: such pages would be made at the first write.
            room: vec![0xff; ROOM].into_boxed_slice(),
            used: 0,
            spans: touched(PLAN_MAX + 2 * BATCH),
            planned: 0,
            touched: touched(TOUCHED_MAX),
            reads_left: 0,
            missed: false,
        }
    }

    pub(super) fn room(&self) -> &[u8] {
        &self.room
    }

    /// Forgets everything, and copies what the plan says. A plan that is no longer true is forgotten, too.
    pub(super) fn begin(&mut self, plan: &mut Plan, reads: usize, memory: &mut impl Memory) {
        self.forget();
        self.touched.clear();
        self.missed = false;
        self.reads_left = reads;
        for ranges in plan.ranges.chunks(BATCH) {
            if self.copy_all(ranges, memory).is_err() {
                self.forget();
                plan.ranges.clear();
                self.missed = true;
                return;
            }
        }
        self.planned = self.spans.len();
    }

    /// Drops the copies, so that there is room; and allows so many more calls.
    pub(super) fn begin_again(&mut self, more_reads: usize) {
        self.forget();
        self.reads_left = self.reads_left.saturating_add(more_reads);
    }

    /// The `len` bytes at an address that the walk needs. If there is no copy, all of `window` is copied, which must hold them.
    pub(super) fn get(
        &mut self,
        at: RemoteAddr,
        len: u32,
        window: (u64, u64),
        memory: &mut impl Memory,
    ) -> Result<&[u8], Missing> {
        let wanted = Range { at: at.0, len };
        if self.touched.len() < TOUCHED_MAX {
            self.touched.push(wanted);
        }
        let from = match self.find(wanted) {
            Some(from) => from,
            None => self.copy_window(wanted, window, memory)?,
        };
        let end = from.saturating_add(len as usize);
        self.room.get(from..end).ok_or(Missing::Unreadable)
    }

    /// Reads a range for each item that wants one, [`BATCH`] of them by one call, and hands the item its bytes.
    pub(super) fn gather<T>(
        &mut self,
        mut items: &mut [T],
        range_of: impl Fn(&T) -> Option<(RemoteAddr, u32)>,
        mut take: impl FnMut(&mut T, &[u8]),
        memory: &mut impl Memory,
    ) -> Result<(), Missing> {
        loop {
            let mut ranges = [(RemoteAddr(0), 0); BATCH];
            let (mut count, mut end) = (0, 0_usize);
            let wanted = items.iter().enumerate().filter_map(|(index, item)| Some((index, range_of(item)?)));
            for (slot, (index, range)) in ranges.iter_mut().zip(wanted) {
                *slot = range;
                count += 1;
                end = index.saturating_add(1);
            }
            let Some((now, later)) = items.split_at_mut_checked(end).filter(|_| count > 0) else { return Ok(()) };
            let copies = self.batch(ranges.get(..count).unwrap_or_default(), memory)?;
            for (item, bytes) in now.iter_mut().filter(|item| range_of(item).is_some()).zip(copies) {
                take(item, bytes);
            }
            items = later;
        }
    }

    /// Copies up to [`BATCH`] ranges by one call, and says where each is.
    fn batch(
        &mut self,
        ranges: &[(RemoteAddr, u32)],
        memory: &mut impl Memory,
    ) -> Result<impl Iterator<Item = &[u8]>, Missing> {
        let mut all = [Range { at: 0, len: 0 }; BATCH];
        for (range, (at, len)) in all.iter_mut().zip(ranges) {
            *range = Range { at: at.0, len: *len };
        }
        self.forget();
        self.copy_all(all.get(..ranges.len().min(BATCH)).unwrap_or(&[]), memory)?;
        let of_span = |span: &Span| self.room.get(span.from..span.from.saturating_add(span.range.len as usize));
        Ok(self.spans.iter().map(move |span| of_span(span).unwrap_or(&[])))
    }

    /// Makes a plan of what the walk needed, if it needed more than planned. A shallow stack leaves the plan of a deep one, so
    /// that a program that goes up and down is read by one call; unless the plan is mostly of what is no longer there.
    pub(super) fn learn(&mut self, plan: &mut Plan) {
        let bytes_of = |ranges: &[Range]| ranges.iter().map(|range| u64::from(range.len)).sum::<u64>();
        let planned = bytes_of(&plan.ranges);
        let is_waste = planned > WASTE_MIN && bytes_of(&self.touched) < planned / WASTE_RATIO;
        if !self.missed && !is_waste {
            return;
        }
        plan.ranges.clear();
        self.touched.sort_unstable();
        let mut left = PLAN_BYTES_MAX;
        for range in &self.touched {
            let limit = range.at.saturating_sub(GAP_MAX);
            let near = plan.ranges.iter_mut().next_back().filter(|last| limit <= last.end());
            let more = if let Some(last) = near {
                last.grow_to(range.end())
            } else if plan.ranges.len() < PLAN_MAX {
                plan.ranges.push(*range);
                range.len
            } else {
                return;
            };
            let Some(rest) = left.checked_sub(more) else {
                plan.ranges.pop();
                return;
            };
            left = rest;
        }
    }

    fn forget(&mut self) {
        self.used = 0;
        self.spans.clear();
        self.planned = 0;
    }

    fn find(&self, wanted: Range) -> Option<usize> {
        let (planned, others) = self.spans.split_at_checked(self.planned)?;
        let before = planned.partition_point(|span| span.range.at <= wanted.at);
        let planned = before.checked_sub(1).and_then(|index| planned.get(index)).into_iter();
        planned.chain(others.iter().rev()).find_map(|span| {
            let ahead = wanted.at.checked_sub(span.range.at)?;
            let is_whole = ahead.checked_add(wanted.len.into())? <= span.range.len.into();
            is_whole.then(|| span.from.checked_add(usize::try_from(ahead).ok()?))?
        })
    }

    /// Copies a window, or no more than what is wanted of it, and says where that is.
    fn copy_window(
        &mut self,
        wanted: Range,
        (start, end): (u64, u64),
        memory: &mut impl Memory,
    ) -> Result<usize, Missing> {
        self.missed = true;
        let len = u32::try_from(end.saturating_sub(start)).unwrap_or(0);
        let window = Range { at: start, len };
        let holds = start <= wanted.at && wanted.end() <= end && wanted.end() > wanted.at;
        if holds && self.copy(window, memory).is_ok() {
            return self.find(wanted).ok_or(Missing::Unreadable);
        }
        self.copy(wanted, memory)?;
        self.find(wanted).ok_or(Missing::Unreadable)
    }

    fn copy(&mut self, range: Range, memory: &mut impl Memory) -> Result<(), Missing> {
        if self.used.saturating_add(range.len as usize) > self.room.len() || self.spans.len() >= self.spans.capacity() {
            // A stack goes one way: what was copied is no longer needed.
            self.forget();
        }
        self.copy_all(&[range], memory)
    }

    /// Copies ranges by one call, behind what is there.
    fn copy_all(&mut self, ranges: &[Range], memory: &mut impl Memory) -> Result<(), Missing> {
        self.reads_left = self.reads_left.checked_sub(1).ok_or(Missing::NoReadsLeft)?;
        let mut parts: [(RemoteAddr, &mut [u8]); BATCH] = array::from_fn(|_| (RemoteAddr(0), &mut [][..]));
        let mut rest = self.room.get_mut(self.used..).unwrap_or_default();
        for (part, range) in parts.iter_mut().zip(ranges) {
            let (copy, behind) = rest.split_at_mut_checked(range.len as usize).ok_or(Missing::Unreadable)?;
            *part = (RemoteAddr(range.at), copy);
            rest = behind;
        }
        let parts = parts.get_mut(..ranges.len()).ok_or(Missing::Unreadable)?;
        if !memory.read_all(parts) {
            return Err(Missing::Unreadable);
        }
        for range in ranges {
            self.spans.push(Span { range: *range, from: self.used });
            self.used = self.used.saturating_add(range.len as usize);
        }
        Ok(())
    }
}

/// A window from an address to the end of its page, which is there if the address is; further where `len` bytes reach further.
pub(super) fn to_page_end(at: RemoteAddr, len: u32) -> (u64, u64) {
    let page_end = (at.0 | (PAGE - 1)).saturating_add(1);
    (at.0, page_end.max(at.0.saturating_add(len.into())))
}

/// A window from the start of a page, as [`to_page_end`].
pub(super) fn from_page_start(at: RemoteAddr, len: u32) -> (u64, u64) {
    (at.0 & !(PAGE - 1), at.0.saturating_add(len.into()))
}

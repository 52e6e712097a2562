//! What code is mapped where in one process: executable ranges, sorted.

use std::{ops::Range, sync::Arc};

use profile::{
    address::{LoadBias, RemoteAddr},
    module::ModuleIndex,
};

use crate::UnwindInfo;

/// One executable mapping.
#[derive(Clone, Debug)]
pub struct MappedRange {
    /// First byte.
    pub start: RemoteAddr,
    /// One past the last.
    pub end: RemoteAddr,
    /// `None`: anonymous memory (JIT).
    pub module: Option<ModuleIndex>,
    /// Of the module.
    pub bias: LoadBias,
    /// `None`: the file could not be read, or there is none.
    pub info: Option<Arc<UnwindInfo>>,
}

impl MappedRange {
    /// The range around an address in it that is described as one function.
    pub fn function_at(&self, at: RemoteAddr) -> Option<Range<RemoteAddr>> {
        let function = self.info.as_ref()?.function_at(self.bias.to_file(at))?;
        Some(self.bias.to_remote(function.start)..self.bias.to_remote(function.end))
    }
}

/// The executable ranges of a process.
#[derive(Clone, Debug, Default)]
pub struct ModuleMap {
    ranges: Vec<MappedRange>,
}

impl ModuleMap {
    /// Sorts; of ranges that overlap, the later one is left out.
    pub fn new(mut ranges: Vec<MappedRange>) -> Self {
        ranges.retain(|range| range.start < range.end);
        ranges.sort_by_key(|range| range.start);
        let mut last_end = RemoteAddr(0);
        ranges.retain(|range| {
            let keep = range.start >= last_end;
            if keep {
                last_end = range.end;
            }
            keep
        });
        Self { ranges }
    }

    /// The range that holds an address.
    pub fn find(&self, at: RemoteAddr) -> Option<&MappedRange> {
        let after = self.ranges.partition_point(|range| range.start <= at);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        (at < range.end).then_some(range)
    }

    /// The same, looking at the `near`th range first, and leaving there which it was: a caller is most often in the
    /// module of its callee, and a search costs more than the rest of a frame.
    #[inline]
    pub(crate) fn find_near(&self, at: RemoteAddr, near: &mut usize) -> Option<&MappedRange> {
        if let Some(range) = self.ranges.get(*near)
            && (range.start..range.end).contains(&at)
        {
            return Some(range);
        }
        self.find_far(at, near)
    }

    #[inline(never)]
    fn find_far(&self, at: RemoteAddr, near: &mut usize) -> Option<&MappedRange> {
        let after = self.ranges.partition_point(|range| range.start <= at);
        *near = after.checked_sub(1)?;
        self.find(at)
    }

    /// Every range, by address.
    pub fn ranges(&self) -> &[MappedRange] {
        &self.ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> MappedRange {
        MappedRange { start: RemoteAddr(start), end: RemoteAddr(end), module: None, bias: LoadBias(0), info: None }
    }

    /// Check borders, gaps, overlap and empty ranges.
    #[test]
    fn find_range() {
        let map = ModuleMap::new(vec![range(30, 40), range(10, 20), range(15, 25), range(50, 50)]);
        let found = |at| map.find(RemoteAddr(at)).map(|range| range.start.0);
        assert_eq!(
            [9, 10, 19, 20, 30, 39, 40, 50].map(found),
            [None, Some(10), Some(10), None, Some(30), Some(30), None, None]
        );
    }
}

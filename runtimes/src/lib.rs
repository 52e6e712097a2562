//! Language runtimes that keep stacks of their own, read from a target's memory: which code each of its threads is in, and
//! at which line. Pure: it is given memory and bytes of files; no I/O, no clock, no panic and no endless loop on any bytes.
//!
//! [`python`] is CPython; [`merge`] puts its frames among the native ones. [`perf_map`] is what any runtime tells of the code that
//! it generates. A later runtime is a module beside them.
#![forbid(unsafe_code)]

pub mod fuzz;
pub mod merge;
pub mod perf_map;
pub mod python;

use profile::address::RemoteAddr;

/// A target's memory.
pub trait Memory {
    /// Fills `into` from `at` on; `false` if any byte is not there.
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool;

    /// Fills each buffer from its address on, in one call where the memory can; `false` if any byte of any is not there.
    fn read_all(&mut self, parts: &mut [(RemoteAddr, &mut [u8])]) -> bool {
        parts.iter_mut().all(|(at, into)| self.read(*at, into))
    }
}

/// A file's bytes.
pub trait File {
    /// Fills `into` from `at` on; `false` if any byte is not there.
    fn read_at(&self, at: u64, into: &mut [u8]) -> bool;
}

impl File for [u8] {
    fn read_at(&self, at: u64, into: &mut [u8]) -> bool {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..at.checked_add(into.len())?));
        from.map(|from| into.copy_from_slice(from)).is_some()
    }
}

//! Registers, a copied stack and call frame information to return addresses. Pure: no I/O, no clock, no panic and no
//! endless loop on any bytes.
//!
//! [`ElfLayout`] and [`UnwindInfo`] are made once a file from its bytes; [`ModuleMap`] says which file is mapped where;
//! [`Unwinder::unwind`] walks. A walk needs three registers in nearly every frame, and the rule for a frame is known by
//! (file, address), so rules are kept in one cache for all targets ([`rule`], [`cache`]). Where a frame asks for more
//! (signal trampolines, hand-written code), the walk is done again with every register.
//!
//! Formats: System V ABI AMD64 1.0, DWARF 5 section 6.4, Linux Standard Base 5.0 (`.eh_frame`, `.eh_frame_hdr`).
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects)]

pub mod cache;
mod capped;
pub mod elf;
mod epilogue;
mod full;
pub mod fuzz;
pub mod info;
mod lookup;
pub mod module_map;
mod prologue;
pub mod registers;
pub mod rule;
mod unwinder;

pub use crate::{
    elf::{ElfError, ElfLayout, Load},
    info::{Limits, UnwindInfo},
    module_map::{MappedRange, ModuleMap},
    registers::Registers,
    unwinder::Unwinder,
};

use profile::address::RemoteAddr;

/// A target's memory as it was at the sample.
pub trait Memory {
    /// Fills `into` from `at` on; `false` if any byte is not there.
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool;

    /// Fills `into` with code from `at` on. Asked only where call frame information does not lead on: for the size of a
    /// frame whose rbp is not known, whether the function is at its end, and whether a call was made before what may be a
    /// return address. Without code, a stack of the first kind is cut, and one of the last is followed where any code is.
    fn read_code(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        let (_, _) = (at, into);
        false
    }
}

/// One little-endian word.
#[inline]
pub(crate) fn read_word(memory: &mut impl Memory, at: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read(RemoteAddr(at), &mut bytes).then(|| u64::from_le_bytes(bytes))
}

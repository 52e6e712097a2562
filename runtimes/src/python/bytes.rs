//! Numbers in bytes that were read from a target, at offsets that may lie outside of them; and single pointers in its memory.

use profile::address::RemoteAddr;

use crate::Memory;

/// The `u64` at an offset.
pub(super) fn u64_at(bytes: &[u8], at: u32) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

/// The `i64` at an offset.
pub(super) fn i64_at(bytes: &[u8], at: u32) -> Option<i64> {
    array_at(bytes, at).map(i64::from_le_bytes)
}

/// The `u32` at an offset.
pub(super) fn u32_at(bytes: &[u8], at: u32) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

/// The `u16` at an offset.
pub(super) fn u16_at(bytes: &[u8], at: u32) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

/// The byte at an offset.
pub(super) fn u8_at(bytes: &[u8], at: u32) -> Option<u8> {
    bytes.get(usize::try_from(at).ok()?).copied()
}

/// The pointer at an offset from an address of the target.
pub(super) fn pointer(at: RemoteAddr, offset: u32, memory: &mut impl Memory) -> Option<RemoteAddr> {
    let mut bytes = [0; 8];
    memory.read(at.checked_add(offset.into())?, &mut bytes).then_some(())?;
    u64_at(&bytes, 0).map(RemoteAddr)
}

fn array_at<const N: usize>(bytes: &[u8], at: u32) -> Option<[u8; N]> {
    bytes.get(usize::try_from(at).ok()?..)?.first_chunk().copied()
}

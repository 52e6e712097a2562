//! Reading a target's memory by `process_vm_readv`. Stops nobody, judges nothing.

use std::io::IoSliceMut;

use nix::{
    errno::Errno,
    sys::uio::{RemoteIoVec, process_vm_readv},
};
use profile::{address::RemoteAddr, id::Tid};

/// x86-64's page.
pub const PAGE: u64 = 4096;

/// Copies from `at` on into `into`; how many bytes came (fewer at the end of a mapping).
/// The thread's id is used, not the process's: the leader may be a zombie while its threads live.
pub fn read(tid: Tid, at: RemoteAddr, into: &mut [u8]) -> Result<usize, Errno> {
    let Ok(base) = usize::try_from(at.0) else { return Err(Errno::EFAULT) };
    let remote = [RemoteIoVec { base, len: into.len() }];
    process_vm_readv(nix::unistd::Pid::from_raw(tid.0), &mut [IoSliceMut::new(into)], &remote)
}

/// The start of the page that holds an address.
pub fn page_of(at: u64) -> u64 {
    at & !(PAGE - 1)
}

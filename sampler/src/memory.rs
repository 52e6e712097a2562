//! Reading a target's memory by `process_vm_readv`. Stops nobody, judges nothing.

use std::io::IoSliceMut;

use nix::{
    errno::Errno,
    sys::uio::{RemoteIoVec, process_vm_readv},
};
use profile::{
    address::RemoteAddr,
    id::{Pid, Tid},
};

/// x86-64's page.
pub const PAGE: u64 = 4096;

/// Copies from `at` on into `into`; how many bytes came (fewer at the end of a mapping).
/// The thread's id is used, not the process's: the leader may be a zombie while its threads live.
pub fn read(tid: Tid, at: RemoteAddr, into: &mut [u8]) -> Result<usize, Errno> {
    let Ok(base) = usize::try_from(at.0) else { return Err(Errno::EFAULT) };
    let remote = [RemoteIoVec { base, len: into.len() }];
    process_vm_readv(nix::unistd::Pid::from_raw(tid.0), &mut [IoSliceMut::new(into)], &remote)
}

/// A target's memory as it is now, by one of its threads.
#[derive(Clone, Copy, Debug)]
pub struct Now(pub Tid);

impl runtimes::Memory for Now {
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        read(self.0, at, into) == Ok(into.len())
    }

    /// One call for as many parts as fit into one without an allocation: a thread may be stopped meanwhile.
    fn read_all(&mut self, parts: &mut [(RemoteAddr, &mut [u8])]) -> bool {
        parts.chunks_mut(PARTS_MAX).all(|parts| read_parts(self.0, parts) == Ok(true))
    }
}

/// A target's memory as it is now, by a thread that may have ended meanwhile: then by the process's first one.
#[derive(Clone, Copy, Debug)]
pub struct Lasting {
    by: Tid,
    first: Tid,
}

impl Lasting {
    /// Of a thread of a process.
    pub fn new(tid: Tid, pid: Pid) -> Self {
        Self { by: tid, first: Tid(pid.0) }
    }

    fn or_by_first<T>(&mut self, mut read: impl FnMut(Tid) -> Result<T, Errno>) -> Result<T, Errno> {
        match read(self.by) {
            Err(Errno::ESRCH) if self.by != self.first => {
                self.by = self.first;
                read(self.by)
            }
            got => got,
        }
    }
}

impl runtimes::Memory for Lasting {
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        self.or_by_first(|tid| read(tid, at, into)) == Ok(into.len())
    }

    fn read_all(&mut self, parts: &mut [(RemoteAddr, &mut [u8])]) -> bool {
        parts.chunks_mut(PARTS_MAX).all(|parts| self.or_by_first(|tid| read_parts(tid, parts)) == Ok(true))
    }
}

/// Parts of one vectored read: as many as the walk of a stack asks for at once. They take 2 KiB of our stack.
const PARTS_MAX: usize = 64;

/// Whether all came.
fn read_parts(tid: Tid, parts: &mut [(RemoteAddr, &mut [u8])]) -> Result<bool, Errno> {
    let mut remote = [RemoteIoVec { base: 0, len: 0 }; PARTS_MAX];
    let mut local: [IoSliceMut<'_>; PARTS_MAX] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
    let (mut count, mut wanted) = (0, 0_usize);
    for (((at, into), from), to) in parts.iter_mut().zip(&mut remote).zip(&mut local) {
        let Ok(base) = usize::try_from(at.0) else { return Ok(false) };
        *from = RemoteIoVec { base, len: into.len() };
        wanted = wanted.saturating_add(into.len());
        *to = IoSliceMut::new(into);
        count += 1;
    }
    let (Some(local), Some(remote)) = (local.get_mut(..count), remote.get(..count)) else { return Ok(false) };
    Ok(process_vm_readv(nix::unistd::Pid::from_raw(tid.0), local, remote)? == wanted)
}

/// The start of the page that holds an address.
pub fn page_of(at: u64) -> u64 {
    at & !(PAGE - 1)
}

//! Addresses of a target and of its files, as types that cannot be mixed up. The bias is added and subtracted here
//! only.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An address in a target's memory (also called AVMA: actual virtual memory address).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RemoteAddr(pub u64);

/// An address as an ELF file states it, in `st_value`, `p_vaddr`, `.eh_frame` (SVMA: stated virtual memory address).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct FileAddr(pub u64);

/// What the loader added to every file address of a module: `remote = file + bias` (wrapping; a prelinked file
/// may be mapped below its stated address).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LoadBias(pub u64);

impl LoadBias {
    /// The bias of a module of which `file` is seen at `remote`.
    pub fn between(file: FileAddr, remote: RemoteAddr) -> Self {
        Self(remote.0.wrapping_sub(file.0))
    }

    /// Where a file address of this module is in the target.
    pub fn to_remote(self, at: FileAddr) -> RemoteAddr {
        RemoteAddr(at.0.wrapping_add(self.0))
    }

    /// What address the file states for a place in the target.
    pub fn to_file(self, at: RemoteAddr) -> FileAddr {
        FileAddr(at.0.wrapping_sub(self.0))
    }
}

impl RemoteAddr {
    /// This address moved up by `bytes`; `None` past the end of the address space.
    pub fn checked_add(self, bytes: u64) -> Option<Self> {
        self.0.checked_add(bytes).map(Self)
    }
}

macro_rules! hexadecimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    )*};
}
hexadecimal!(RemoteAddr, FileAddr, LoadBias);

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a bias takes a file address to the target and back, also when it wraps below zero.
    #[test]
    fn bias_round_trip() {
        let bias = LoadBias::between(FileAddr(0x40_1000), RemoteAddr(0x1000));
        assert_eq!(bias.to_remote(FileAddr(0x40_1234)), RemoteAddr(0x1234));
        assert_eq!(bias.to_file(RemoteAddr(0x1234)), FileAddr(0x40_1234));
        assert_eq!(format!("{} {:?}", RemoteAddr(255), FileAddr(16)), "0xff FileAddr(0x10)");
    }
}

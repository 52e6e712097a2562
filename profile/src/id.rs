//! Ids: of processes and threads, of builds, of profilers and chunks.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A process (thread group) id in the agent's pid namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pid(pub i32);

/// A thread id in the agent's pid namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tid(pub i32);

macro_rules! decimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}
decimal!(Pid, Tid);

/// The GNU build id of an ELF file: the descriptor of its `NT_GNU_BUILD_ID` note, usually 20 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BuildId(pub Box<[u8]>);

impl BuildId {
    /// Longer notes are cut: no linker writes more than 64 bytes (`--build-id=0x…` may, by hand).
    const BYTES_MAX: usize = 64;

    /// Takes the note's descriptor. `None` if it is empty.
    pub fn new(descriptor: &[u8]) -> Option<Self> {
        let kept = descriptor.get(..Self::BYTES_MAX).unwrap_or(descriptor);
        (!kept.is_empty()).then(|| Self(kept.into()))
    }

    /// The debug id that Sentry and Breakpad derive from it: the first 16 bytes (zero-padded) as a UUID whose first
    /// three groups are little-endian, hyphenated, without the appendix 0.
    pub fn debug_id(&self) -> Uuid {
        let mut bytes = [0_u8; 16];
        for (to, from) in bytes.iter_mut().zip(self.0.iter()) {
            *to = *from;
        }
        Uuid::from_bytes_le(bytes)
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildId({self})")
    }
}

/// One start of the profiler on one target process. Every chunk of that session carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ProfilerId(pub Uuid);

/// One chunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ChunkId(pub Uuid);

impl fmt::Display for ProfilerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the debug id swaps the first three groups, as Relay and Breakpad do.
    #[test]
    fn debug_id_of_build_id() {
        let id = BuildId::new(&[
            0xb0, 0x3e, 0x4a, 0x7f, 0x5e, 0x88, 0x4c, 0x8d, 0xa0, 0x4b, 0x05, 0xfa, 0x32, 0xcc, 0x4c, 0xbd, 1, 2, 3, 4,
        ])
        .unwrap();
        assert_eq!(id.debug_id().to_string(), "7f4a3eb0-885e-8d4c-a04b-05fa32cc4cbd");
        assert_eq!(id.to_string(), "b03e4a7f5e884c8da04b05fa32cc4cbd01020304");
    }
}

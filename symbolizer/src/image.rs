//! Random access to the bytes of one file, by pread. Never maps: a page beyond a truncated file's end would kill us.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

/// The bytes of an ELF file, on disk or in memory.
#[derive(Debug)]
pub(crate) enum Image {
    File { file: File, len: u64 },
    Bytes(Arc<[u8]>),
}

impl Image {
    /// Takes the length as it is now; reads beyond it fail, also when the file grew.
    pub(crate) fn of_file(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self::File { file, len })
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `into` from `offset`; false if any byte is not there.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> bool {
        if offset.checked_add(into.len() as u64).is_none_or(|end| end > self.len()) {
            return false;
        }
        match self {
            Self::File { file, .. } => file.read_exact_at(into, offset).is_ok(),
            Self::Bytes(bytes) => {
                let Some(from) = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)?.get(..into.len())) else {
                    return false;
                };
                into.copy_from_slice(from);
                true
            }
        }
    }

    /// `len` bytes at `offset`. The file's own length bounds what is allocated, `most` too.
    pub(crate) fn bytes(&self, offset: u64, len: u64, most: usize) -> Option<Vec<u8>> {
        let fits = usize::try_from(len).ok().filter(|&len| len <= most)?;
        // Before the allocation: a header may state any length.
        offset.checked_add(len).filter(|&end| end <= self.len())?;
        let mut bytes = vec![0; fits];
        self.read(offset, &mut bytes).then_some(bytes)
    }

    /// The bytes from `offset` up to the first NUL, which must come before `end` and within `most` bytes.
    pub(crate) fn c_string(&self, offset: u64, end: u64, most: usize) -> Option<Vec<u8>> {
        /// Most names are shorter: one read does.
        const STEP: usize = 256;
        let mut found = Vec::new();
        let mut at = offset;
        while found.len() < most && at < end {
            let step = STEP.min(usize::try_from(end - at).unwrap_or(STEP)).min(most - found.len());
            let piece = self.bytes(at, step as u64, STEP)?;
            if let Some(nul) = piece.iter().position(|&byte| byte == 0) {
                found.extend(piece.into_iter().take(nul));
                return Some(found);
            }
            at += step as u64;
            found.extend(piece);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that strings end at the NUL, across steps, and never beyond their bounds.
    #[test]
    fn c_strings_within_bounds() {
        let mut bytes = b"short\0".to_vec();
        bytes.extend([b'x'; 700]);
        bytes.push(0);
        bytes.extend(b"open");
        let image = Image::Bytes(bytes.into());
        assert_eq!(image.c_string(0, 711, 1000).unwrap(), b"short");
        assert_eq!(image.c_string(6, 711, 1000).unwrap().len(), 700);
        assert_eq!(image.c_string(6, 711, 100), None);
        assert_eq!(image.c_string(707, 711, 100), None);
        assert_eq!(image.c_string(900, 711, 100), None);
        assert_eq!(image.bytes(700, u64::MAX, usize::MAX), None);
    }
}

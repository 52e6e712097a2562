//! `.gnu_debugdata`: a small ELF file with the symbols that are not exported, compressed by xz, inside a stripped one
//! (Fedora and its kin).

use std::sync::Arc;

use crate::{
    elf::{ElfFile, u16_at},
    image::Image,
};

/// The section as it is stored; the largest seen in Fedora (chromium) has 6 MB.
const PACKED_MAX: usize = 32 << 20;

/// The symbols' ELF file, if there is one that unpacks to at most `most` bytes.
pub(crate) fn unpack(file: &ElfFile, most: usize) -> Option<Arc<ElfFile>> {
    let section = file.section(".gnu_debugdata")?;
    let packed = file.image.bytes(section.offset, section.size, PACKED_MAX)?;
    let unpacked = unxz(&packed, most)?;
    ElfFile::parse(Image::Bytes(unpacked.into())).ok().map(Arc::new)
}

fn unxz(packed: &[u8], most: usize) -> Option<Vec<u8>> {
    // `lzma_rs` gathers a block in memory before it writes any of it: so the size is made sure of before.
    let size = unpacked_size(packed).filter(|&size| size <= most)?;
    let mut unpacked = Vec::with_capacity(size);
    lzma_rs::xz_decompress(&mut &*packed, &mut unpacked).ok()?;
    Some(unpacked)
}

/// The size that the chunks of the LZMA2 stream state. A decoder makes no more of a chunk than it states.
///
/// ```text
/// stream header (12 bytes), then blocks:
///   header: its size / 4 - 1 (1 byte; 0: no further block), flags and filters up to that size
///   chunks: 0x00                                         end
///           0x01, 0x02       size-1 (u16 BE)             that many bytes as they are
///           0x80..           size-1 (5 bits here + u16 BE), packed size-1 (u16 BE), from 0xc0 on one byte more
///   padding to 4, checksum (its size by the stream's flags)
/// ```
fn unpacked_size(packed: &[u8]) -> Option<usize> {
    let checksum = match packed.get(7)? & 0xf {
        0 => 0,
        1 => 4,
        4 => 8,
        10 => 32,
        _ => return None,
    };
    let mut at = 12;
    let mut size = 0_usize;
    while let header @ 1.. = usize::from(*packed.get(at)?) {
        let start = at;
        at += (header + 1) * 4;
        loop {
            let control = *packed.get(at)?;
            let stated = u16_at(packed, at + 1).map(u16::swap_bytes);
            match control {
                0 => break,
                1 | 2 => {
                    let plain = usize::from(stated?) + 1;
                    size = size.checked_add(plain)?;
                    at += 3 + plain;
                }
                0x80.. => {
                    size = size.checked_add((usize::from(control & 0x1f) << 16) + usize::from(stated?) + 1)?;
                    let inside = usize::from(u16_at(packed, at + 3)?.swap_bytes()) + 1;
                    at += 5 + usize::from(control >= 0xc0) + inside;
                }
                _ => return None,
            }
        }
        at = start + (at + 1 - start).next_multiple_of(4) + checksum;
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        lzma_rs::xz_compress(&mut &*bytes, &mut packed).unwrap();
        packed
    }

    /// Check that the stated size is known before anything is unpacked, and is obeyed.
    #[test]
    fn size_is_known_before() {
        let bytes: Vec<u8> = (0..50_000_u32).flat_map(|n| (n / 50).to_le_bytes()).collect();
        let packed = packed(&bytes);
        assert_eq!(unpacked_size(&packed), Some(200_000));
        assert_eq!(unxz(&packed, 200_000).as_deref(), Some(&*bytes));
        assert_eq!(unxz(&packed, 199_999), None);
        assert_eq!(unxz(&packed[..packed.len() / 2], 200_000), None);
        assert_eq!(unpacked_size(&[]), None);
    }
}

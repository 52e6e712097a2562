//! How the bytes of a fuzzed walk are cut into sections, registers, code and stack, and how sections become a file: so
//! that a change of a byte changes call frame information, not the headers of a file.

use profile::address::{FileAddr, LoadBias};

use crate::{
    Registers,
    registers::{COUNT, RA, RBP, RSP},
};

/// File address of `.text`.
pub(super) const CODE: u64 = 0x1000;
/// File address of `.eh_frame`.
const EH_FRAME: u64 = 0x2_0000;
/// File address of `.eh_frame_hdr`.
const EH_FRAME_HDR: u64 = 0x3_0000;
/// Where the stack begins in the target.
pub(super) const STACK: u64 = 0x7000_0000;

const ELF_HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;
const SECTION_HEADER: u64 = 64;

/// Eight little-endian u16: what to do (bits), program counter, stack pointer and frame pointer as offsets, then the
/// lengths of `.eh_frame`, `.eh_frame_hdr`, `.debug_frame` and the code, which follow. What is left is the stack.
pub(super) struct Input<'b> {
    what: u16,
    /// File address.
    pub(super) pc: u64,
    sp: u64,
    bp: u64,
    pub(super) eh_frame: &'b [u8],
    eh_frame_hdr: &'b [u8],
    pub(super) debug_frame: &'b [u8],
    pub(super) code: &'b [u8],
    pub(super) stack: &'b [u8],
}

impl<'b> Input<'b> {
    /// Without section headers, as the vDSO may be.
    const SEGMENTS_ONLY: u16 = 1;
    /// As a sleeping thread shows itself.
    const BLOCKED: u16 = 2;

    pub(super) fn of(bytes: &'b [u8]) -> Self {
        let mut rest = bytes;
        let [what, pc, sp, bp, eh_frame, eh_frame_hdr, debug_frame, code] = [(); 8].map(|()| {
            let (number, after) = rest.split_first_chunk().unwrap_or((&[0; 2], &[]));
            rest = after;
            u16::from_le_bytes(*number)
        });
        let [eh_frame, eh_frame_hdr, debug_frame, code] = [eh_frame, eh_frame_hdr, debug_frame, code].map(|len| {
            let (section, after) = rest.split_at_checked(len.into()).unwrap_or((rest, &[]));
            rest = after;
            section
        });
        let [pc, sp, bp] = [(CODE, pc), (STACK, sp), (STACK, bp)].map(|(base, ahead)| base.wrapping_add(ahead.into()));
        Self { what, pc, sp, bp, eh_frame, eh_frame_hdr, debug_frame, code, stack: rest }
    }

    /// A register that is none of the three holds a word of the stack, or 0.
    pub(super) fn registers(&self, bias: LoadBias) -> Registers {
        let pc = bias.to_remote(FileAddr(self.pc)).0;
        if self.what & Self::BLOCKED != 0 {
            return Registers::blocked(self.sp, pc);
        }
        let (words, _) = self.stack.as_chunks();
        let mut values = [0; COUNT];
        values.iter_mut().zip(words).for_each(|(value, word)| *value = u64::from_le_bytes(*word));
        Registers::full(values).with(RBP, self.bp).with(RSP, self.sp).with(RA, pc)
    }

    /// An ELF file with these sections.
    pub(super) fn file(&self) -> Vec<u8> {
        let sections = [
            (".eh_frame", EH_FRAME, self.eh_frame),
            (".eh_frame_hdr", EH_FRAME_HDR, self.eh_frame_hdr),
            (".debug_frame", 0, self.debug_frame),
            (".text", CODE, &[]),
        ];
        let mut file = File { headers: vec![0; 64], segments: Vec::new(), content: Vec::new(), names: vec![0] };
        for (name, address, bytes) in sections {
            // One that is empty is not there.
            if !bytes.is_empty() || name == ".text" {
                file.section(name, address, bytes);
            }
        }
        file.finish(self.what & Self::SEGMENTS_ONLY != 0)
    }
}

/// An ELF file that is put together: ELF header, two program headers, content, names, section headers. The first of
/// these is empty.
struct File {
    headers: Vec<u8>,
    segments: Vec<u8>,
    content: Vec<u8>,
    names: Vec<u8>,
}

impl File {
    const CONTENT: u64 = ELF_HEADER + 2 * PROGRAM_HEADER;
    const PT_LOAD: u64 = 1;
    const PT_GNU_EH_FRAME: u64 = 0x6474_e550;
    const READ: u64 = 4 << 32;

    fn section(&mut self, name: &str, address: u64, bytes: &[u8]) {
        let (offset, len) = (Self::CONTENT.wrapping_add(size(&self.content)), size(bytes));
        let progbits = 1 << 32;
        words(&mut self.headers, &[size(&self.names) | progbits, 0, address, offset, len, 0, 1, 0]);
        let kind = match name {
            ".eh_frame" => Some(Self::PT_LOAD),
            ".eh_frame_hdr" => Some(Self::PT_GNU_EH_FRAME),
            _ => None,
        };
        if let Some(kind) = kind {
            words(&mut self.segments, &[kind | Self::READ, offset, address, address, len, len, 1]);
        }
        self.names.extend(name.bytes().chain([0]));
        self.content.extend(bytes);
    }

    fn finish(mut self, segments_only: bool) -> Vec<u8> {
        let names_at = Self::CONTENT.wrapping_add(size(&self.content));
        let strtab = 3 << 32;
        let (name, names_len) = (size(&self.names), size(&self.names).wrapping_add(10));
        self.names.extend(b".shstrtab\0");
        words(&mut self.headers, &[name | strtab, 0, 0, names_at, names_len, 0, 1, 0]);
        let sections = if segments_only { 0 } else { size(&self.headers) / SECTION_HEADER };
        let segments = size(&self.segments) / PROGRAM_HEADER;

        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        // e_type 3, e_machine 62, e_version 1; no entry; program headers; section headers; sizes and counts.
        words(&mut file, &[3 | (62 << 16) | (1 << 32), 0, ELF_HEADER, names_at.wrapping_add(names_len)]);
        words(&mut file, &[(ELF_HEADER << 32) | (PROGRAM_HEADER << 48)]);
        words(&mut file, &[segments | (SECTION_HEADER << 16) | (sections << 32) | (sections.saturating_sub(1) << 48)]);
        self.segments.resize(usize::try_from(2 * PROGRAM_HEADER).unwrap_or(0), 0);
        [file, self.segments, self.content, self.names, self.headers].concat()
    }
}

fn words(to: &mut Vec<u8>, words: &[u64]) {
    to.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

//! Where functions begin, by the search table of the unwind information: what tells the functions of a stripped file apart.
//! `.eh_frame_hdr`: Linux Standard Base 5.0, Core, 10.6.2; encodings: the same, 10.5.1.

use crate::elf::{ElfFile, Section, u32_at};

/// Version, three encodings, the pointer to `.eh_frame`, the count of rows.
const HEAD: u64 = 12;
/// A row: where a function begins, where its description is; both relative to the section.
const ROW: u64 = 8;
/// Unsigned, four bytes.
const UDATA4: u8 = 0x03;
/// Signed, four bytes, relative to the section.
const DATAREL_SDATA4: u8 = 0x3b;

/// Where the function at a file address begins; `None` when the file has no table in the form that all linkers write.
pub(crate) fn start_of(file: &ElfFile, at: u64) -> Option<u64> {
    let section = file.section(".eh_frame_hdr")?;
    let head = file.image.bytes(section.offset, HEAD, 12)?;
    let [1, _, UDATA4, DATAREL_SDATA4] = *head.first_chunk()? else { return None };
    let room = section.size.checked_sub(HEAD)? / ROW;
    let (mut low, mut high) = (0, u64::from(u32_at(&head, 8)?).min(room));
    while low < high {
        let middle = low + (high - low) / 2;
        if start(file, section, middle)? <= at { low = middle + 1 } else { high = middle }
    }
    let start = start(file, section, low.checked_sub(1)?)?;
    // The last function of one section is not that of code in the next.
    let holds = |code: &&Section| (code.address..code.address.saturating_add(code.size)).contains(&at);
    let code = file.sections.iter().filter(|section| section.is_code()).find(holds)?;
    (start >= code.address).then_some(start)
}

fn start(file: &ElfFile, section: &Section, row: u64) -> Option<u64> {
    let mut bytes = [0; 4];
    let offset = section.offset.checked_add(HEAD + row * ROW)?;
    file.image.read(offset, &mut bytes).then(|| section.address.wrapping_add_signed(i32::from_le_bytes(bytes).into()))
}

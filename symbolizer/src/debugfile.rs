//! Finds the separate debug file of a stripped one, inside the target's root: by build id, then by `.gnu_debuglink`.
//! A file with another build id is never taken; one without any is taken if its checksum is the one that was linked.

use std::sync::Arc;

use profile::id::BuildId;

use crate::{
    elf::{ElfFile, u32_at},
    image::Image,
    source::TargetFiles,
};

/// Where distributions put debug files.
const DEBUG_ROOT: &str = "/usr/lib/debug";
/// Larger files are not read through for their checksum; those with a build id need not be.
const CHECKSUM_MAX: u64 = 1 << 30;
/// A section of a file name and a checksum.
const LINK_MAX: usize = 4096 + 8;

/// A debug file that was found, and what finding it has read.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) found: Option<Arc<ElfFile>>,
    /// Where it is, as the target sees it.
    pub(crate) place: Option<String>,
    pub(crate) read: u64,
}

/// Looks for the debug file of `file`, which the target sees at `path`.
pub(crate) fn search(file: &ElfFile, path: &str, files: &dyn TargetFiles) -> Search {
    let mut search = Search::default();
    if let Some(place) = file.build_id.as_ref().and_then(place_of) {
        let opened = open(files, &place).filter(|found| found.build_id == file.build_id);
        search.found = opened.map(Arc::new);
        search.place = search.found.as_ref().map(|_| place);
    }
    if search.found.is_none()
        && let Some((name, checksum)) = link(file)
    {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let places =
            [format!("{folder}/{name}"), format!("{folder}/.debug/{name}"), format!("{DEBUG_ROOT}{folder}/{name}")];
        let mut opened = places.into_iter().filter_map(|place| Some((open(files, &place)?, place)));
        let found = opened.find(|(found, _)| matches(file, found, checksum, &mut search.read));
        (search.found, search.place) = found.map(|(found, place)| (Arc::new(found), place)).unzip();
    }
    search
}

/// Where the debug file of a build is.
pub(crate) fn place_of(id: &BuildId) -> Option<String> {
    let id = id.to_string();
    let (first, rest) = id.split_at_checked(2).filter(|(_, rest)| !rest.is_empty())?;
    Some(format!("{DEBUG_ROOT}/.build-id/{first}/{rest}.debug"))
}

/// The file name and the CRC-32 of `.gnu_debuglink`: a string, padding to four bytes, the checksum.
fn link(file: &ElfFile) -> Option<(String, u32)> {
    let section = file.section(".gnu_debuglink")?;
    let bytes = file.image.bytes(section.offset, section.size, LINK_MAX)?;
    let name = bytes.split(|&byte| byte == 0).next()?;
    let checksum = u32_at(&bytes, (name.len() + 1).next_multiple_of(4))?;
    let name = str::from_utf8(name).ok()?;
    // A file name, not a path: `..` would lead out of the folders above.
    let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    plain.then(|| (name.to_owned(), checksum))
}

/// An ELF file as the target sees it.
pub(crate) fn open(files: &dyn TargetFiles, path: &str) -> Option<ElfFile> {
    ElfFile::parse(Image::of_file(files.open(path)?).ok()?).ok()
}

/// A `.dwo` file as the target sees it.
pub(crate) fn open_part(files: &dyn TargetFiles, path: &str) -> Option<ElfFile> {
    ElfFile::parse_part(Image::of_file(files.open(path)?).ok()?).ok()
}

/// The build ids say it for free; only without them is the whole file read.
fn matches(file: &ElfFile, found: &ElfFile, checksum: u32, read: &mut u64) -> bool {
    if let (Some(wanted), Some(found)) = (&file.build_id, &found.build_id) {
        return wanted == found;
    }
    *read += found.image.len().min(CHECKSUM_MAX);
    checksum_of(&found.image) == Some(checksum)
}

fn checksum_of(image: &Image) -> Option<u32> {
    const STEP: u64 = 256 << 10;
    if image.len() > CHECKSUM_MAX {
        return None;
    }
    let mut hasher = crc32fast::Hasher::new();
    let mut at = 0;
    while at < image.len() {
        let len = STEP.min(image.len() - at);
        hasher.update(&image.bytes(at, len, usize::MAX)?);
        at += len;
    }
    Some(hasher.finalize())
}

//! Supplementary files: what `dwz` moved out of the debug information of several files into one that they share.
//! Finds it as the target sees it, where distributions place it, and takes none but the one that was linked.

use std::sync::Arc;

use gimli::{EndianSlice, LittleEndian, Reader as _};
use profile::id::BuildId;

use crate::{debugfile, elf::ElfFile, source::TargetFiles};

/// A section of a path and a build id or checksum.
const LINK_MAX: usize = 4096 + 1 + 64 + 8;
/// Where distributions put such files.
const ROOT: &str = "/usr/lib/debug/.dwz";

/// What a file says of its supplementary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Absolute, or below the folder of the file that says it.
    pub(crate) path: String,
    proof: Proof,
}

/// What the right file has.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Proof {
    BuildId(BuildId),
    Checksum(Box<[u8]>),
}

impl Link {
    /// What `file` says, in GNU's way or by DWARF 5. `None`: it has all that it needs.
    pub(crate) fn of(file: &ElfFile) -> Option<Self> {
        gnu(file).or_else(|| {
            let sup = Sup::of(file).filter(|sup| !sup.is_supplement)?;
            Some(Self { path: sup.path, proof: Proof::Checksum(sup.checksum) })
        })
    }

    /// The build id to ask others for.
    pub(crate) fn build_id(&self) -> Option<&BuildId> {
        if let Proof::BuildId(id) = &self.proof { Some(id) } else { None }
    }

    /// The supplementary file, if it is there and is the one: linked from the file that the target sees at `from`.
    pub(crate) fn search(&self, from: &str, files: &dyn TargetFiles) -> Option<Arc<ElfFile>> {
        let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
        let linked = if self.path.starts_with('/') { self.path.clone() } else { format!("{folder}/{}", self.path) };
        // A path relative to where a link leads: a debug file below `.build-id` is one in Fedora.
        let name = self.path.rsplit_once(".dwz/").or_else(|| self.path.rsplit_once('/'));
        let name = name.map_or(&*self.path, |(_, name)| name);
        let places = [Some(linked), Some(format!("{ROOT}/{name}")), self.build_id().and_then(debugfile::place_of)];
        places
            .iter()
            .flatten()
            .filter_map(|place| debugfile::open(files, place))
            .find(|file| self.is(file))
            .map(Arc::new)
    }

    /// Whether that is the file that was linked.
    pub(crate) fn is(&self, file: &ElfFile) -> bool {
        match &self.proof {
            Proof::BuildId(id) => file.build_id.as_ref() == Some(id),
            Proof::Checksum(sum) => Sup::of(file).is_some_and(|sup| sup.is_supplement && sup.checksum == *sum),
        }
    }
}

/// `.gnu_debugaltlink`: a path, a NUL, the build id.
fn gnu(file: &ElfFile) -> Option<Link> {
    let section = file.section(".gnu_debugaltlink")?;
    let bytes = file.image.bytes(section.offset, section.size, LINK_MAX)?;
    let end = bytes.iter().position(|&byte| byte == 0)?;
    let path = str::from_utf8(bytes.get(..end)?).ok().filter(|path| !path.is_empty())?;
    Some(Link { path: path.to_owned(), proof: Proof::BuildId(BuildId::new(bytes.get(end + 1..)?)?) })
}

/// `.debug_sup` (DWARF 5, section 7.3.6): version (u16), whether this is the supplementary file (u8), a path (empty in
/// that file), length of the checksum (LEB128), the checksum.
struct Sup {
    is_supplement: bool,
    path: String,
    checksum: Box<[u8]>,
}

impl Sup {
    fn of(file: &ElfFile) -> Option<Self> {
        let section = file.section(".debug_sup")?;
        let bytes = file.image.bytes(section.offset, section.size, LINK_MAX)?;
        let mut reader = EndianSlice::new(&bytes, LittleEndian);
        if reader.read_u16().ok()? != 5 {
            return None;
        }
        let is_supplement = reader.read_u8().ok()? == 1;
        let path = reader.read_null_terminated_slice().ok()?;
        let len = usize::try_from(reader.read_uleb128().ok()?).ok()?;
        // An empty one proves nothing.
        let checksum = reader.split(len).ok().filter(|sum| !sum.is_empty())?;
        Some(Self { is_supplement, path: path.to_string().ok()?.to_owned(), checksum: checksum.slice().into() })
    }
}

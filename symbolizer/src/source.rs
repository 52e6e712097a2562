//! What a caller gives for each module, and when two of them are the same.

use std::{fmt, fs::File, io, os::unix::fs::MetadataExt, sync::Arc};

use profile::{frame::Missing, id::BuildId};

use crate::{elf::ElfFile, image::Image};

/// Opens files as the target sees them.
pub trait TargetFiles: Send {
    /// Opens a regular file at the target's `path`; the caller keeps it inside the target's root.
    fn open(&self, path: &str) -> Option<File>;

    /// Which root that is (device and inode of its directory). Modules are shared only within one root: a target must
    /// not lend its own debug files, true or forged, to another's library.
    fn root(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// Knows debug files that the target's root does not have: those of a server, say.
pub trait Fetch: Send + Sync {
    /// The debug file of that build, if it is here. Never waits: what is still on its way is `None`, and told to
    /// [`crate::Symbolizer::arrived`] later.
    fn debug_file(&self, build_id: &BuildId) -> Option<File>;
}

/// The build id that an ELF file states.
pub fn build_id_of(file: File) -> Option<BuildId> {
    ElfFile::parse(Image::of_file(file).ok()?).ok()?.build_id
}

/// The bytes of a module.
#[derive(Debug)]
pub enum Elf {
    /// The mapped file itself, opened so that it is the same inode.
    File(File),
    /// A module without a file: the vDSO.
    Bytes(Arc<[u8]>),
    /// It could not be opened; every frame in it carries this reason.
    Missing(Missing),
}

/// A module to name frames of.
pub struct ModuleSource {
    /// The path as the target sees it.
    pub path: String,
    /// What the mapped file's note said, where the caller knows it.
    pub build_id: Option<BuildId>,
    /// Its bytes.
    pub elf: Elf,
    /// Where its debug files are looked for.
    pub files: Arc<dyn TargetFiles + Sync>,
}

impl fmt::Debug for ModuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleSource")
            .field("path", &self.path)
            .field("build_id", &self.build_id)
            .field("elf", &self.elf)
            .finish_non_exhaustive()
    }
}

/// Equal for two sources that give the same names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Identity {
    path: String,
    root: (u64, u64),
    content: Content,
}

/// The build id alone would not do: any target can write a library that states the id of libc.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Content {
    File { device: u64, inode: u64, size: u64, changed: (i64, i64) },
    Bytes(Arc<[u8]>),
    Missing(Missing),
}

impl Identity {
    pub(crate) fn of(source: &ModuleSource) -> io::Result<Self> {
        let content = match &source.elf {
            Elf::File(file) => {
                let facts = file.metadata()?;
                // ctime, not mtime: the file's owner can set the latter back after a change.
                let changed = (facts.ctime(), facts.ctime_nsec());
                Content::File { device: facts.dev(), inode: facts.ino(), size: facts.size(), changed }
            }
            Elf::Bytes(bytes) => Content::Bytes(Arc::clone(bytes)),
            Elf::Missing(why) => Content::Missing(*why),
        };
        Ok(Self { path: source.path.clone(), root: source.files.root(), content })
    }
}

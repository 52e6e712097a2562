//! The modules of a target: maps rows grouped by file, their files opened inside the target's root, their unwind
//! information parsed once and shared. Unwinds nothing, names nothing.

use std::{
    cell::Cell,
    collections::HashMap,
    fs::File,
    os::{
        fd::AsFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};
use object::read::ReadCache;
use profile::{
    address::{LoadBias, RemoteAddr},
    id::{Pid, Tid},
    module::{Module, ModuleIndex},
};
use runtimes::python::Symbols;
use unwinder::{ElfLayout, Limits, MappedRange, ModuleMap, UnwindInfo};

use crate::{
    maps::{self, Row},
    memory, procfs,
};

/// A larger vDSO is none: today's is two pages.
const VDSO_MAX: usize = 64 * 1024;
/// Unwind information of all targets together. That of chromium has 15 MB, of a process with a hundred libraries 20 MB.
const INFO_MAX: usize = 256 << 20;
/// What an entry of the cache takes by itself, and a file that is none of ours.
const ENTRY: usize = 256;

/// Where a module's bytes are, for the one who names its frames.
#[derive(Clone, Debug)]
pub struct ModuleFile {
    /// The module itself.
    pub module: Module,
    /// What can be read of it.
    pub content: Content,
    /// The target's root, to look for debug files in.
    pub root: Arc<Root>,
    /// What it says of a Python in it; `None`: there is none.
    pub python: Option<Arc<Symbols>>,
}

/// A module's bytes.
#[derive(Clone, Debug)]
pub enum Content {
    /// The very file that is mapped.
    File(Arc<File>),
    /// A copy from memory (the vDSO).
    Bytes(Arc<[u8]>),
    /// It could not be opened.
    Missing,
}

/// The file system as a target sees it. Paths are resolved inside it: a link that points outside leads nowhere.
#[derive(Debug)]
pub struct Root {
    directory: Option<File>,
}

impl Root {
    /// The root of a thread's process.
    pub fn of(pid: Pid, tid: Tid) -> Self {
        let directory = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
            .open(procfs::thread_path(pid, tid, "root"))
            .ok();
        Self { directory }
    }

    /// Opens a regular file by the path that the target would use.
    pub fn open(&self, path: &str) -> Option<File> {
        self.open_with(path, OFlag::empty())
    }

    /// The same, unless the path's last part is a symbolic link.
    pub(crate) fn open_unlinked(&self, path: &str) -> Option<File> {
        self.open_with(path, OFlag::O_NOFOLLOW)
    }

    /// `O_NONBLOCK`: a FIFO must not hang us.
    fn open_with(&self, path: &str, more: OFlag) -> Option<File> {
        let directory = self.directory.as_ref()?;
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | more)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let relative = Path::new(path).strip_prefix("/").unwrap_or(Path::new(path));
        let file = File::from(openat2(directory.as_fd(), relative, how).ok()?);
        file.metadata().ok()?.is_file().then_some(file)
    }
}

/// Unwind information of files, shared by every target that maps them. What does not fit in is not read: its frames end a
/// stack as `module_unreadable`.
#[derive(Debug)]
pub struct InfoCache {
    by_file: HashMap<FileKey, Option<Parsed>>,
    /// Bytes of all of it, roughly.
    held: usize,
    max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct FileKey {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
}

/// What is kept of a file.
#[derive(Clone, Debug)]
struct Parsed {
    layout: Arc<ElfLayout>,
    info: Option<Arc<UnwindInfo>>,
    python: Option<Arc<Symbols>>,
}

/// A file as the search for an interpreter reads it: by `pread`, so that a target that truncates it does no harm.
struct Elf<'f>(&'f File);

impl runtimes::File for Elf<'_> {
    fn read_at(&self, at: u64, into: &mut [u8]) -> bool {
        self.0.read_exact_at(into, at).is_ok()
    }
}

impl Default for InfoCache {
    fn default() -> Self {
        Self { by_file: HashMap::new(), held: 0, max: INFO_MAX }
    }
}

impl InfoCache {
    fn file(&mut self, file: &File) -> Option<Parsed> {
        let meta = file.metadata().ok()?;
        let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let key = FileKey { device: meta.dev(), inode: meta.ino(), size: meta.size(), modified_ns };
        if let Some(known) = self.by_file.get(&key) {
            return known.clone();
        }
        let room = self.max.checked_sub(self.held.saturating_add(ENTRY))?;
        let parsed = parse_file(file, meta.size(), room);
        self.held = self.held.saturating_add(entry_bytes(parsed.as_ref()));
        self.by_file.insert(key, parsed.clone());
        parsed
    }

    /// Forgets files that no target maps any more.
    pub fn sweep(&mut self) {
        self.by_file.retain(|_, parsed| {
            parsed.as_ref().is_some_and(|parsed| parsed.info.as_ref().is_some_and(|info| Arc::strong_count(info) > 1))
        });
        self.held = self.by_file.values().map(|parsed| entry_bytes(parsed.as_ref())).sum();
    }

    /// The same, once much is held: a target may map one file after the other.
    fn make_room(&mut self) {
        if self.held > self.max / 2 {
            self.sweep();
        }
    }
}

fn entry_bytes(parsed: Option<&Parsed>) -> usize {
    ENTRY.saturating_add(parsed.map_or(0, |parsed| {
        layout_bytes(&parsed.layout).saturating_add(parsed.info.as_ref().map_or(0, |info| info.bytes()))
    }))
}

fn layout_bytes(layout: &ElfLayout) -> usize {
    size_of_val(layout.loads.as_slice())
}

/// Headers through a cache, sections straight from the file, all of it no more than `room`.
fn parse_file(file: &File, size: u64, room: usize) -> Option<Parsed> {
    let cache = ReadCache::new(file);
    let layout = ElfLayout::parse(&cache).ok()?;
    let left = Cell::new(Some(room.checked_sub(layout_bytes(&layout))?));
    let copy = |offset: u64, len: u64| {
        // A length that lies beyond the file's end should not cost its memory.
        if offset.checked_add(len)? > size {
            return None;
        }
        let len = usize::try_from(len).ok()?;
        left.set(left.get().and_then(|left| left.checked_sub(len)));
        left.get()?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    };
    let info = UnwindInfo::parse_with(&cache, Limits::default(), &copy).ok();
    // Some of it would be taken for all there is.
    let fits = |info: &UnwindInfo| left.get().is_some() && layout_bytes(&layout).saturating_add(info.bytes()) <= room;
    let info = info.filter(fits).map(Arc::new);
    Some(Parsed { layout: Arc::new(layout), info, python: Symbols::of(&Elf(file)).map(Arc::new) })
}

fn parse<'d, R: object::ReadRef<'d>>(elf: R) -> Option<Parsed> {
    let layout = ElfLayout::parse(elf).ok()?;
    let info = UnwindInfo::parse(elf, Limits::default()).ok().map(Arc::new);
    Some(Parsed { layout: Arc::new(layout), info, python: None })
}

/// The modules of one target. Indices only ever grow; a module that is mapped again keeps its own.
#[derive(Debug)]
pub struct Modules {
    pid: Pid,
    known: HashMap<(String, LoadBias, u64), ModuleIndex>,
    count: u32,
    digest: u64,
    map: Arc<ModuleMap>,
}

impl Modules {
    /// Before the first load: nothing is known.
    pub fn new(pid: Pid) -> Self {
        Self { pid, known: HashMap::new(), count: 0, digest: 0, map: Arc::new(ModuleMap::new(Vec::new())) }
    }

    /// As last loaded.
    pub fn map(&self) -> &Arc<ModuleMap> {
        &self.map
    }

    /// Reads maps again. New modules are handed to `announce` with their index. `None`: nothing executable changed.
    pub fn reload(
        &mut self,
        tid: Tid,
        cache: &mut InfoCache,
        announce: &mut dyn FnMut(ModuleIndex, ModuleFile),
    ) -> Option<Arc<ModuleMap>> {
        let text = std::fs::read(procfs::thread_path(self.pid, tid, "maps")).ok()?;
        let (rows, _) = maps::parse(&text);
        if rows.is_empty() {
            return None;
        }
        let digest = digest(&rows);
        if digest == self.digest {
            return None;
        }
        self.digest = digest;
        cache.make_room();
        let root = Arc::new(Root::of(self.pid, tid));
        let mut loader = Loader { tid, root, cache, rows: &rows, opened: HashMap::new() };
        let mut ranges = Vec::new();
        for row in rows.iter().filter(|row| row.is_executable() && row.path != "[vsyscall]") {
            ranges.push(self.range(row, &mut loader, announce));
        }
        self.map = Arc::new(ModuleMap::new(ranges));
        Some(Arc::clone(&self.map))
    }

    fn range(
        &mut self,
        row: &Row,
        loader: &mut Loader<'_>,
        announce: &mut dyn FnMut(ModuleIndex, ModuleFile),
    ) -> MappedRange {
        let mut range =
            MappedRange { start: row.start, end: row.end, module: None, bias: LoadBias::default(), info: None };
        if row.path.is_empty() || row.path.starts_with("//anon") || row.path.starts_with("[anon") {
            return range;
        }
        let (content, parsed) = loader.load(row);
        if parsed.is_none() && is_shared_memory(&row.path) {
            return range;
        }
        let bias = parsed.as_ref().and_then(|parsed| parsed.layout.bias(row.start, row.offset));
        let Some(bias) = bias.or_else(|| (row.inode != 0).then(|| loader.guess_bias(row))) else { return range };
        range.bias = bias;
        range.info = parsed.as_ref().and_then(|parsed| parsed.info.clone());
        range.module = Some(self.index(row, bias, parsed.as_ref(), content, loader, announce));
        range
    }

    fn index(
        &mut self,
        row: &Row,
        bias: LoadBias,
        parsed: Option<&Parsed>,
        content: Content,
        loader: &Loader<'_>,
        announce: &mut dyn FnMut(ModuleIndex, ModuleFile),
    ) -> ModuleIndex {
        let key = (row.path.clone(), bias, row.inode);
        if let Some(index) = self.known.get(&key) {
            return *index;
        }
        let index = ModuleIndex(self.count);
        self.count = self.count.saturating_add(1);
        self.known.insert(key, index);
        let (start, end) = loader.extent(row);
        let module = Module {
            path: row.path.clone(),
            build_id: parsed.and_then(|parsed| parsed.layout.build_id.clone()),
            bias,
            start,
            size: end.0.saturating_sub(start.0),
            base: parsed.map(|parsed| parsed.layout.base).unwrap_or_default(),
            interpreter: None,
        };
        let python = parsed.and_then(|parsed| parsed.python.clone());
        announce(index, ModuleFile { module, content, root: Arc::clone(&loader.root), python });
        index
    }
}

/// Device and inode, as maps has them.
type Inode = ((u32, u32), u64);
/// A file, and what was found in it.
type Loaded = (Content, Option<Parsed>);

/// One reading of maps at work.
struct Loader<'a> {
    tid: Tid,
    root: Arc<Root>,
    cache: &'a mut InfoCache,
    rows: &'a [Row],
    /// By device and inode: a file with two executable rows is opened once.
    opened: HashMap<Inode, Loaded>,
}

impl Loader<'_> {
    fn load(&mut self, row: &Row) -> Loaded {
        if row.inode == 0 {
            return self.vdso(row);
        }
        let key = (row.device, row.inode);
        if let Some(known) = self.opened.get(&key) {
            return known.clone();
        }
        let loaded = match self.open(row) {
            Some(file) => {
                let parsed = self.cache.file(&file);
                (Content::File(Arc::new(file)), parsed)
            }
            None => (Content::Missing, None),
        };
        self.opened.insert(key, loaded.clone());
        loaded
    }

    /// Through `map_files` it is the very file that is mapped, deleted or replaced or not. That needs
    /// CAP_CHECKPOINT_RESTORE; without it the path is tried, and the inode compared.
    fn open(&self, row: &Row) -> Option<File> {
        let link = PathBuf::from(format!("/proc/{}/map_files/{:x}-{:x}", self.tid, row.start.0, row.end.0));
        let direct = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(link);
        if let Ok(file) = direct {
            return file.metadata().ok()?.is_file().then_some(file);
        }
        let file = self.root.open(&row.path)?;
        (file.metadata().ok()?.ino() == row.inode).then_some(file)
    }

    fn vdso(&mut self, row: &Row) -> Loaded {
        let len = usize::try_from(row.end.0.saturating_sub(row.start.0)).unwrap_or(usize::MAX);
        if row.path != "[vdso]" || len > VDSO_MAX {
            return (Content::Missing, None);
        }
        let mut bytes = vec![0; len];
        if memory::read(self.tid, row.start, &mut bytes) != Ok(len) {
            return (Content::Missing, None);
        }
        let parsed = parse(bytes.as_slice());
        (Content::Bytes(bytes.into()), parsed)
    }

    /// Without its headers, suppose that the file is laid out as it is mapped.
    fn guess_bias(&self, row: &Row) -> LoadBias {
        let (start, _) = self.extent(row);
        LoadBias(start.0)
    }

    /// The whole run of neighbouring rows of the same file.
    fn extent(&self, row: &Row) -> (RemoteAddr, RemoteAddr) {
        let same = |other: &&Row| other.inode == row.inode && other.device == row.device && other.path == row.path;
        let place = self.rows.iter().position(|other| other.start == row.start).unwrap_or(0);
        let (before, after) = self.rows.split_at_checked(place).unwrap_or((&[], self.rows));
        let start = before.iter().rev().take_while(same).last().map_or(row.start, |first| first.start);
        let end = after.iter().take_while(same).last().map_or(row.end, |last| last.end);
        (start, end)
    }
}

/// Whether a path names no file but memory that several processes or places may share: generated code that is written in one
/// place and run in another (.NET, libffi, PHP) lies there. So may an ELF file: that is known by its header.
fn is_shared_memory(path: &str) -> bool {
    ["/memfd:", "/dev/zero", "/SYSV", "/anon_hugepage", "/dev/shm/"].iter().any(|begin| path.starts_with(begin))
}

/// Of all that matters of the executable rows; equal: nothing to do.
fn digest(rows: &[Row]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    for row in rows.iter().filter(|row| row.is_executable()) {
        (row.start, row.end, row.offset, row.inode, &row.path).hash(&mut hasher);
    }
    hasher.finish() | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that unwind information beyond the limit is left out, all of a file's, and is read when others are gone.
    #[test]
    fn info_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<File> = (0..3)
            .map(|number| {
                let path = folder.path().join(number.to_string());
                std::fs::copy("/proc/self/exe", &path).unwrap();
                File::open(path).unwrap()
            })
            .collect();
        let of_one = entry_bytes(InfoCache::default().file(&files[0]).as_ref());
        assert!(of_one > 10_000, "{of_one}");
        let mut cache = InfoCache { max: of_one * 2 - 1, ..InfoCache::default() };
        let read = |place: usize, cache: &mut InfoCache| cache.file(&files[place]).and_then(|parsed| parsed.info);
        let first = read(0, &mut cache);
        assert!(first.is_some() && cache.held == of_one);
        assert!(read(1, &mut cache).is_none(), "no room");
        assert!(read(0, &mut cache).is_some(), "known");
        cache.make_room();
        assert_eq!((cache.held, cache.by_file.len()), (of_one, 1), "the first is in use");
        drop(first);
        cache.make_room();
        assert_eq!((cache.held, cache.by_file.len()), (0, 0));
        assert!(read(2, &mut cache).is_some());
    }

    /// Check that files that are no programs are not remembered without end either.
    #[test]
    fn other_files_are_bounded() {
        let mut cache = InfoCache { max: 2 * ENTRY, ..InfoCache::default() };
        for _ in 0..5 {
            assert!(cache.file(&tempfile::tempfile().unwrap()).is_none());
        }
        assert!(cache.by_file.len() <= 2 && cache.held <= cache.max, "{cache:?}");
    }
}

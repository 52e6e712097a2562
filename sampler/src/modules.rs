//! The modules of a target: maps rows grouped by file, their files opened inside the target's root, their unwind
//! information parsed once and shared. Unwinds nothing, names nothing.

use std::{
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
use unwinder::{ElfLayout, Limits, MappedRange, ModuleMap, UnwindInfo};

use crate::{
    maps::{self, Row},
    memory, procfs,
};

/// A larger vDSO is none: today's is two pages.
const VDSO_MAX: usize = 64 * 1024;

/// Where a module's bytes are, for the one who names its frames.
#[derive(Clone, Debug)]
pub struct ModuleFile {
    /// The module itself.
    pub module: Module,
    /// What can be read of it.
    pub content: Content,
    /// The target's root, to look for debug files in.
    pub root: Arc<Root>,
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

    /// Opens a regular file by the path that the target would use. `O_NONBLOCK`: a FIFO must not hang us.
    pub fn open(&self, path: &str) -> Option<File> {
        let directory = self.directory.as_ref()?;
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let relative = Path::new(path).strip_prefix("/").unwrap_or(Path::new(path));
        let file = File::from(openat2(directory.as_fd(), relative, how).ok()?);
        file.metadata().ok()?.is_file().then_some(file)
    }
}

/// Unwind information of files, shared by every target that maps them.
#[derive(Debug, Default)]
pub struct InfoCache {
    by_file: HashMap<FileKey, Option<Parsed>>,
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
}

impl InfoCache {
    fn file(&mut self, file: &File) -> Option<Parsed> {
        let meta = file.metadata().ok()?;
        let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let key = FileKey { device: meta.dev(), inode: meta.ino(), size: meta.size(), modified_ns };
        self.by_file.entry(key).or_insert_with(|| parse_file(file)).clone()
    }

    /// Forgets files that no target maps any more.
    pub fn sweep(&mut self) {
        self.by_file.retain(|_, parsed| {
            parsed.as_ref().is_some_and(|parsed| parsed.info.as_ref().is_some_and(|info| Arc::strong_count(info) > 1))
        });
    }
}

/// Headers through a cache, sections straight from the file.
fn parse_file(file: &File) -> Option<Parsed> {
    let cache = ReadCache::new(file);
    let layout = ElfLayout::parse(&cache).ok()?;
    let copy = |offset, len| {
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    };
    // A length that lies beyond the file's end should not cost its memory.
    let size = file.metadata().ok()?.len();
    let copy = |offset: u64, len: u64| if offset.checked_add(len)? <= size { copy(offset, len) } else { None };
    let info = UnwindInfo::parse_with(&cache, Limits::default(), &copy).ok().map(Arc::new);
    Some(Parsed { layout: Arc::new(layout), info })
}

fn parse<'d, R: object::ReadRef<'d>>(elf: R) -> Option<Parsed> {
    let layout = ElfLayout::parse(elf).ok()?;
    let info = UnwindInfo::parse(elf, Limits::default()).ok().map(Arc::new);
    Some(Parsed { layout: Arc::new(layout), info })
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
        };
        announce(index, ModuleFile { module, content, root: Arc::clone(&loader.root) });
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

/// Of all that matters of the executable rows; equal: nothing to do.
fn digest(rows: &[Row]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    for row in rows.iter().filter(|row| row.is_executable()) {
        (row.start, row.end, row.offset, row.inode, &row.path).hash(&mut hasher);
    }
    hasher.finish() | 1
}

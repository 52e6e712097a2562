//! Finds the interpreter of a process and its version. Takes the candidates as it is given them.

use std::ops::Range;

use profile::address::{LoadBias, RemoteAddr};

use super::{
    asyncio::{self, TaskLayout},
    bytes::u64_at,
    debug_offsets,
    elf::{self, Symbols},
    eval_loop::EvalLoop,
    offsets::{self, Layout, MarkKind, Versioned},
    threads,
};
use crate::Memory;

/// One mapped ELF file that has an interpreter, or parts of one.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its path, which may tell the version.
    pub path: &'a str,
    /// What the file says.
    pub symbols: &'a Symbols,
    /// Where it is in the target.
    pub bias: LoadBias,
}

/// An interpreter that was found. Does not change while the process runs one program.
#[derive(Clone, Debug)]
pub struct Process {
    pub(super) runtime: RemoteAddr,
    pub(super) layout: Layout,
    pub(super) types: Types,
    /// Where asyncio keeps its tasks, once it is known.
    pub(super) tasks: Option<TaskLayout>,
    version: (u8, u8),
    candidate: usize,
    /// Of versions that leave no marks.
    eval: EvalLoop,
}

/// The types of objects, by which they are told; `None` where no file names them.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Types {
    pub(super) code: Option<RemoteAddr>,
    pub(super) string: Option<RemoteAddr>,
    pub(super) bytes: Option<RemoteAddr>,
    pub(super) dict: Option<RemoteAddr>,
    pub(super) int: Option<RemoteAddr>,
}

/// Why the interpreter that is there cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsupported {
    /// Not one of those whose layout is known.
    #[error("Python {major}.{minor} is not supported: 3.7 to 3.15 are; a newer release of the profiler may know it")]
    Version {
        /// The first number.
        major: u8,
        /// The second number.
        minor: u8,
    },
    /// Nothing tells which one it is.
    #[error("there is a Python, but nothing tells its version: a file name such as libpython3.10.so.1.0 would")]
    NoVersion,
    /// Layouts change until the release.
    #[error("Python {major}.{minor} is a pre-release, whose layout may differ: use a final release")]
    PreRelease {
        /// The first number.
        major: u8,
        /// The second number.
        minor: u8,
    },
    /// Built with `--disable-gil`.
    #[error("Python {major}.{minor} is a free-threaded build, which cannot be read yet: use the build with the GIL")]
    FreeThreaded {
        /// The first number.
        major: u8,
        /// The second number.
        minor: u8,
    },
    /// More than one runs in the process.
    #[error("{count} Python interpreters run in this process, each from a library of its own: only one can be read")]
    Several {
        /// How many.
        count: usize,
    },
    /// Its memory is not what the version has.
    #[error(
        "the memory of Python {major}.{minor} does not look like it: it may not have started, or be a patched build"
    )]
    Implausible {
        /// The first number.
        major: u8,
        /// The second number.
        minor: u8,
    },
}

impl Unsupported {
    /// Whether the same process may be readable a moment later: its interpreter has not started yet.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NoVersion | Self::Implausible { .. })
    }
}

impl Process {
    /// Finds the interpreter among mapped files; `Ok(None)` if there is no CPython. Extension modules among `mapped_names`
    /// tell the version where nothing else does (3.10 and older).
    pub fn find(
        candidates: &[Candidate<'_>],
        mapped_names: &[&str],
        memory: &mut impl Memory,
    ) -> Result<Option<Self>, Unsupported> {
        let types = Types::of(candidates);
        let mut found: Vec<Self> = Vec::new();
        let mut refused = None;
        for (index, candidate) in candidates.iter().enumerate() {
            let Some(runtime) = candidate.symbols.runtime.map(|at| candidate.bias.to_remote(at)) else { continue };
            // The same library may be mapped twice; one that an executable's own overrides was never started.
            if found.iter().any(|process| process.runtime == runtime) {
                continue;
            }
            let version_of = |memory: &mut _| version(candidate, mapped_names, memory);
            match Self::at(runtime, version_of, memory) {
                Ok((layout, version)) => {
                    let has_marks = layout.marks != MarkKind::None;
                    let eval = candidate.symbols.eval.map(|(at, len)| match candidate.bias.to_remote(at) {
                        at if has_marks => EvalLoop::of_symbol(at, len),
                        at => EvalLoop::new(at, len, memory),
                    });
                    let eval = eval.unwrap_or_default();
                    let mut process = Self { runtime, layout, types, tasks: None, version, candidate: index, eval };
                    candidates.iter().for_each(|candidate| process.learn_tasks(candidate.symbols));
                    found.push(process);
                }
                Err(why) => {
                    refused.get_or_insert(why);
                }
            }
        }
        match (found.len(), refused) {
            (0, Some(why)) => Err(why),
            (0 | 1, _) => Ok(found.pop()),
            (count, _) => Err(Unsupported::Several { count }),
        }
    }

    /// An interpreter at an address, of a version that is taken as given, whatever is there; for made memory. Where asyncio keeps
    /// its tasks is said behind the offsets.
    pub(crate) fn assumed(minor: u8, runtime: RemoteAddr, memory: &mut impl Memory) -> Option<Self> {
        let stated = debug_offsets::read(runtime, memory).ok().flatten();
        let (layout, version) = stated.or_else(|| Some((offsets::layout(minor)?, (3, minor))))?;
        let types = Types::default();
        let mut process =
            Self { runtime, layout, types, tasks: None, version, candidate: 0, eval: EvalLoop::default() };
        let mut words = [0; 8 * asyncio::STATED];
        if memory.read(runtime.checked_add(1 << 10)?, &mut words) {
            process.learn_tasks(&Symbols { tasks: elf::words(&words), ..Symbols::default() });
        }
        Some(process)
    }

    /// The same with the tasks of asyncio, whose extension module (`_asyncio`, a file of its own up to 3.14) was mapped later.
    /// `None` if the file does not tell where they are, or it is known.
    pub fn with_asyncio(&self, symbols: &Symbols) -> Option<Self> {
        let mut process = self.clone();
        process.learn_tasks(symbols);
        (self.tasks.is_none() && process.tasks.is_some()).then_some(process)
    }

    fn learn_tasks(&mut self, symbols: &Symbols) {
        if self.tasks.is_none() && self.layout.coroutines.is_some() {
            self.tasks = symbols.tasks.as_ref().and_then(TaskLayout::parse);
        }
    }

    /// The version, as 3 and 11 of 3.11.
    pub fn version(&self) -> (u8, u8) {
        self.version
    }

    /// Where the code of the eval loop is, of versions that leave no mark on the C stack (up to 3.9). `function_at` gives the
    /// range around an address that the unwind information describes as one function.
    pub fn eval_loop(&self, function_at: impl Fn(RemoteAddr) -> Option<Range<RemoteAddr>>) -> Vec<Range<RemoteAddr>> {
        self.eval.pieces(function_at)
    }

    /// Which of the candidates it is.
    pub fn module_of_interpreter(&self) -> usize {
        self.candidate
    }

    fn at<M: Memory>(
        runtime: RemoteAddr,
        version_of: impl FnOnce(&mut M) -> Option<(u8, u8)>,
        memory: &mut M,
    ) -> Result<Versioned, Unsupported> {
        let (layout, (major, minor)) = if let Some(own) = debug_offsets::read(runtime, memory)? {
            own
        } else {
            let (major, minor) = version_of(memory).ok_or(Unsupported::NoVersion)?;
            let layout = (major == 3).then(|| offsets::layout(minor)).flatten();
            (layout.ok_or(Unsupported::Version { major, minor })?, (major, minor))
        };
        if threads::is_plausible(runtime, &layout, memory) {
            Ok((layout, (major, minor)))
        } else {
            Err(Unsupported::Implausible { major, minor })
        }
    }
}

impl Types {
    /// Of the first file that names them, which is the one that the loader takes: a program may have copies of its library's.
    fn of(candidates: &[Candidate<'_>]) -> Self {
        let first = |of: fn(&Symbols) -> Option<_>| {
            candidates.iter().find_map(|candidate| Some(candidate.bias.to_remote(of(candidate.symbols)?)))
        };
        Self {
            code: first(|symbols| symbols.code),
            string: first(|symbols| symbols.string),
            bytes: first(|symbols| symbols.bytes),
            dict: first(|symbols| symbols.dict),
            int: first(|symbols| symbols.int),
        }
    }
}

/// The version, by what says it most surely: its own variable, names of files, the text that it shows.
fn version(candidate: &Candidate<'_>, mapped_names: &[&str], memory: &mut impl Memory) -> Option<(u8, u8)> {
    own_version(candidate, memory)
        .or_else(|| dotted(file_name(candidate.path).rsplit_once("python")?.1))
        .or_else(|| mapped_names.iter().find_map(|name| of_extension(file_name(name))))
        .or_else(|| shown_version(candidate, memory))
}

fn own_version(candidate: &Candidate<'_>, memory: &mut impl Memory) -> Option<(u8, u8)> {
    let mut hex = [0; 8];
    memory.read(candidate.bias.to_remote(candidate.symbols.version?), &mut hex).then_some(())?;
    of_hex(u64_at(&hex, 0)?)
}

/// The version in a `PY_VERSION_HEX`.
pub(super) fn of_hex(hex: u64) -> Option<(u8, u8)> {
    let major = u8::try_from(hex >> 24).ok().filter(|major| *major == 3)?;
    Some((major, u8::try_from((hex >> 16) & 0xff).ok()?))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The version with which a text begins: `3.10.so.1.0`, `3.9`.
fn dotted(text: &str) -> Option<(u8, u8)> {
    let (major, rest) = text.split_once('.')?;
    let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest.get(..digits)?.parse().ok()?))
}

/// The version in the tag of an extension module: `_ssl.cpython-310-x86_64-linux-gnu.so`.
fn of_extension(name: &str) -> Option<(u8, u8)> {
    let (_, tag) = name.split_once(".cpython-3")?;
    let digits = tag.find(|char: char| !char.is_ascii_digit()).unwrap_or(tag.len());
    Some((3, tag.get(..digits)?.parse().ok()?))
}

/// Writable data that is searched for a text; 3.9 has 0.9 MiB.
const SEARCH_MAX: u64 = 4 << 20;
const PAGE: usize = 4096;

/// The version in the text of `sys.version`, which is kept where it was put together: `3.10.13 (main, Nov ...`.
fn shown_version(candidate: &Candidate<'_>, memory: &mut impl Memory) -> Option<(u8, u8)> {
    let mut page = vec![0; PAGE];
    let mut left = SEARCH_MAX;
    for (at, length) in &candidate.symbols.data {
        let start = candidate.bias.to_remote(*at);
        // Half a page at a time, so that no text is cut by an edge in both looks at it.
        for offset in (0..(*length).min(left)).step_by(PAGE / 2) {
            let size = usize::try_from(length - offset).map_or(PAGE, |rest| rest.min(PAGE));
            let part = page.get_mut(..size)?;
            if memory.read(start.checked_add(offset)?, part)
                && let Some(version) = in_text(part)
            {
                return Some(version);
            }
        }
        left = left.saturating_sub(*length);
    }
    None
}

fn in_text(bytes: &[u8]) -> Option<(u8, u8)> {
    bytes.windows(12).filter(|window| window.starts_with(b"3.")).find_map(|window| {
        let text = str::from_utf8(window).ok()?;
        let (version, _) = text.split_once(" (")?;
        let is_version = version.chars().all(|char| char.is_ascii_digit() || char == '.');
        (is_version && version.matches('.').count() == 2).then(|| dotted(version))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that names and texts tell their version, and that what has none tells none.
    #[test]
    fn versions() {
        let of_path = |path| file_name(path).rsplit_once("python").and_then(|(_, rest)| dotted(rest));
        let paths = ["/usr/lib/libpython3.10.so.1.0", "/python3.8/bin/python3.9", "/usr/bin/python", "uwsgi"];
        assert_eq!(paths.map(of_path), [Some((3, 10)), Some((3, 9)), None, None]);
        let extensions = ["_ssl.cpython-310-x86_64-linux-gnu.so", "a.cpython-38d.so", "libssl.so.3"];
        assert_eq!(extensions.map(of_extension), [Some((3, 10)), Some((3, 8)), None]);
        assert_eq!(in_text(b"\0\0 3.14 (a)\x003.10.13 (main, Nov 20"), Some((3, 10)));
        assert_eq!(of_hex(0x030d_00f0), Some((3, 13)));
        assert_eq!(of_hex(0x02_07_12_f0), None);
    }
}

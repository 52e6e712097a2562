//! A Python that runs `program.py`, and what it takes to read it. It sleeps while it is read; it is not stopped.

use std::{
    fs,
    io::{BufRead, BufReader, IoSliceMut},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        uio::{RemoteIoVec, process_vm_readv},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use object::{
    Endianness,
    elf::FileHeader64,
    read::elf::{FileHeader, ProgramHeader},
};
use profile::address::{FileAddr, LoadBias, RemoteAddr};
use runtimes::{
    Memory,
    python::{Candidate, Process, Symbols, Unsupported},
};

/// The interpreters that are looked for: of pyenv, of the system, and of other systems' roots.
pub(crate) fn interpreters() -> Vec<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let versions = ["3.7.16", "3.8.18", "3.9.18", "3.10.13", "3.11.7", "3.12.1", "3.13.0"];
    let of_pyenv = versions.map(|version| {
        let minor = version.rsplit_once('.').unwrap().0;
        format!("{home}/.pyenv/versions/{version}/bin/python{minor}")
    });
    let of_system = ["3.9", "3.11", "3.13", "3.14", "3.15"].map(|minor| format!("/usr/bin/python{minor}"));
    of_pyenv.into_iter().chain(of_system).map(PathBuf::from).collect()
}

/// Other systems' roots, where a test machine has them: `PYTHON_TEST_ROOTS`, separated by colons.
pub(crate) fn interpreters_in_roots() -> Vec<(PathBuf, String)> {
    let roots = std::env::var("PYTHON_TEST_ROOTS").unwrap_or_default();
    let of_root = |root: &str| {
        let root = PathBuf::from(root);
        let minors = ["3.9", "3.11", "3.12", "3.13", "3.14", "3.15"].map(|minor| format!("/usr/bin/python{minor}"));
        minors.map(|path| (root.clone(), path)).into_iter().filter(|(root, path)| root.join(&path[1..]).exists())
    };
    roots.split(':').filter(|root| !root.is_empty()).flat_map(of_root).collect()
}

/// A running program; it ends with this value.
pub(crate) struct Target {
    child: Child,
    /// The lines that it printed before it was ready.
    pub(crate) said: Vec<String>,
    root: PathBuf,
}

impl Target {
    pub(crate) fn start(command: &mut Command, root: &Path) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.take_while(|line| line != "ready").collect();
        std::thread::sleep(std::time::Duration::from_millis(100));
        Self { child, said, root: root.to_owned() }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(crate) fn memory(&self) -> Remote {
        Remote { pid: Pid::from_raw(self.pid()), calls: 0, parts: 0 }
    }

    /// Does something while the program is stopped.
    pub(crate) fn while_stopped<T>(&self, then: impl FnOnce() -> T) -> T {
        let pid = Pid::from_raw(self.pid());
        kill(pid, Signal::SIGSTOP).unwrap();
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));
        let result = then();
        kill(pid, Signal::SIGCONT).unwrap();
        result
    }

    /// The interpreter.
    pub(crate) fn find(&self) -> Result<Option<Process>, Unsupported> {
        self.find_as(None)
    }

    /// The interpreter, as if all its files had another name.
    pub(crate) fn find_as(&self, name: Option<&str>) -> Result<Option<Process>, Unsupported> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid())).unwrap();
        let rows: Vec<_> = maps.lines().filter_map(row).collect();
        let names: Vec<_> = rows.iter().map(|(_, _, path)| name.unwrap_or(path)).collect();
        let files = rows.iter().filter(|(_, offset, path)| *offset == 0 && self.path(path).is_file());
        let read = files.map(|(start, _, path)| (start, path, fs::read(self.path(path)).unwrap()));
        let known: Vec<_> =
            read.filter_map(|(start, path, elf)| Some((start, path, Symbols::of(&*elf)?, elf))).collect();
        let candidates: Vec<_> = known
            .iter()
            .map(|(start, path, symbols, elf)| Candidate {
                path: name.unwrap_or(path),
                symbols,
                bias: bias(elf, RemoteAddr(**start)),
            })
            .collect();
        Process::find(&candidates, &names, &mut self.memory())
    }

    /// A path as maps shows it: in a chroot it is the outer one.
    fn path(&self, path: &str) -> PathBuf {
        let outer = PathBuf::from(path);
        if outer.exists() { outer } else { self.root.join(path.trim_start_matches('/')) }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Start, file offset and path of a row of maps that has one.
fn row(line: &str) -> Option<(u64, u64, &str)> {
    let mut words = line.split_ascii_whitespace();
    let start = u64::from_str_radix(words.next()?.split('-').next()?, 16).ok()?;
    let offset = u64::from_str_radix(words.nth(1)?, 16).ok()?;
    Some((start, offset, words.nth(2).filter(|path| path.starts_with('/'))?))
}

fn bias(elf: &[u8], start: RemoteAddr) -> LoadBias {
    let header = FileHeader64::<Endianness>::parse(elf).unwrap();
    let segments = header.program_headers(Endianness::Little, elf).unwrap();
    let first = segments.iter().find(|segment| {
        segment.p_type(Endianness::Little) == object::elf::PT_LOAD && segment.p_offset(Endianness::Little) == 0
    });
    LoadBias::between(FileAddr(first.unwrap().p_vaddr(Endianness::Little)), start)
}

/// The memory of a process; counts the calls.
pub(crate) struct Remote {
    pid: Pid,
    pub(crate) calls: usize,
    pub(crate) parts: usize,
}

impl Memory for Remote {
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        self.read_all(&mut [(at, into)])
    }

    fn read_all(&mut self, parts: &mut [(RemoteAddr, &mut [u8])]) -> bool {
        self.calls += 1;
        self.parts += parts.len();
        let remote: Vec<_> = parts
            .iter()
            .map(|(at, into)| RemoteIoVec { base: usize::try_from(at.0).unwrap(), len: into.len() })
            .collect();
        let total = remote.iter().map(|part| part.len).sum();
        let mut local: Vec<_> = parts.iter_mut().map(|(_, into)| IoSliceMut::new(into)).collect();
        process_vm_readv(self.pid, &mut local, &remote) == Ok(total)
    }
}

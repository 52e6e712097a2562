//! Stacks of real programs at work: registers and up to a megabyte of stack, captured by ptrace.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd,
};
use profile::{
    address::RemoteAddr,
    id::{Pid, Tid},
    module::ModuleIndex,
};
use sampler::{
    memory,
    modules::{Content, InfoCache, ModuleFile, Modules},
    reader::window::{copied, dwarf_registers},
};
use unwinder::{Memory, ModuleMap, Registers};

/// rustc's stacks reach 634 KiB.
const STACK_MAX: usize = 1 << 20;
const STACKS_MAX: usize = 1500;
const PAUSE: Duration = Duration::from_millis(2);
const TIME_MAX: Duration = Duration::from_secs(20);

/// Stacks of one process.
#[derive(Debug)]
pub struct Corpus {
    pub map: Arc<ModuleMap>,
    /// The files behind the map.
    pub files: HashMap<ModuleIndex, Vec<u8>>,
    pub stacks: Vec<Stack>,
}

/// One thread at one moment.
#[derive(Debug)]
pub struct Stack {
    pub registers: Registers,
    bytes: Vec<u8>,
}

impl Stack {
    pub fn memory(&self) -> Copied<'_> {
        Copied { at: self.registers.sp().0, bytes: &self.bytes }
    }
}

/// A stack's bytes as memory.
#[derive(Debug)]
pub struct Copied<'s> {
    at: u64,
    bytes: &'s [u8],
}

impl Memory for Copied<'_> {
    #[inline]
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        copied(self.at, self.bytes, at.0, into)
    }
}

/// `programs/calls.cpp` as Debian would build it. `None`: no compiler.
pub fn cpp() -> Option<Corpus> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("calls");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/calls.cpp");
    let built =
        Command::new("c++").args(["-O2", "-fomit-frame-pointer", "-o"]).arg(&program).arg(source).status().ok()?;
    built.success().then(|| capture(&mut Command::new(program)))
}

/// rustc compiling regex-syntax, whose source is in cargo's registry since the tests were built. `None`: it is not.
pub fn rustc() -> Option<Corpus> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    // The compiler itself, not the program that chooses one.
    let rustc = Path::new(String::from_utf8(output.stdout).ok()?.trim()).join("bin/rustc");
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(rustc);
    command
        .args(["--edition", "2021", "--crate-type", "lib", "-O", "--cap-lints", "allow"])
        .args(["--cfg", "feature=\"std\"", "--cfg", "feature=\"unicode\"", "-o"])
        .arg(folder.path().join("x.rlib"))
        .arg(regex_syntax()?);
    Some(capture(&mut command))
}

fn regex_syntax() -> Option<PathBuf> {
    let cargo = std::env::var("CARGO_HOME")
        .map_or_else(|_| Path::new(&std::env::var("HOME").unwrap()).join(".cargo"), PathBuf::from);
    let registries = std::fs::read_dir(cargo.join("registry/src")).ok()?.flatten();
    let crates = registries.filter_map(|registry| std::fs::read_dir(registry.path()).ok()).flatten().flatten();
    let mut found = crates.filter(|found| found.file_name().to_string_lossy().starts_with("regex-syntax-"));
    Some(found.next()?.path().join("src/lib.rs"))
}

fn capture(command: &mut Command) -> Corpus {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let (mut modules, mut cache) = (Modules::new(Pid(pid)), InfoCache::default());
    let mut corpus = Corpus { map: Arc::clone(modules.map()), files: HashMap::new(), stacks: Vec::new() };
    let mut files = Vec::new();
    sleep(Duration::from_millis(300));
    let begin = Instant::now();
    while corpus.stacks.len() < STACKS_MAX && begin.elapsed() < TIME_MAX && child.try_wait().unwrap().is_none() {
        modules.reload(Tid(pid), &mut cache, &mut |index, file| files.push((index, file)));
        for tid in tids(pid) {
            corpus.stacks.extend(stack(tid));
        }
        sleep(PAUSE);
    }
    corpus.map = Arc::clone(modules.map());
    // Afterwards: the program would be done before 350 MB are read.
    corpus.files = files.into_iter().map(|(index, file)| (index, bytes_of(&file))).collect();
    end(&mut child);
    corpus
}

fn bytes_of(file: &ModuleFile) -> Vec<u8> {
    match &file.content {
        Content::File(_) => std::fs::read(&file.module.path).unwrap_or_default(),
        Content::Bytes(bytes) => bytes.to_vec(),
        Content::Missing => Vec::new(),
    }
}

fn tids(pid: i32) -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Stops a thread, copies, and lets it go with the signal it was about to get.
fn stack(tid: i32) -> Option<Stack> {
    let thread = unistd::Pid::from_raw(tid);
    ptrace::seize(thread, ptrace::Options::empty()).ok()?;
    ptrace::interrupt(thread).ok()?;
    let status = waitpid(thread, Some(WaitPidFlag::__WALL)).ok()?;
    let signal = match status {
        WaitStatus::PtraceEvent(..) => None,
        WaitStatus::Stopped(_, signal) => Some(signal).filter(|signal| *signal != Signal::SIGTRAP),
        _ => return None,
    };
    let registers = ptrace::getregs(thread).ok().map(|user| dwarf_registers(&user));
    let mut bytes = vec![0; STACK_MAX];
    let copied = registers.and_then(|registers| memory::read(Tid(tid), registers.sp(), &mut bytes).ok());
    ptrace::detach(thread, signal).ok()?;
    bytes.truncate(copied?);
    bytes.shrink_to_fit();
    Some(Stack { registers: registers?, bytes })
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

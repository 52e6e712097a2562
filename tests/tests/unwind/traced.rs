//! A fixture under our own ptrace: stopped where it says `int3`, its registers and memory read, its stack unwound.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use nix::{
    sys::{
        ptrace::{self, Options},
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd,
};
use profile::{
    address::RemoteAddr,
    id::{Pid, Tid},
    module::ModuleIndex,
    stack::{NativeFrame, NativeStack, StackEnd},
};
use sampler::modules::{Content, InfoCache, ModuleFile, Modules, Root};
use symbolizer::{Budget, Elf, ModuleKey, ModuleSource, Symbolizer, TargetFiles};
use tests::compile::{Build, compile};
use unwinder::{Memory, Registers, Unwinder};

/// As Debian builds its own.
pub(crate) const USUAL: &[&str] = &["-O2", "-g", "-fomit-frame-pointer", "-pthread"];

/// Builds `tests/fixtures/SOURCE` with [`USUAL`] and more flags. `None`: it cannot be built here, and the test is skipped.
pub(crate) fn build(compiler: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let (path, header) = (folder.join(source), folder.join("fixture.h"));
    let all: Vec<&str> = USUAL.iter().chain(flags).copied().collect();
    let name = source.split('.').next().unwrap();
    let optional = compiler == "clang";
    compile(Build { name, compiler, sources: &[&path, &header], flags: &all, optional })
}

/// The same by the usual compiler.
pub(crate) fn cc(source: &str, flags: &[&str]) -> Option<PathBuf> {
    build(if source.ends_with("cpp") { "c++" } else { "cc" }, source, flags)
}

/// The system's files.
struct Files(Root);

impl TargetFiles for Files {
    fn open(&self, path: &str) -> Option<File> {
        self.0.open(path)
    }
}

/// A running fixture. Dropping it ends it.
pub(crate) struct Traced {
    child: Child,
    /// The thread that stopped last.
    pub(crate) tid: Tid,
    memory: File,
    modules: Modules,
    cache: InfoCache,
    files: Vec<ModuleFile>,
    keys: Vec<ModuleKey>,
    symbolizer: Symbolizer,
    unwinder: Unwinder,
    program: String,
}

/// The registers and memory of a stopped thread, in the form that the unwinder takes.
pub(crate) struct Remote<'t> {
    memory: &'t File,
    /// One past the last byte that was copied.
    end: u64,
}

impl Memory for Remote<'_> {
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        at.0.saturating_add(into.len() as u64) <= self.end && self.read_code(at, into)
    }

    fn read_code(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        self.memory.read_exact_at(into, at.0).is_ok()
    }
}

impl Traced {
    /// Starts it; it waits for [`Self::go`].
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        let child = loop {
            match command.spawn() {
                // It was just written, and a test beside us has forked meanwhile: its child has the file open until it execs.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                spawned => break spawned.unwrap(),
            }
        };
        let pid = i32::try_from(child.id()).unwrap();
        ptrace::seize(unistd::Pid::from_raw(pid), Options::PTRACE_O_TRACECLONE).unwrap();
        Self {
            child,
            tid: Tid(pid),
            memory: File::open(format!("/proc/{pid}/mem")).unwrap(),
            modules: Modules::new(Pid(pid)),
            cache: InfoCache::default(),
            files: Vec::new(),
            keys: Vec::new(),
            symbolizer: Symbolizer::new(symbolizer::Settings::default()),
            unwinder: Unwinder::new(),
            program: program.file_name().unwrap().to_str().unwrap().to_owned(),
        }
    }

    /// Starts it and runs it to its first stop.
    pub(crate) fn stopped(program: &Path, arguments: &[&str]) -> Self {
        let mut traced = Self::start(program, arguments);
        traced.go();
        traced.wait_for_stop();
        traced
    }

    /// Lets it begin.
    pub(crate) fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    }

    /// Lets it run to its next stop.
    pub(crate) fn next(&mut self) {
        self.resume(None);
        self.wait_for_stop();
    }

    /// Lets the stopped thread run on.
    pub(crate) fn resume(&self, signal: Option<Signal>) {
        ptrace::cont(self.nix_tid(), signal).unwrap();
    }

    /// Runs one instruction. `false`: it was an `int3`.
    pub(crate) fn step(&mut self) -> bool {
        let mut code = [0];
        self.memory.read_exact_at(&mut code, self.registers().pc().0).unwrap();
        ptrace::step(self.nix_tid(), None).unwrap();
        match waitpid(self.nix_tid(), Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => code != [0xcc],
            other => panic!("{}: {other:?} while stepping", self.program),
        }
    }

    /// Waits until some thread comes by an `int3`; every other signal is its own.
    pub(crate) fn wait_for_stop(&mut self) {
        loop {
            let status = waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap();
            match status {
                WaitStatus::Stopped(tid, Signal::SIGTRAP) => {
                    self.tid = Tid(tid.as_raw());
                    let mut announced = Vec::new();
                    self.modules.reload(self.tid, &mut self.cache, &mut |_, file| announced.push(file));
                    for file in announced {
                        self.announce(file);
                    }
                    return;
                }
                WaitStatus::Stopped(tid, signal) => ptrace::cont(tid, signal).unwrap(),
                WaitStatus::PtraceEvent(tid, _, _) => ptrace::cont(tid, None).unwrap(),
                other => panic!("{}: {other:?}", self.program),
            }
        }
    }

    fn announce(&mut self, file: ModuleFile) {
        let elf = match &file.content {
            Content::File(file) => Elf::File(file.try_clone().unwrap()),
            Content::Bytes(bytes) => Elf::Bytes(Arc::clone(bytes)),
            Content::Missing => Elf::Missing(profile::frame::Missing::NoModule),
        };
        let source = ModuleSource {
            path: file.module.path.clone(),
            build_id: file.module.build_id.clone(),
            elf,
            files: Arc::new(Files(Root::of(Pid(self.pid()), self.tid))),
        };
        self.keys.push(self.symbolizer.add(source));
        self.files.push(file);
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn nix_tid(&self) -> unistd::Pid {
        unistd::Pid::from_raw(self.tid.0)
    }

    /// All of them.
    pub(crate) fn registers(&self) -> Registers {
        let user = ptrace::getregs(self.nix_tid()).unwrap();
        Registers::full([
            user.rax, user.rdx, user.rcx, user.rbx, user.rsi, user.rdi, user.rbp, user.rsp, user.r8, user.r9, user.r10,
            user.r11, user.r12, user.r13, user.r14, user.r15, user.rip,
        ])
    }

    /// A word of its memory.
    pub(crate) fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.memory.read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    }

    /// Unwinds from `registers`, with `copied` bytes of the stack.
    pub(crate) fn unwind_from(&mut self, registers: &Registers, copied: u64) -> NativeStack {
        let mut stack = NativeStack { frames: Vec::new(), sps: Vec::new(), end: StackEnd::Complete };
        let mut memory = Remote { memory: &self.memory, end: registers.sp().0.saturating_add(copied) };
        self.unwinder.unwind(registers, &mut memory, self.modules.map(), &mut stack);
        stack
    }

    /// Unwinds the stopped thread, with all of its memory.
    pub(crate) fn unwind(&mut self) -> NativeStack {
        self.unwind_from(&self.registers(), u64::MAX)
    }

    /// The stack as text: leaf first, one name a line, then how it ended.
    pub(crate) fn text(&mut self, stack: &NativeStack) -> String {
        let mut lines: Vec<String> = Vec::new();
        for frame in &stack.frames {
            let name = self.name(frame);
            // How many frames the C library needs is its own business.
            if !name.starts_with('[') || lines.last() != Some(&name) {
                lines.push(name);
            }
        }
        lines.push(stack.end.to_string());
        lines.join("\n")
    }

    /// Function of the fixture, or module.
    fn name(&mut self, frame: &NativeFrame) -> String {
        let Some(ModuleIndex(index)) = frame.module else { return "[nowhere]".to_owned() };
        let index = usize::try_from(index).unwrap();
        let module = self.files[index].module.clone();
        let file_name = module.path.rsplit('/').next().unwrap();
        if file_name != self.program && !file_name.starts_with("fixture_") {
            return format!("[{}]", file_name.split(".so").next().unwrap());
        }
        let at = frame.file_lookup(module.bias);
        let named = self.symbolizer.name(self.keys[index], at, &mut Budget::unlimited());
        let function = named.last().and_then(|frame| frame.function.clone());
        function.map_or_else(|| "?".to_owned(), |name| name.to_string())
    }

    /// [`Self::unwind`] as [`Self::text`].
    pub(crate) fn show(&mut self) -> String {
        let stack = self.unwind();
        self.text(&stack)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // A thread of it that we trace ends only when it is waited for, and the process only after its threads.
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let tids: Vec<i32> = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect();
        for tid in tids.into_iter().filter(|tid| *tid != self.pid()) {
            while waitpid(unistd::Pid::from_raw(tid), Some(WaitPidFlag::__WALL)).is_ok_and(|status| !ended(status)) {}
        }
        let _ = self.child.wait();
    }
}

fn ended(status: WaitStatus) -> bool {
    matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..))
}

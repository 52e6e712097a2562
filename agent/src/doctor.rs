//! `sentry-profiled doctor`: what would prevent or weaken profiling, here or of one process, and what to do about it.
//! Looks only; stops nobody.

use std::{fmt::Write as _, io::Write as _, path::Path};

use object::{
    Object, ObjectSection,
    read::{ReadCache, elf::ElfFile64},
};
use profile::id::Pid;
use sampler::{
    ModuleFile, Refused, Target,
    modules::{Content, InfoCache, Modules},
    target::{live_thread, tracer_of},
    taskstats::TaskStats,
};
use serde::Serialize;
use server::api::status::Check;

use crate::{cli::DoctorArguments, exit::Failure};
use nix::sys::resource::Resource;

/// `CAP_*` of `include/uapi/linux/capability.h`.
const CAPABILITIES: [(u32, &str, Weight, &str); 6] = [
    (
        19,
        "CAP_SYS_PTRACE",
        Weight::Fail,
        "run as root or grant it; in Kubernetes, securityContext.capabilities.add: [SYS_PTRACE]",
    ),
    (
        2,
        "CAP_DAC_READ_SEARCH",
        Weight::Warn,
        "without it only processes of the agent's own user can be read: others' /proc files are theirs alone, also for a root without it",
    ),
    (
        12,
        "CAP_NET_ADMIN",
        Weight::Warn,
        "without it each thread is asked at each tick whether it ran: more CPU for processes of many threads",
    ),
    (
        40,
        "CAP_CHECKPOINT_RESTORE",
        Weight::Warn,
        "without it (or CAP_SYS_ADMIN) deleted and replaced files cannot be read, so their frames stay unnamed",
    ),
    (23, "CAP_SYS_NICE", Weight::Warn, "without it a stopped thread may wait a little longer when all CPUs are busy"),
    (14, "CAP_IPC_LOCK", Weight::Warn, "without it the memory that stops write to may be swapped out"),
];
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_DAC_OVERRIDE: u32 = 1;
/// What we lock in memory.
const LOCKED_BYTES: u64 = 5 << 20;

/// A hard limit of ours.
fn limit(of: Resource) -> u64 {
    nix::sys::resource::getrlimit(of).map_or(0, |(_, hard)| hard)
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Weight {
    Ok,
    Warn,
    Fail,
}

/// One line of the answer; the JSON is stable.
#[derive(Debug, Serialize)]
struct Finding {
    weight: Weight,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Looks, and prints. Exit code 0: it can be profiled; 77: a right is missing; 1: it cannot be for another reason.
pub fn doctor(arguments: &DoctorArguments) -> Result<u8, Failure> {
    let mut findings = Findings(Vec::new());
    findings.machine();
    let mut code = 0;
    if let Some(pid) = arguments.pid {
        match Target::open(Pid(pid)) {
            Ok(target) => findings.target(target.pid, &target.exe),
            // The last thing to be refused for: all else holds.
            Err(Refused::Locked(pid)) => {
                findings.ok("another sentry-profiled profiles it now, the daemon maybe");
                findings.target(pid, &std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default());
            }
            Err(refused) => {
                code = if refused.is_permission() { 77 } else { 1 };
                findings.refused(&refused);
            }
        }
    }
    if code == 0 && findings.0.iter().any(|finding| finding.weight == Weight::Fail) {
        code = 77;
    }
    let text = if arguments.json { serde_json::to_string(&findings.0)? + "\n" } else { findings.text() };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(code)
}

/// What holds for every target, as a server's page shows it.
pub fn checks() -> Vec<Check> {
    let mut findings = Findings(Vec::new());
    findings.machine();
    let check = |Finding { weight, what, hint }| {
        let level = match weight {
            Weight::Ok => "ok",
            Weight::Warn => "warn",
            Weight::Fail => "bad",
        };
        Check { level, text: what, fix: hint }
    };
    findings.0.into_iter().map(check).collect()
}

/// Whether processes of others may be traced.
pub fn may_trace() -> bool {
    has(effective_capabilities(), CAP_SYS_PTRACE)
}

struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, what: impl Into<String>) {
        self.0.push(Finding { weight: Weight::Ok, what: what.into(), hint: None });
    }

    fn add(&mut self, weight: Weight, what: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Finding { weight, what: what.into(), hint: Some(hint.into()) });
    }

    /// What holds for every target.
    fn machine(&mut self) {
        let held = effective_capabilities();
        for (number, name, weight, hint) in CAPABILITIES {
            let stands_in = match number {
                2 => has(held, CAP_DAC_OVERRIDE),
                40 => has(held, CAP_SYS_ADMIN),
                23 => limit(Resource::RLIMIT_RTPRIO) >= 1,
                14 => limit(Resource::RLIMIT_MEMLOCK) >= LOCKED_BYTES,
                _ => false,
            };
            if has(held, number) || stands_in {
                self.ok(format!("{name} is held"));
            } else {
                self.add(weight, format!("{name} is not held"), hint);
            }
        }
        self.yama();
        if TaskStats::open().is_some() {
            self.ok("taskstats answer: a process in which nothing ran costs one question");
        } else {
            self.add(
                Weight::Warn,
                "taskstats do not answer",
                "needs CAP_NET_ADMIN in the initial user namespace; each thread is asked instead",
            );
        }
        if sampler::reader::ptrace::run_count_moves() {
            self.ok("the kernel counts how often a thread runs (schedstat)");
        } else {
            self.add(Weight::Warn, "the kernel does not count runs (schedstat)", "a kernel with CONFIG_SCHED_INFO proves that a sleeper did not run; without it every sleeper is read at every tick");
        }
        self.descriptors();
    }

    fn yama(&mut self) {
        match std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").map(|text| text.trim().to_owned()) {
            Ok(scope) if scope == "3" => self.add(
                Weight::Fail,
                "kernel.yama.ptrace_scope is 3: nobody may trace",
                "it can only be lowered by a restart of the machine with another setting",
            ),
            Ok(scope) => self.ok(format!("kernel.yama.ptrace_scope is {scope}: no obstacle with CAP_SYS_PTRACE")),
            Err(_) => self.ok("no Yama"),
        }
    }

    fn descriptors(&mut self) {
        let threads = limit(Resource::RLIMIT_NOFILE).saturating_sub(100) / 2;
        if threads >= 4096 {
            self.ok(format!("descriptors for {threads} threads"));
        } else {
            self.add(
                Weight::Warn,
                format!("descriptors for {threads} threads only"),
                "raise the hard limit (ulimit -Hn, LimitNOFILE=); threads beyond are skipped and counted",
            );
        }
    }

    fn refused(&mut self, refused: &Refused) {
        self.add(Weight::Fail, refused.to_string(), refused.hint());
    }

    /// What holds for one process.
    fn target(&mut self, pid: Pid, exe: &Path) {
        self.ok(format!("process {pid} ({}) can be read", exe.display()));
        match tracer_of(pid) {
            0 => self.ok("nobody traces it"),
            tracer => self.add(
                Weight::Warn,
                format!("process {tracer} traces it"),
                "its running threads are skipped until that debugger or strace lets go",
            ),
        }
        for name in ["pid", "mnt", "user"] {
            let link = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/{name}")).ok();
            if link("self") != link(&pid.to_string()) {
                self.ok(format!("it is in another {name} namespace: its files are opened inside its root"));
            }
        }
        self.modules(pid);
    }

    fn modules(&mut self, pid: Pid) {
        let Some(tid) = live_thread(pid) else { return };
        let mut modules = Modules::new(pid);
        let mut files: Vec<ModuleFile> = Vec::new();
        let map = modules.reload(tid, &mut InfoCache::default(), &mut |_, file| files.push(file));
        let Some(map) = map else {
            return self.add(
                Weight::Warn,
                "its modules cannot be read",
                "see /proc/PID/maps; without it no stack is longer than one frame",
            );
        };
        let anonymous = map.ranges().iter().filter(|range| range.module.is_none()).count();
        if anonymous > 0 {
            self.add(
                Weight::Warn,
                format!("{anonymous} ranges of code that no file backs (JIT)"),
                "such frames are followed by frame pointers where they have them, and have no names",
            );
        }
        for (number, file) in (0_u32..).zip(&files) {
            let index = profile::module::ModuleIndex(number);
            let info =
                map.ranges().iter().find(|range| range.module == Some(index)).and_then(|range| range.info.as_ref());
            self.module(file, info.is_some_and(|info| info.bytes() > 0));
        }
    }

    fn module(&mut self, file: &ModuleFile, has_unwind_info: bool) {
        let path = &file.module.path;
        let open = match &file.content {
            Content::Missing => {
                return self.add(
                    Weight::Warn,
                    format!("{path}: cannot be opened"),
                    "it was deleted or replaced since; restart the program, or run with CAP_CHECKPOINT_RESTORE",
                );
            }
            Content::Bytes(_) => return self.ok(format!("{path}: read from memory")),
            Content::File(open) => open,
        };
        if !has_unwind_info {
            self.add(
                Weight::Warn,
                format!("{path}: no unwind information"),
                "stacks through it are guessed by frame pointers or cut; build it with -fasynchronous-unwind-tables",
            );
        }
        let build = file.module.build_id.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        match Symbols::of(open) {
            Symbols::Debug => self.ok(format!("{path}: lines and inlined calls")),
            Symbols::Table => self.ok(format!("{path}: function names")),
            Symbols::Exported if has_debug_file(file) => self.ok(format!("{path}: named by its debug file")),
            Symbols::Exported => self.add(
                Weight::Warn,
                format!("{path}: only exported functions have names (build id {build})"),
                "install its debug symbols: Debian's -dbgsym package, Fedora's -debuginfo",
            ),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { weight, what, hint } in &self.0 {
            let word = match weight {
                Weight::Ok => "ok  ",
                Weight::Warn => "warn",
                Weight::Fail => "FAIL",
            };
            let _ = writeln!(text, "{word}  {what}");
            if let Some(hint) = hint {
                let _ = writeln!(text, "      {hint}");
            }
        }
        text
    }
}

/// Whether the target's `/usr/lib/debug` has the file that belongs to this build.
fn has_debug_file(file: &ModuleFile) -> bool {
    let Some(id) = file.module.build_id.as_ref().map(ToString::to_string) else { return false };
    let Some((first, rest)) = id.split_at_checked(2) else { return false };
    file.root.open(&format!("/usr/lib/debug/.build-id/{first}/{rest}.debug")).is_some()
}

/// What a file tells about its functions.
enum Symbols {
    Debug,
    Table,
    Exported,
}

impl Symbols {
    fn of(file: &std::fs::File) -> Self {
        let cache = ReadCache::new(file);
        let Ok(elf) = ElfFile64::<object::LittleEndian, _>::parse(&cache) else { return Self::Exported };
        let has = |name: &str| elf.section_by_name(name).is_some_and(|section| section.size() > 0);
        if has(".debug_info") || has(".zdebug_info") {
            Self::Debug
        } else if has(".symtab") || has(".gnu_debugdata") {
            Self::Table
        } else {
            Self::Exported
        }
    }
}

/// `CapEff` of ourselves; everything when it cannot be read.
fn effective_capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(u64::MAX)
}

fn has(held: u64, number: u32) -> bool {
    held >> number & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the text that a person reads.
    #[test]
    fn text() {
        let mut findings = Findings(Vec::new());
        findings.ok("all is well");
        findings.add(Weight::Warn, "something is missing", "get it");
        findings.refused(&Refused::KernelThread(Pid(2)));
        insta::assert_snapshot!(findings.text(), @r"
        ok    all is well
        warn  something is missing
              get it
        FAIL  process 2 is a kernel thread: it runs no user code
              kernel threads can be profiled with `perf record -g -p`
        ");
    }
}

//! The programs that the tests profile: builds `tests/targets/*.c` on demand, starts them, reads what they report.
//! What each does and what a test expects of it stands at the head of its source.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use serde_json::Value;

use crate::compile::{Build, compile};

/// As Debian builds its own: optimised, without frame pointers, with line tables.
const FLAGS: &[&str] = &["-O2", "-g", "-fomit-frame-pointer", "-pthread"];
/// No C library of 32 bits is needed for this.
const FLAGS_32: &[&str] = &["-m32", "-O2", "-nostdlib", "-static", "-fno-stack-protector", "-fno-pic", "-no-pie"];
/// A program that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Held by a test while it needs the machine: over all test programs and threads.
#[derive(Debug)]
pub struct Turn(#[allow(dead_code, reason = "held, not read")] Flock<fs::File>);

/// Waits for the turn of a test that measures: it is alone.
pub fn turn() -> Turn {
    locked(FlockArg::LockExclusive)
}

/// Waits for the turn of a test that holds beside others: it asks what is seen, not how much of it or how fast, and starts no
/// daemon, which would take the targets of another test for its own.
pub fn turn_with_others() -> Turn {
    locked(FlockArg::LockShared)
}

fn locked(how: FlockArg) -> Turn {
    let file = fs::File::create(std::env::temp_dir().join("sentry-profiled-tests.lock")).unwrap();
    Turn(Flock::lock(file, how).unwrap())
}

/// A target program, built if it was not; `None`, said on stderr, where there is no compiler for it.
pub fn build(name: &str) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let (source, header) = (sources.join(name).with_extension("c"), sources.join("target.h"));
    let narrow = name == "thirty_two_bit";
    let flags = if narrow { FLAGS_32 } else { FLAGS };
    compile(Build { name, compiler: "cc", sources: &[&source, &header], flags, optional: narrow })
}

/// A running target program. Dropping it ends it, stopped or not.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    /// Builds and starts it, and waits until it says that it is ready. `None`: it cannot be built here.
    pub fn start(name: &str, arguments: &[&str]) -> Option<Self> {
        let mut program = Self::spawn(Command::new(build(name)?).args(arguments));
        assert_eq!(program.line(), "ready", "{name}");
        Some(program)
    }

    /// Starts a command whose standard output is ours to read.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Self { child, lines }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// How long its threads have had a CPU since its start, as its clock says it (`clock_getcpuclockid(3)`).
    pub fn on_cpu(&self) -> Duration {
        let clock = clock_getcpuclockid(Pid::from_raw(self.pid())).unwrap();
        clock_gettime(clock).unwrap().into()
    }

    /// The most memory that it ever had resident, kB.
    pub fn peak_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the target says nothing")
    }

    /// Asks it to end, and gives what it saw.
    pub fn finish(mut self) -> Value {
        self.signal(Signal::SIGTERM);
        self.report()
    }

    /// Waits until it ends by itself, and gives what it saw.
    pub fn report(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Waits for its end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        wait(&mut self.child, limit).unwrap_or_else(|| panic!("{} still runs after {limit:?}", self.child.id()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a child, at most `limit`.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The exit code as a shell has it.
pub fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap()
}

/// The state letter of each thread of a process (`R`, `S`, `D`, `T` stopped, `t` held by a tracer, `Z`).
pub fn states(pid: i32) -> Vec<(i32, char)> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let stat = fs::read_to_string(path.join("stat")).ok()?;
            let state = stat.rsplit_once(") ")?.1.chars().next()?;
            Some((path.file_name()?.to_str()?.parse().ok()?, state))
        })
        .collect()
}

/// The threads that are stopped or held now.
pub fn held(pid: i32) -> Vec<i32> {
    states(pid).into_iter().filter(|(_, state)| matches!(state, 'T' | 't')).map(|(tid, _)| tid).collect()
}

/// Waits until no thread is stopped or held, at most `limit`; gives those that still are.
pub fn held_for(pid: i32, limit: Duration) -> Vec<i32> {
    let deadline = Instant::now() + limit;
    loop {
        let held = held(pid);
        if held.is_empty() || Instant::now() > deadline {
            return held;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

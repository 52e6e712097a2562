//! Runs `sentry-profiled` as a user does, with time limits, and reads what it prints. Knows nothing of its insides.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    compile::build_folder,
    targets::{code, wait},
};

/// The program: `SENTRY_PROFILED_BIN`, or the one of this build, which is brought up to date first.
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("SENTRY_PROFILED_BIN") {
            return PathBuf::from(path);
        }
        let folder = build_folder();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--workspace", "--bin", "sentry-profiled"]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.arg("--target-dir").arg(folder.parent().unwrap());
        assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
        folder.join("sentry-profiled")
    })
}

/// What a run of the agent left.
#[derive(Debug)]
pub struct Run {
    /// Exit code, as a shell has it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Run {
    /// A figure of its closing line, such as `samples` (`8026 samples`) or `lost` (`lost 1972`); 0 where that says nothing.
    pub fn figure(&self, of: &str) -> u64 {
        let line = self.stderr.lines().rev().find(|line| line.contains(" samples"));
        let words: Vec<&str> = line.unwrap_or_default().split([' ', ';']).collect();
        let Some(at) = words.iter().position(|word| *word == of) else { return 0 };
        let beside = if of == "samples" { at.checked_sub(1) } else { Some(at + 1) };
        beside.and_then(|at| words.get(at)).and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}

/// A running agent. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    began: Instant,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Agent {
    /// Starts it. It keeps its chunks in a folder that goes away with the machine's temporary files, and hears nothing
    /// of the environment that would make it ship.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// The same with more variables in its environment.
    pub fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .env_remove("SENTRY_DSN")
            .env("STATE_DIRECTORY", build_folder().join("test-state"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let stdout = Some(drain(child.stdout.take().unwrap()));
        let stderr = Some(drain(child.stderr.take().unwrap()));
        Self { child, began, stdout, stderr }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, at most `limit`.
    pub fn wait(mut self, limit: Duration) -> Run {
        let status = wait(&mut self.child, limit);
        let took = self.began.elapsed();
        let Some(status) = status else {
            let _ = self.child.kill();
            panic!("the agent still runs after {limit:?}: {}", self.stderr.take().unwrap().join().unwrap());
        };
        Run {
            code: code(status),
            stdout: self.stdout.take().unwrap().join().unwrap(),
            stderr: self.stderr.take().unwrap().join().unwrap(),
            took,
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn drain(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs the agent to its end, at most `limit`.
pub fn run(arguments: &[&str], limit: Duration) -> Run {
    Agent::start(arguments).wait(limit)
}

/// Whether the functions `seventy`, `twenty` and `ten` have the shares of the samples that they had of the CPU time (`was`, by name),
/// within three standard errors; and how many samples they have together. Prints each.
#[allow(clippy::cast_precision_loss, reason = "some thousand samples")]
pub fn has_shares(stacks: &[Stack], was: &Value) -> (bool, u64) {
    let names = ["seventy", "twenty", "ten"];
    let counts = names.map(|name| samples(stacks, name));
    let all = counts.iter().sum::<u64>();
    let mut is_within = true;
    for (name, count) in names.iter().zip(counts) {
        let share = was[name].as_f64().unwrap();
        let error = (share * (1.0 - share) / all as f64).sqrt();
        let seen = count as f64 / all as f64;
        println!("{name}: {seen:.4}, was {share:.4} +- {error:.4} ({all} samples)");
        is_within &= (seen - share).abs() < 3.0 * error;
    }
    (is_within, all)
}

/// Every file below a folder; none, if there is no such folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// `dump --json`.
#[derive(Debug, Deserialize)]
pub struct Dump {
    /// Whose.
    pub pid: i32,
    /// One a thread.
    pub threads: Vec<DumpThread>,
}

/// A thread of a dump.
#[derive(Debug, Deserialize)]
pub struct DumpThread {
    /// Its id.
    pub tid: i32,
    /// Its name.
    pub name: String,
    /// What it was doing.
    pub state: String,
    /// Leaf first.
    pub frames: Vec<DumpFrame>,
    /// `complete`, `guessed`, `truncated: REASON` or `unplaced`.
    pub end: String,
}

/// A frame of a dump.
#[derive(Debug, Deserialize)]
pub struct DumpFrame {
    /// `None`: no name is known.
    pub function: Option<String>,
    /// File name of the module.
    pub module: Option<String>,
    /// The source file.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// Of a native one.
    pub address: Option<String>,
}

impl DumpThread {
    /// The functions, root first, separated by `;`.
    pub fn path(&self) -> String {
        let names: Vec<&str> = self.frames.iter().rev().map(|frame| frame.function.as_deref().unwrap_or("?")).collect();
        names.join(";")
    }
}

/// Dumps a process; panics with what the agent said when it fails.
pub fn dump(pid: i32) -> Dump {
    let run = run(&["dump", "--json", "--pid", &pid.to_string()], Duration::from_secs(20));
    assert_eq!(run.code, 0, "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

/// One line of the collapsed format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stack {
    /// Root first.
    pub frames: Vec<String>,
    /// Samples.
    pub count: u64,
}

impl Stack {
    /// Whether a function is on it.
    pub fn has(&self, function: &str) -> bool {
        self.frames.iter().any(|frame| frame == function)
    }
}

/// Parses the collapsed format.
pub fn collapsed(text: &str) -> Vec<Stack> {
    text.lines()
        .map(|line| {
            let (frames, count) = line.rsplit_once(' ').unwrap();
            Stack { frames: frames.split(';').map(str::to_owned).collect(), count: count.parse().unwrap() }
        })
        .collect()
}

/// Samples of the stacks on which a function is.
pub fn samples(stacks: &[Stack], function: &str) -> u64 {
    stacks.iter().filter(|stack| stack.has(function)).map(|stack| stack.count).sum()
}

/// Starts `record` of a process into a collapsed file on standard output.
pub fn record(pid: i32, seconds: u32, more: &[&str]) -> Agent {
    let (pid, seconds) = (pid.to_string(), seconds.to_string());
    let mut arguments = vec!["record", "--pid", &pid, "--format", "collapsed", "-o", "-", "--duration", &seconds];
    arguments.extend(more);
    Agent::start(&arguments)
}

//! A running `sentry-profiled daemon` with its settings, control socket and state in a folder of its own, and Python programs
//! that have its client. Knows nothing of the daemon's insides.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    agent::{Agent, Run, binary},
    pythons::{Python, with_module},
};

/// It answers within some seconds, or never.
const START_MAX: Duration = Duration::from_secs(20);

/// A daemon. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    folder: TempDir,
    agent: Agent,
}

impl Daemon {
    /// Starts one with the text of a settings file, and waits until it answers.
    pub fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), settings).unwrap();
        let agent = start_in(folder.path());
        let daemon = Self { folder, agent };
        daemon.wait_until_it_answers();
        daemon
    }

    fn wait_until_it_answers(&self) {
        let began = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            assert!(began.elapsed() < START_MAX, "no control socket");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.agent.pid()
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// Its folder: `config.toml`, `control.sock`, `state`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.agent.signal(signal);
    }

    /// Asks it, as ourselves: the status and the JSON of the answer.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        ask(&self.socket(), method, path, body)
    }

    /// The processes that its settings name.
    pub fn targets(&self) -> Vec<Value> {
        let (status, targets) = self.ask("GET", "/v1/targets", "");
        assert_eq!(status, 200, "{targets}");
        targets.as_array().unwrap().clone()
    }

    /// Waits until what its settings name is as wanted.
    pub fn wait_for(&self, what: &str, limit: Duration, is: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let targets = self.targets();
            if is(&targets) {
                return targets;
            }
            assert!(began.elapsed() < limit, "not in time: {what}; {targets:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs one of the program's verbs that ask a daemon.
    pub fn verb(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(binary());
        let output = command.args(arguments).arg("--control").arg(self.socket()).output().unwrap();
        let text = String::from_utf8_lossy(if output.stdout.is_empty() { &output.stderr } else { &output.stdout });
        (output.status.code().unwrap(), text.into_owned())
    }

    /// What has it be killed and started again.
    pub fn restart(&mut self) {
        self.agent.signal(Signal::SIGKILL);
        let killed = std::mem::replace(&mut self.agent, start_in(self.folder.path()));
        drop(killed);
        self.wait_until_it_answers();
    }

    /// Ends it, as a service manager does.
    pub fn stop(self) -> Run {
        self.agent.signal(Signal::SIGTERM);
        self.agent.wait(Duration::from_mins(1))
    }
}

fn start_in(folder: &Path) -> Agent {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (config, socket, state) = (path("config.toml"), path("control.sock"), path("state"));
    let arguments = ["daemon", "--config", &config, "--control", &socket, "--spool", &state, "--listen", "127.0.0.1:0"];
    Agent::start_with(&arguments, &[("SENTRY_PROFILED_LOG", "info")])
}

/// Asks a control socket: the status and the JSON of the answer.
pub fn ask(socket: &Path, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// A Python with sentry-sdk that runs programs under the client of this source tree; `None`, said: there is none.
#[derive(Debug)]
pub struct Client {
    python: Python,
}

impl Client {
    /// Finds it.
    pub fn find() -> Option<Self> {
        with_module("sentry_sdk").map(|python| Self { python })
    }

    /// A program under the client, which finds the daemon and the DSN by its environment. No line of the program says so.
    pub fn command(&self, daemon: &Daemon, dsn: &str, program: &Path) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let start = "import sentry_profiled, runpy, sys; sentry_profiled.install(timeout=20); sys.argv = sys.argv[1:]; \
                     runpy.run_path(sys.argv[0], run_name='__main__')";
        let mut command = Command::new(&self.python.path);
        let path = std::env::join_paths([&root.join("clients/python/src"), program.parent().unwrap()]).unwrap();
        command
            .args(["-c", start])
            .arg(program)
            .env("PYTHONPATH", path)
            .env("SENTRY_PROFILED", "1")
            .env("SENTRY_PROFILED_CONTROL", daemon.socket())
            .env("SENTRY_DSN", dsn);
        command
    }
}

/// One of the programs that make the calls of Sentry's documents.
pub fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/samples").join(name)
}

//! A ClickHouse of one's own on loopback: `chdb/serve.py` in the tests' virtual environment, its data in a folder. Can be
//! killed and started again. What it does not behave like a real server in is in `docs/clickhouse.md`.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The engine, running. Ends with this value.
#[derive(Debug)]
pub struct ClickHouse {
    child: Child,
    port: u16,
    python: PathBuf,
    folder: PathBuf,
    account: Option<(String, String)>,
}

impl ClickHouse {
    /// On what is in the folder; `None`, said on stderr, where chDB is not installed.
    pub fn start(folder: &Path) -> Option<Self> {
        Self::start_for(folder, None)
    }

    /// The same for one user alone, with a password.
    pub fn start_with(folder: &Path, user: &str, password: &str) -> Option<Self> {
        Self::start_for(folder, Some((user.to_owned(), password.to_owned())))
    }

    fn start_for(folder: &Path, account: Option<(String, String)>) -> Option<Self> {
        let venv = std::env::var_os("SENTRY_PROFILED_VENV").map(PathBuf::from);
        let python = venv.map(|venv| venv.join("bin/python")).filter(|python| has_chdb(python));
        let Some(python) = python else {
            eprintln!(
                "skipped: no chDB in the tests' virtual environment ($SENTRY_PROFILED_VENV); scripts/setup tests"
            );
            return None;
        };
        let (child, port) = serve(&python, folder, 0, account.as_ref());
        Some(Self { child, port, python, folder: folder.to_owned(), account })
    }

    /// The address of a database of it, as `store.url` takes it.
    pub fn url(&self, database: &str) -> String {
        let account = self.account.as_ref().map_or(String::new(), |(user, password)| format!("{user}:{password}@"));
        format!("clickhouse://{account}127.0.0.1:{}/{database}", self.port)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// After [`Self::kill`]: with the same data on the same port.
    pub fn start_again(&mut self) {
        let (child, port) = serve(&self.python, &self.folder, self.port, self.account.as_ref());
        assert_eq!(port, self.port);
        self.child = child;
    }

    /// From now on it carries out that many inserts and hangs up instead of answering.
    pub fn leave_unanswered(&self, inserts: usize) {
        self.post(&format!("/control?drop={inserts}"), "");
    }

    /// What it answers to a statement.
    pub fn query(&self, sql: &str) -> String {
        self.post("/", sql)
    }

    fn post(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let account = self.account.as_ref().map_or(String::new(), |(user, password)| {
            format!("X-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}\r\n")
        });
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: x\r\n{account}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        body.to_owned()
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

fn has_chdb(python: &Path) -> bool {
    // Importing it takes a second: look for it only.
    let found =
        "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('chdb', 'lz4', 'clickhouse_cityhash'))))";
    let run = Command::new(python).args(["-c", found]).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

/// The process, and the port on which it serves by now.
fn serve(python: &Path, folder: &Path, port: u16, account: Option<&(String, String)>) -> (Child, u16) {
    let mut command = Command::new(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("chdb/serve.py"))
        .arg("--data")
        .arg(folder)
        .args(["--port", &port.to_string()]);
    if let Some((user, password)) = account {
        command.args(["--user", user, "--password", password]);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let url = first_line(stdout).unwrap();
    let port = url.trim().rsplit(':').next().and_then(|port| port.parse().ok());
    (child, port.unwrap_or_else(|| panic!("chdb/serve.py does not serve: {url:?}")))
}

fn first_line(from: impl Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line)?;
    Ok(line)
}

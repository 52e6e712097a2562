//! Runs `sentry-profiled serve` on a folder, and speaks HTTP to it as an SDK or a script does. Asserts nothing itself.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Error, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{agent::binary, targets::Program};

/// A server that is asked and says nothing for so long hangs. Reading a store of 1,000 rounds takes some seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server. Dropping it is `kill -9`.
#[derive(Debug)]
pub struct Serving {
    /// The process.
    pub program: Program,
    began: Instant,
    /// Where it listens.
    pub port: u16,
}

/// A port of this machine that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Serving {
    /// Starts it, and waits for nothing. What it logs is added to the file `log`.
    pub fn spawn(store: &Path, port: u16, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(binary());
        command.arg("serve").arg("--store").arg(store).args(["--listen", &format!("127.0.0.1:{port}")]);
        command.env_remove("SENTRY_DSN").stderr(log);
        Self { began: Instant::now(), program: Program::spawn(&mut command), port }
    }

    /// Waits until it listens: the key in the DSN that it prints, and how long all that took. Once for each.
    pub fn ready(&mut self) -> (String, Duration) {
        let address = self.program.line();
        assert_eq!(address, format!("http://127.0.0.1:{}/", self.port));
        // `default http://KEY@127.0.0.1:PORT/1`
        let dsn = self.program.line();
        let key = dsn.split_once("//").and_then(|(_, rest)| rest.split_once('@')).expect("a DSN").0.to_owned();
        (key, self.began.elapsed())
    }

    /// Asks a question: `/profiles?...`.
    pub fn ask(&self, question: &str) -> Value {
        let asked = Connection::open(self.port).and_then(|mut to| to.get(&format!("/api/v1{question}")));
        let Answer { status, body, .. } = asked.unwrap();
        assert_eq!(status, 200, "{question}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// Sends an envelope over a connection of its own: the status that was answered.
    pub fn send(&self, key: &str, envelope: &[u8]) -> io::Result<u16> {
        Connection::open(self.port)?.send(key, envelope)
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// 200 ...
    pub status: u16,
    /// In small letters, a line each.
    pub headers: String,
    /// As it came.
    pub body: Vec<u8>,
}

/// A connection for one request after another.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects.
    pub fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends an envelope to project 1: the status that was answered.
    pub fn send(&mut self, key: &str, envelope: &[u8]) -> io::Result<u16> {
        Ok(self.send_packed(key, "identity", envelope)?.status)
    }

    /// Sends one whose bytes are packed (`gzip` ...).
    pub fn send_packed(&mut self, key: &str, encoding: &str, envelope: &[u8]) -> io::Result<Answer> {
        let head = format!(
            "POST /api/1/envelope/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Sentry-Auth: Sentry sentry_key={key}, \
             sentry_version=7, sentry_client=fault/1\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
            envelope.len()
        );
        // In one piece, as SDKs do.
        self.0.get_mut().write_all(&[head.as_bytes(), envelope].concat())?;
        self.answer()
    }

    /// Asks for a path.
    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
        self.answer()
    }

    /// Half an answer is an error.
    fn answer(&mut self) -> io::Result<Answer> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| Error::other(status))?;
        let (mut length, mut headers) = (0, String::new());
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().map_err(Error::other)?,
                Some(_) => (),
                None => break,
            }
            headers.push_str(&line);
            headers.push('\n');
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status, headers, body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

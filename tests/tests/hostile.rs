//! Who means ill against `sentry-profiled serve`: bombs, floods, those who never finish. Memory stays bounded, and others are
//! served meanwhile.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::Signal,
};
use server::testing::compressed;
use tests::serving::{Serving, free_port};

/// A chunk that is taken, with an id of its own.
const CHUNK: &str = r#"{"version":"2","profiler_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c","chunk_id":"@","platform":"rust",
"client_sdk":{"name":"acme","version":"0.1.0"},"profile":{"frames":[{"function":"parse"}],"stacks":[[0]],"samples":[
{"timestamp":1790000000,"stack_id":0,"thread_id":"7"},{"timestamp":1790000001,"stack_id":0,"thread_id":"7"}]}}"#;
/// Settings: 512 MiB in flight; what is read of an item besides, and what allocators keep.
const MEMORY_MAX_KB: u64 = 900 << 10;

struct Served {
    serving: Serving,
    key: String,
    _folder: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut serving = Serving::spawn(&folder.path().join("store"), free_port(), &folder.path().join("log"));
        let key = serving.ready().0;
        Self { serving, key, _folder: folder }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.serving.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream
    }

    fn head(&self, headers: &str) -> String {
        format!("POST /api/1/envelope/?sentry_key={} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n", self.key)
    }

    /// The status of an answer; 0 where the connection is cut instead.
    fn status(mut stream: TcpStream) -> u16 {
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while !answer.windows(2).any(|end| end == b"\r\n") {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return 0,
                Ok(many) => answer.extend_from_slice(&buffer[..many]),
            }
        }
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn send(&self, encoding: &str, body: &[u8]) -> u16 {
        let mut stream = self.connect();
        let head = self.head(&format!("Content-Encoding: {encoding}\r\nContent-Length: {}", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        // Refused before it is all there, it cannot all be sent.
        let _ = stream.write_all(body);
        Self::status(stream)
    }

    /// An honest client; how long it waited.
    fn honest(&self, number: usize) -> Duration {
        let began = Instant::now();
        let chunk = CHUNK.replace('@', &format!("{number:032x}"));
        let envelope = format!("{{}}\n{{\"type\":\"profile_chunk\",\"length\":{}}}\n{chunk}\n", chunk.len());
        assert_eq!(self.send("identity", envelope.as_bytes()), 200);
        began.elapsed()
    }

    fn peak_kb(&self) -> u64 {
        self.serving.program.peak_kb()
    }
}

/// Check bombs in every encoding, an item of a gigabyte, and items whose few bytes are to become large memory.
#[test]
fn bombs() {
    let served = Served::start();
    let gigabyte = vec![b' '; 1 << 30];
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        assert_eq!(served.send(encoding, &compressed(encoding, &gigabyte)), 413, "{encoding}");
        served.honest(1);
    }
    // Said beforehand, and not said.
    assert!(matches!(served.send("identity", &gigabyte), 413 | 0));
    let mut stream = served.connect();
    stream.write_all(served.head("Transfer-Encoding: chunked").as_bytes()).unwrap();
    for piece in gigabyte.chunks(1 << 20) {
        if stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).is_err() || stream.write_all(piece).is_err() {
            break;
        }
        let _ = stream.write_all(b"\r\n");
    }
    assert!(matches!(Served::status(stream), 413 | 503 | 0));
    for small in ["{},", "[],", "0,"] {
        let (frames, stacks) = match small {
            "{}," => (small.repeat(16 << 20), String::new()),
            "[]," => (String::new(), small.repeat(16 << 20)),
            _ => (String::new(), format!("[{}0],", small.repeat(24 << 20))),
        };
        let chunk = CHUNK.replace("\"frames\":[", &format!("\"frames\":[{frames}"));
        let chunk = chunk.replace("\"stacks\":[", &format!("\"stacks\":[{stacks}"));
        let envelope = format!("{{}}\n{{\"type\":\"profile_chunk\"}}\n{}", chunk.replace('\n', ""));
        assert_eq!(served.send("gzip", &compressed("gzip", envelope.as_bytes())), 200, "taken, and refused later");
    }
    served.honest(2);
    println!("peak {} MB", served.peak_kb() >> 10);
    assert!(served.peak_kb() < MEMORY_MAX_KB, "{} kB", served.peak_kb());
}

/// Check that thousands who connect and say nothing, or a byte now and then, keep nobody else out.
#[test]
fn slow_clients() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let served = Served::start();
    let many = usize::try_from(hard).unwrap().saturating_sub(200).min(12_000);
    let mut slow = Vec::new();
    for number in 0..many {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", served.serving.port)) else { break };
        let start = match number % 3 {
            0 => String::new(),
            1 => served.head("X-A: b").trim_end().to_owned(),
            _ => served.head("Content-Length: 1000"),
        };
        let _ = stream.write_all(start.as_bytes());
        slow.push(stream);
        if number % 1000 == 999 {
            let waited = served.honest(number);
            assert!(waited < Duration::from_secs(5), "{waited:?} with {number} others");
        }
    }
    println!("{} connections, peak {} MB", slow.len(), served.peak_kb() >> 10);
    for _ in 0..5 {
        for stream in &mut slow {
            drop(stream.write_all(b"x"));
        }
        assert!(served.honest(slow.len()) < Duration::from_secs(5));
    }
    assert!(served.peak_kb() < MEMORY_MAX_KB, "{} kB", served.peak_kb());
}

/// Check bytes that are no HTTP, and an end by signal while some are connected.
#[test]
fn garbage_and_the_end() {
    let mut served = Served::start();
    for garbage in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET / HTTP/9.9\r\n\r\n", &[0xff; 4096], b"\r\n\r\n\r\n"] {
        let mut stream = served.connect();
        stream.write_all(garbage).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    let idle: Vec<TcpStream> = (0..10).map(|_| served.connect()).collect();
    served.honest(1);
    served.serving.program.signal(Signal::SIGTERM);
    assert!(served.serving.program.wait(Duration::from_secs(5)).success());
    drop(idle);
}

//! Servers that fork their workers, as they are run: every worker is sampled, the killed one keeps what was sampled of it,
//! and the one that takes its place is found.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    agent::{collapsed, record},
    compile::build_folder,
    targets::{turn, wait},
};

const SOON: Duration = Duration::from_secs(30);
/// Of some hundred that there are in a worker's share of the time, on a machine on which others work too.
const SAMPLES_LEAST: u64 = 15;

/// A program of the tests' virtual environment; `None`, said, where it is not installed.
fn installed(name: &str) -> Option<PathBuf> {
    let venv = std::env::var_os("SENTRY_PROFILED_VENV").map(PathBuf::from);
    let venv = venv.unwrap_or_else(|| build_folder().parent().unwrap().join("venv"));
    let program = venv.join("bin").join(name);
    if !program.exists() {
        println!("skipped: no {name} in {} (scripts/setup tests installs it where it can be had)", venv.display());
        return None;
    }
    Some(program)
}

/// A running server. Dropping it ends it and its workers.
struct Server {
    master: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(program: &Path, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = || fs::OpenOptions::new().create(true).append(true).open(folder.path().join("log")).unwrap();
        let master = Command::new(program)
            .args(arguments)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/python"))
            .env("HOME", folder.path())
            .env("BROKER_FOLDER", folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .unwrap();
        Self { master, folder }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.master.id()).unwrap()
    }

    /// Waits until there are two workers, none of which is `but`.
    fn workers(&self, but: i32) -> Vec<i32> {
        let deadline = Instant::now() + SOON;
        loop {
            let children = format!("/proc/{0}/task/{0}/children", self.pid());
            let children = fs::read_to_string(children).unwrap_or_default();
            let pids: Vec<i32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
            if pids.len() == 2 && !pids.contains(&but) {
                return pids;
            }
            assert!(Instant::now() < deadline, "{children}: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let workers = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).unwrap_or_default();
        let _ = kill(Pid::from_raw(self.pid()), Signal::SIGTERM);
        if wait(&mut self.master, Duration::from_secs(10)).is_none() {
            for pid in workers.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = self.master.kill();
            let _ = self.master.wait();
        }
    }
}

/// Four clients that ask one after another, until this is dropped.
struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let client = || {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                while !over.load(Relaxed) {
                    // A worker may be killed in the midst of it.
                    let _ = ask(port);
                }
            })
        };
        Self { clients: std::iter::repeat_with(client).take(4).collect(), over: Arc::clone(&over) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        self.clients.drain(..).for_each(|client| drop(client.join()));
    }
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /busy HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Waits until the server answers.
fn answers(server: &Server, port: u16) {
    let deadline = Instant::now() + SOON;
    while !ask(port).is_ok_and(|answer| answer.ends_with("done\n")) {
        assert!(Instant::now() < deadline, "no answer: {}", server.log());
        thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Samples by process in which `burns` was at work.
fn burning(output: &str) -> BTreeMap<i32, u64> {
    let mut found = BTreeMap::new();
    for stack in collapsed(output).iter().filter(|stack| stack.has("burns")) {
        let process = stack.frames[0].strip_prefix("process ").unwrap();
        *found.entry(process.split(':').next().unwrap().parse().unwrap()).or_default() += stack.count;
    }
    found
}

fn all_burned(run: &tests::agent::Run, workers: &[i32], server: &Server) {
    let burned = burning(&run.stdout);
    let enough = |pid: &i32| burned.get(pid).is_some_and(|samples| *samples >= SAMPLES_LEAST);
    assert!(workers.iter().all(enough), "{workers:?} {burned:?}\n{}\n{}", run.stderr, server.log());
    assert_eq!(run.code, 0, "{}", run.stderr);
}

/// Samples a web server for five seconds in which one of its two workers is ended by `signal`.
fn web(program: &str, arguments: &[&str], signal: Signal) {
    let Some(program) = installed(program) else { return };
    let _turn = turn();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let arguments: Vec<&str> = arguments.iter().map(|word| if *word == "ADDRESS" { &*address } else { word }).collect();
    let server = Server::start(&program, &arguments);
    answers(&server, port);
    let before = server.workers(0);
    let load = Load::start(port);
    let agent = record(server.pid(), 6, &[]);
    thread::sleep(Duration::from_secs(3));
    let ended = before[0];
    kill(Pid::from_raw(ended), signal).unwrap();
    let after = server.workers(ended);
    let run = agent.wait(SOON);
    drop(load);
    all_burned(&run, &[before, after].concat(), &server);
}

const GUNICORN: &[&str] = &["--bind", "ADDRESS", "--workers", "2", "--threads", "4", "served:application"];
const UWSGI: &[&str] = &[
    "--http-socket",
    "ADDRESS",
    "--master",
    "--processes",
    "2",
    "--threads",
    "2",
    "--die-on-term",
    "--no-orphans",
    "--wsgi-file",
    "served.py",
];

/// Check gunicorn with threads, each worker loading the application by itself.
#[test]
fn gunicorn() {
    web("gunicorn", GUNICORN, Signal::SIGKILL);
}

/// Check gunicorn with the application loaded before the fork, and a worker that dies of a segmentation fault.
#[test]
fn gunicorn_preloaded() {
    web("gunicorn", &[GUNICORN, &["--preload"]].concat(), Signal::SIGSEGV);
}

/// Check uWSGI, whose workers are copies of an initialised interpreter.
#[test]
fn uwsgi() {
    web("uwsgi", UWSGI, Signal::SIGKILL);
}

/// Check uWSGI where each worker loads the application.
#[test]
fn uwsgi_lazy() {
    web("uwsgi", &[UWSGI, &["--lazy-apps"]].concat(), Signal::SIGKILL);
}

/// Check the worker processes of celery's pool, with a folder as the broker.
#[test]
fn celery() {
    let (Some(celery), Some(python)) = (installed("celery"), installed("python")) else { return };
    let _turn = turn();
    let server =
        Server::start(&celery, &["-A", "served_tasks:app", "worker", "--pool", "prefork", "--concurrency", "2"]);
    let workers = server.workers(0);
    let asked = Command::new(python)
        .arg("served_tasks.py")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/python"))
        .env("BROKER_FOLDER", server.folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status();
    assert!(asked.unwrap().success(), "{}", server.log());
    let run = record(server.pid(), 5, &[]).wait(SOON);
    all_burned(&run, &workers, &server);
}

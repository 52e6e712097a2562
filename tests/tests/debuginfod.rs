//! Debug files from a debuginfod server: what is taken, what is refused, what is kept, what is said; and that names
//! come from them while a program is profiled.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use agent::debuginfod::{Debuginfod, Settings};
use profile::id::BuildId;
use symbolizer::Fetch;
use tests::{
    agent::Agent,
    debuginfod::{Debuginfod as Server, Reply},
    targets::{Program, turn},
};

const SECRET: &str = "5ec4e75ec4e7";

fn settings(folder: &Path, servers: &[&str]) -> Settings {
    let servers = servers.iter().map(|url| url.parse().unwrap()).collect();
    Settings { read_timeout: Duration::from_millis(300), ..Settings::new(servers, folder.to_owned()) }
}

/// Runs a shell command in a folder; `None`, said on stderr, where its programs are not installed.
fn shell(folder: &Path, command: &str) -> Option<()> {
    let done = Command::new("sh").args(["-ec", command]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    if done.status.code() == Some(127) {
        eprintln!("skipped: {said}");
        return None;
    }
    assert!(done.status.success(), "{command}: {said}");
    Some(())
}

/// A library of that build id.
fn library(build_id: &str) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let build = "echo 'int f(int x) { return x; }' > a.c; gcc -g -shared -fPIC -o a.so a.c";
    shell(folder.path(), &format!("{build} -Wl,--build-id=0x{build_id}"))?;
    Some(fs::read(folder.path().join("a.so")).unwrap())
}

fn id(hex: &str) -> BuildId {
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    BuildId::new(&bytes).unwrap()
}

/// Asks until there is a file, or for a second.
fn file(debuginfod: &Debuginfod, build_id: &str) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        let asked = Instant::now();
        if debuginfod.debug_file(&id(build_id)).is_some() {
            return true;
        }
        assert!(asked.elapsed() < Duration::from_millis(200), "nobody waits for a network");
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

const A: &str = "aaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbb";

/// Check that a file comes once, is told once, and is there for the next agent without a question; and that a build
/// that the server does not have is asked for once.
#[test]
fn kept_for_the_next() {
    let Some(library) = library(A) else { return };
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.has(A, Reply::File(library));
    for _ in 0..2 {
        let debuginfod = Debuginfod::start(&settings(folder.path(), &[&server.url("")])).unwrap();
        assert!(file(&debuginfod, A));
        assert!(!file(&debuginfod, B));
    }
    let debuginfod = Debuginfod::start(&settings(folder.path(), &[&server.url("")])).unwrap();
    assert!(debuginfod.debug_file(&id(A)).is_some(), "at once");
    assert!(debuginfod.debug_file(&id("0badcafe")).is_none(), "no hash");
    let asked = [A, B].map(|id| format!("/buildid/{id}/debuginfo"));
    assert_eq!(server.requests(), asked);
    assert_eq!(names(folder.path()), [format!("{A}.debug"), format!("{B}.missing")]);
}

/// Check that the second server is asked when the first has no file, another build's, half of one, too large a one, an
/// error, silence, or a redirect to nowhere, to itself or to a file of this machine.
#[test]
fn wrong_answers() {
    let (Some(library), Some(other)) = (library(A), library(B)) else { return };
    let (good, hosts) = (Server::start(), Server::start());
    good.has(A, Reply::File(library.clone()));
    let path = format!("/buildid/{A}/debuginfo");
    let large = [library.clone(), vec![0; 1 << 20]].concat();
    for wrong in [
        Reply::Status(404, String::new()),
        Reply::File(other),
        Reply::File(library[..100].to_vec()),
        Reply::File(large),
        Reply::Status(500, String::new()),
        Reply::Status(302, "http://127.0.0.1:9/".to_owned()),
        Reply::Status(302, path.clone()),
        Reply::Status(302, "file:///proc/self/exe".to_owned()),
        Reply::After(Duration::from_secs(5), Box::new(Reply::File(library.clone()))),
    ] {
        let folder = tempfile::tempdir().unwrap();
        hosts.set(&path, wrong.clone());
        let bounds = Settings { file_max: 1 << 20, ..settings(folder.path(), &[&hosts.url(""), &good.url("")]) };
        let debuginfod = Debuginfod::start(&bounds).unwrap();
        assert!(file(&debuginfod, A), "{wrong:?}");
        assert_eq!(debuginfod.take_arrived(), [id(A)]);
        assert_eq!(fs::read(folder.path().join(format!("{A}.debug"))).unwrap(), library);
        assert_eq!(names(folder.path()), [format!("{A}.debug")], "{wrong:?}");
    }
}

/// Check that redirects to another server are followed, that the first one's password stays with it, and that no log
/// shows it.
#[test]
fn redirects_and_passwords() {
    let Some(library) = library(A) else { return };
    let (first, second, folder) = (Server::start(), Server::start(), tempfile::tempdir().unwrap());
    second.set("/storage/1", Reply::File(library));
    first.has(A, Reply::Status(302, format!("{}/storage/1", second.url(""))));
    let bounds = settings(folder.path(), &[&first.url(&format!("me:{SECRET}@"))]);
    let debuginfod = Debuginfod::start(&bounds).unwrap();
    assert!(file(&debuginfod, A));
    assert_eq!(first.requests(), [format!("/buildid/{A}/debuginfo Basic bWU6NWVjNGU3NWVjNGU3")]);
    assert_eq!(second.requests(), ["/storage/1"]);
    let shown = format!("{bounds:?} {debuginfod:?}");
    assert!(!shown.contains(SECRET) && shown.contains("127.0.0.1"), "{shown}");
}

/// Check that a build that could not be asked for is asked for again later, and is then told.
#[test]
fn asked_again() {
    let Some(library) = library(A) else { return };
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.has(A, Reply::Status(503, String::new()));
    let soon = Settings { miss_age: Duration::from_millis(300), ..settings(folder.path(), &[&server.url("")]) };
    let debuginfod = Debuginfod::start(&soon).unwrap();
    assert!(debuginfod.debug_file(&id(A)).is_none());
    std::thread::sleep(Duration::from_millis(100));
    server.has(A, Reply::File(library));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(debuginfod.take_arrived(), [id(A)]);
}

/// Check that a stripped program's functions and inlined calls have names when its debug file came from a server
/// while it was profiled, or dumped; that the file is asked for only if the settings allow it; and that no secret is said.
#[test]
fn names_while_profiling() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("spin.c");
    let text = "#include <stdio.h>\n\
         static volatile unsigned long n;\n\
         static inline __attribute__((always_inline)) void inner(void) { for (int i = 0; i < 1000; i++) n += i; }\n\
         static __attribute__((noinline)) void outer(void) { inner(); n++; }\n\
         int main(void) { puts(\"ready\"); fflush(stdout); for (;;) outer(); }\n";
    fs::write(source, text).unwrap();
    let build = format!("gcc -g -O2 -Wl,--build-id=0x{A} -o spin spin.c; objcopy --only-keep-debug spin spin.debug");
    if shell(folder.path(), &format!("{build}; strip spin")).is_none() {
        return;
    }
    let debug = Reply::File(fs::read(folder.path().join("spin.debug")).unwrap());
    let mut target = Program::spawn(&mut Command::new(folder.path().join("spin")));
    assert_eq!(target.line(), "ready");
    let pid = target.pid().to_string();
    let record = ["record", "--pid", &pid, "--format", "collapsed", "-o", "-", "--duration", "3"];
    let dump = ["dump", "--pid", &pid];
    for (arguments, named, allowed) in [
        (&record[..], "main;outer;inner ", false),
        (&record, "main;outer;inner ", true),
        (&dump, "    outer (spin.c:4)\n    main (spin.c:5)\n", false),
        (&dump, "    outer (spin.c:4)\n    main (spin.c:5)\n", true),
    ] {
        let (server, state) = (Server::start(), tempfile::tempdir().unwrap());
        server.has(A, Reply::After(Duration::from_millis(200), Box::new(debug.clone())));
        let config = folder.path().join("config.toml");
        fs::write(&config, format!("[naming]\ndebuginfod = {allowed}\n")).unwrap();
        let url = server.url(&format!("me:{SECRET}@"));
        let environment = [
            ("SENTRY_PROFILED_CONFIG", config.to_str().unwrap()),
            ("DEBUGINFOD_URLS", &url),
            ("STATE_DIRECTORY", state.path().to_str().unwrap()),
            ("SENTRY_PROFILED_LOG", "trace"),
        ];
        let run = Agent::start_with(arguments, &environment).wait(Duration::from_secs(30));
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.stdout.contains(named), allowed, "{}\n{}", run.stdout, run.stderr);
        assert_eq!(server.requests().iter().any(|path| path.starts_with(&format!("/buildid/{A}/"))), allowed);
        assert!(!run.stderr.contains(SECRET), "{}", run.stderr);
        assert_eq!(run.stderr.contains("Asked debuginfod"), allowed, "{}", run.stderr);
        let kept = allowed && names(&state.path().join("debuginfod")).contains(&format!("{A}.debug"));
        assert_eq!(kept, allowed);
    }
}

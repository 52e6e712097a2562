//! Programs that have Python in them and another name: linked in, in a bundle, in a server. Each shows its Python frames, and
//! its chunks are Python's.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tests::{
    agent::{Agent, Run, collapsed, record, run, samples},
    compile::{Build, compile},
    targets::{Program, turn_with_others},
};

const SOON: Duration = Duration::from_mins(1);

fn targets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/python")
}

/// A Python that can be linked in, with the folder that it takes as its home.
struct Linkable {
    version: String,
    home: PathBuf,
    flags: Vec<String>,
}

/// Those of pyenv that have a static library.
fn linkable() -> Vec<Linkable> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")));
    let homes = root.and_then(|root| root.join("versions").read_dir().ok()).into_iter().flatten();
    homes.filter_map(|home| of_home(home.ok()?.path())).collect()
}

fn of_home(home: PathBuf) -> Option<Linkable> {
    let code = "import sys, sysconfig; v = sysconfig.get_config_var; print('%d.%d' % sys.version_info[:2]); \
                print('-I' + sysconfig.get_path('include'), v('LIBPL') + '/' + v('LIBRARY'), v('LIBS'), v('SYSLIBS'))";
    let output = Command::new(home.join("bin/python")).args(["-c", code]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (version, flags) = text.split_once('\n')?;
    let minor: u32 = version.strip_prefix("3.")?.parse().ok()?;
    let flags = flags.split_whitespace().map(str::to_owned).collect();
    (8..=15).contains(&minor).then(|| Linkable { version: version.to_owned(), home, flags })
}

/// A program with that Python in it, whose name tells nothing.
fn link(python: &Linkable, more: &[&str]) -> Option<PathBuf> {
    let source = targets().join("embeds.c");
    let mut flags = vec!["-O2", "-Wl,--no-as-needed"];
    flags.extend(python.flags.iter().map(String::as_str).filter(|flag| flag.starts_with("-I")));
    // Libraries follow what needs them.
    flags.extend(["-x", "c", source.to_str().unwrap(), "-x", "none"]);
    flags.extend(python.flags.iter().map(String::as_str).filter(|flag| !flag.starts_with("-I")));
    flags.extend(more);
    let end = targets().join("nothing.c");
    compile(Build { name: "myapp", compiler: "cc", sources: &[&end, &source], flags: &flags, optional: true })
}

/// Samples of `inner` under `outer`, and all.
fn shares(run: &Run) -> (u64, u64) {
    let stacks = collapsed(&run.stdout);
    (samples(&stacks, "inner"), stacks.iter().map(|stack| stack.count).sum())
}

/// Check that an interpreter that is linked into a program, exported or not, and starts long after it is attached to, is found
/// within about a second, although nothing is mapped meanwhile.
fn linked_in(flag: Option<&str>) {
    let _turn = turn_with_others();
    let mut checked = 0;
    for python in linkable() {
        // Up to 3.9 nothing but symbols tells of it.
        let is_shown_stripped = python.version.as_str() != "3.8" && python.version.as_str() != "3.9";
        if flag == Some("-s") && !is_shown_stripped {
            continue;
        }
        let Some(program) = link(&python, flag.as_slice()) else { continue };
        let script = targets().join("spins.py");
        let mut command = Command::new(program);
        let mut target = Program::spawn(command.arg("1500").arg(script).env("PYTHONHOME", &python.home));
        assert_eq!(target.line(), "ready");
        let run = record(target.pid(), 5, &[]).wait(SOON);
        let (python_samples, all) = shares(&run);
        let what = format!("{} {flag:?}: {python_samples} of {all}\n{}", python.version, run.stderr);
        // Half, where nobody else runs.
        assert!(python_samples * 100 >= all * 20, "{what}");
        checked += 1;
    }
    println!("checked: {checked} programs");
    if checked == 0 {
        println!("skipped: no Python that can be linked in");
    }
}

#[test]
fn linked_in_and_exported() {
    linked_in(Some("-Wl,--export-dynamic"));
}

#[test]
fn linked_in_and_not_exported() {
    linked_in(None);
}

#[test]
fn linked_in_and_stripped() {
    linked_in(Some("-s"));
}

/// Check that the chunks of a program that starts Python are Python's, although its file does not look like it; not those of
/// one whose platform was chosen.
#[test]
fn platform() {
    let _turn = turn_with_others();
    let Some(program) = linkable().pop().and_then(|python| Some((link(&python, &[])?, python.home))) else {
        return println!("skipped: no Python that can be linked in");
    };
    for (more, expected) in [(&[][..], "python"), (&["--platform", "native"], "native")] {
        let folder = tempfile::tempdir().unwrap();
        let script = targets().join("spins.py");
        let mut target = Program::spawn(Command::new(&program.0).arg("0").arg(script).env("PYTHONHOME", &program.1));
        assert_eq!(target.line(), "ready");
        let pid = target.pid().to_string();
        let arguments = [&["--pid", &pid, "--duration", "2"], more].concat();
        let agent = Agent::start_with(&arguments, &[("STATE_DIRECTORY", folder.path().to_str().unwrap())]).wait(SOON);
        assert_eq!(agent.code, 0, "{}", agent.stderr);
        let store = folder.path().join("store");
        let chunk =
            run(&["export", "--store", store.to_str().unwrap(), "--last", "1h", "--format", "sentry", "-o", "-"], SOON);
        assert_eq!(chunk.code, 0, "{}", chunk.stderr);
        let platforms = chunk.stdout.lines().map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["platform"].as_str().unwrap().to_owned()
        });
        assert_eq!(platforms.collect::<Vec<_>>(), [expected]);
    }
}

/// Check a program that `PyInstaller` made a bundle of: a folder, and one file that unpacks itself and runs the result.
#[test]
fn bundles() {
    let _turn = turn_with_others();
    let folder = tempfile::tempdir().unwrap();
    for kind in ["--onedir", "--onefile"] {
        let mut command = Command::new("pyinstaller");
        command
            .args(["-y", "--log-level", "ERROR", kind, "--name", "myapp", "--distpath", kind.trim_matches('-')])
            .arg(targets().join("spins.py"));
        let Ok(status) = command.current_dir(folder.path()).status() else {
            return println!("skipped: no pyinstaller here");
        };
        assert!(status.success(), "pyinstaller {kind}");
        let program = folder.path().join(kind.trim_matches('-')).join("myapp");
        let program = if kind == "--onedir" { program.join("myapp") } else { program };
        let target = Program::spawn(&mut Command::new(program));
        let pid = if kind == "--onedir" { target.pid() } else { child_of(target.pid()) };
        std::thread::sleep(Duration::from_secs(1));
        let run = record(pid, 2, &[]).wait(SOON);
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        let (python_samples, all) = shares(&run);
        assert!(python_samples * 100 >= all * 90, "{kind}: {python_samples} of {all}\n{}", run.stderr);
    }
}

fn child_of(pid: i32) -> i32 {
    for _ in 0..500 {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        if let Some(child) = children.split_whitespace().next() {
            return child.parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{pid} has no child");
}

/// Check a worker that uWSGI forked: it tells the interpreter nothing of it, which goes by the parent's thread id.
#[test]
fn uwsgi() {
    let _turn = turn_with_others();
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app.py");
    fs::write(
        &app,
        "def inner():\n    return sum(n * n % 7 for n in range(20000))\n\n\n\
         def application(env, start):\n    start('200 OK', [])\n    for _ in range(400): inner()\n    return [b'ok']\n",
    )
    .unwrap();
    let address = format!("127.0.0.1:{}", 20_000 + std::process::id() % 20_000);
    let mut command = Command::new("uwsgi");
    command.args(["--http-socket", &address, "--master", "--processes", "1", "--die-on-term", "--disable-logging"]);
    command.arg("--wsgi-file").arg(&app);
    if Command::new("uwsgi").arg("--version").output().is_err() {
        return println!("skipped: no uwsgi here");
    }
    let target = Program::spawn(&mut command);
    let worker = child_of(target.pid());
    let agent = record(worker, 3, &[]);
    for _ in 0..6 {
        let mut stream = connect(&address);
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let run = agent.wait(SOON);
    target.signal(nix::sys::signal::Signal::SIGTERM);
    let stacks = collapsed(&run.stdout);
    let (inner, applications) = (samples(&stacks, "inner"), samples(&stacks, "application"));
    let calls = stacks.iter().filter(|stack| stack.has("python_call")).map(|stack| stack.count).sum::<u64>();
    assert!(inner > 20 && applications >= inner, "{inner} {applications}\n{}\n{}", run.stderr, run.stdout);
    assert!(applications * 100 >= calls * 95, "{applications} of {calls}\n{}\n{}", run.stderr, run.stdout);
    std::thread::sleep(Duration::from_millis(500));
}

fn connect(address: &str) -> TcpStream {
    for _ in 0..200 {
        if let Ok(stream) = TcpStream::connect(address) {
            return stream;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("nobody listens at {address}");
}

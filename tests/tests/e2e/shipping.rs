use std::{fs, path::Path, process::Command, thread, time::Duration};

use nix::sys::signal::Signal;
use tests::{
    agent::{Agent, Run, files},
    receiver::{Answer, KEY, Receiver},
    targets::{Program, turn_with_others},
};

const SOON: Duration = Duration::from_secs(30);

/// Starts an agent that ships what it sees of a process in some seconds.
fn ship(pid: i32, dsn: &str, state: &Path, seconds: &str, variables: &[(&str, &str)]) -> Agent {
    let pid = pid.to_string();
    let arguments = ["--pid", &pid, "--dsn", dsn, "--spool", state.to_str().unwrap(), "--duration", seconds];
    Agent::start_with(&arguments, variables)
}

/// The lines that say how it ended, without what differs from run to run.
fn said(run: &Run) -> Vec<&str> {
    run.stderr.lines().filter(|line| !line.starts_with("pid ") && !line.is_empty()).collect()
}

/// Check that what is no DSN ends it with exit code 78 and a hint, before anybody is touched, and is not repeated.
#[test]
fn invalid_dsn() {
    let folder = tempfile::tempdir().unwrap();
    for (dsn, why) in [
        ("", "the DSN is empty"),
        ("s3cr3t", "the DSN is not a URL"),
        ("https://s3cr3t@o1.ingest.us.sentry.io", "the DSN has no project id at its end"),
        ("https://o1.ingest.us.sentry.io/42", "the DSN has no key before its host"),
        ("https://s3cr3t@o1.ingest.us.sentry.io/42?x=s3cr3t", "the DSN has something after its project id"),
    ] {
        let run = ship(std::process::id().cast_signed(), dsn, folder.path(), "1s", &[]).wait(SOON);
        let hint = agent::ship::DsnError::HINT;
        assert_eq!((run.code, run.stderr), (78, format!("error: {why}\n\nhint: {hint}\n")), "{dsn:?}");
        assert!(files(folder.path()).is_empty());
    }
}

/// Check that the key is in no message at any level and in no file, whatever the server answers; and that a refusal is
/// told at the end.
#[test]
fn the_key_is_nowhere() {
    let _turn = turn_with_others();
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let Some(target) = Program::start("spin", &["1"]) else { return };
    let body = format!("bad key {KEY}");
    receiver.usually(Answer::Refuse { status: 401, headers: vec![("x-echo", KEY.to_owned())], body });
    let variables = [("SENTRY_PROFILED_LOG", "trace"), ("RUST_LOG", "trace"), ("SENTRY_DSN", &receiver.dsn())];
    let run = ship(target.pid(), &receiver.dsn(), folder.path(), "2s", &variables).wait(SOON);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("TRACE") && run.stderr.contains("Http::connect"), "{}", run.stderr);
    let refused = "chunks: 0 sent; 1 refused by the server, kept beside the spool; last error: the server refused a chunk: 401 Unauthorized";
    assert_eq!(run.stderr.lines().last(), Some(refused));
    assert!(!run.stderr.contains(KEY) && !run.stdout.contains(KEY), "{}", run.stderr);
    let left = files(folder.path());
    assert_eq!(left.len(), 2, "{left:?}");
    for path in left {
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes()), "{}", path.display());
    }
}

/// Check that agents that share a folder and a DSN send each chunk once, and leave each other's journals alone; and that
/// what one that was killed had sampled is sent by the next.
#[test]
fn shared_folder() {
    let _turn = turn_with_others();
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let Some(one) = Program::start("spin", &["1"]) else { return };
    let Some(two) = Program::start("sleepers", &["3", "10"]) else { return };
    let killed = ship(one.pid(), &receiver.dsn(), folder.path(), "1m", &[]);
    thread::sleep(Duration::from_secs(2));
    // Starts while the first one works, and finds its journal.
    let other = ship(two.pid(), &receiver.dsn(), folder.path(), "3s", &[]);
    thread::sleep(Duration::from_secs(2));
    killed.signal(Signal::SIGKILL);
    drop(killed);
    let run = other.wait(SOON);
    assert_eq!(said(&run), ["chunks: 1 sent"]);
    assert_eq!((receiver.chunks().len(), files(folder.path()).len()), (1, 1));
    let run = ship(one.pid(), &receiver.dsn(), folder.path(), "1s", &[]).wait(SOON);
    assert_eq!(said(&run), ["chunks: 2 sent"]);
    assert_eq!((receiver.arrivals(), files(folder.path())), (vec![1, 1, 1], Vec::new()));
    let pids: Vec<i64> =
        receiver.chunks().iter().map(|chunk| chunk.json()["sentry_profiled"]["pid"].as_i64().unwrap()).collect();
    assert_eq!(pids, [two.pid(), one.pid(), one.pid()].map(i64::from));
}

/// A small file system of its own; gone with this value.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None`, said on stderr, where that is not allowed.
    fn mount(options: &str) -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(disk.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(disk);
        }
        eprintln!("skipped: nothing may be mounted here");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no more than that many bytes.
    fn fill(&self, leave: u64) {
        let zeros = |bytes: u64| vec![0; usize::try_from(bytes).unwrap()];
        let free =
            || nix::sys::statvfs::statvfs(self.path()).map(|stat| stat.blocks_free() * stat.block_size()).unwrap();
        fs::write(self.path().join("filler"), zeros(free() - leave)).unwrap();
        assert!(free() <= leave);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

/// Check that a full disk costs what does not fit, that this is said, and that the target does not notice.
#[test]
fn full_disk() {
    let _turn = turn_with_others();
    let Some(disk) = Disk::mount("size=1m") else { return };
    let receiver = Receiver::start_down();
    let Some(target) = Program::start("spin", &["1"]) else { return };
    let agent = ship(target.pid(), &receiver.dsn(), disk.path(), "4s", &[]);
    thread::sleep(Duration::from_secs(2));
    disk.fill(0);
    let run = agent.wait(SOON);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("A chunk could not be spooled"), "{}", run.stderr);
    assert!(run.stderr.contains("No space left on device"), "{}", run.stderr);
    // What the journal had taken before is sent once there is room.
    fs::remove_file(disk.path().join("filler")).unwrap();
    receiver.set_up(true);
    let run = ship(target.pid(), &receiver.dsn(), disk.path(), "1s", &[]).wait(SOON);
    assert_eq!(said(&run), ["chunks: 2 sent"]);
    assert!(files(disk.path()).is_empty());
    let freeze = target.finish()["longest_freeze_us"].as_u64().unwrap();
    assert!(freeze < 250_000, "{freeze} us");
}

/// Check that on a disk without any room the newest chunk is kept, and the older ones make room for it.
#[test]
fn full_of_chunks() {
    let _turn = turn_with_others();
    let Some(disk) = Disk::mount("size=1m") else { return };
    let receiver = Receiver::start_down();
    let Some(target) = Program::start("spin", &["1"]) else { return };
    let run = ship(target.pid(), &receiver.dsn(), disk.path(), "3s", &[]).wait(SOON);
    assert!(run.stderr.contains("chunks: 0 sent; 1 wait for the next start"), "{}", run.stderr);
    let agent = ship(target.pid(), &receiver.dsn(), disk.path(), "3s", &[]);
    thread::sleep(Duration::from_millis(1500));
    disk.fill(0);
    let run = agent.wait(SOON);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("; 1 given up"), "{}", run.stderr);
    receiver.set_up(true);
    let run = ship(target.pid(), &receiver.dsn(), disk.path(), "1s", &[]).wait(SOON);
    assert!(run.stderr.contains("chunks: 2 sent"), "{}", run.stderr);
    assert_eq!(files(disk.path()).len(), 1);
}

/// Check that a folder that is read-only is an error that names it, before anybody is touched.
#[test]
fn read_only() {
    let Some(disk) = Disk::mount("size=1m,ro") else { return };
    let run = ship(std::process::id().cast_signed(), "http://k@localhost:9/1", disk.path(), "2s", &[]).wait(SOON);
    assert_eq!(run.code, 1);
    let (first, second) = run.stderr.split_once('\n').unwrap();
    assert!(first.starts_with(&format!("error: cannot use the spool folder {}", disk.path().display())), "{first}");
    assert!(second.starts_with("cause: Read-only file system"), "{second}");
}

/// Check that a state folder that somebody clears away in mid-run costs nothing.
#[test]
fn cleared_away() {
    let _turn = turn_with_others();
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let Some(target) = Program::start("spin", &["1"]) else { return };
    let agent = ship(target.pid(), &receiver.dsn(), folder.path(), "3s", &[]);
    thread::sleep(Duration::from_millis(1500));
    fs::remove_dir_all(folder.path()).unwrap();
    let run = agent.wait(SOON);
    assert_eq!((run.code, said(&run)), (0, vec!["chunks: 1 sent"]));
    assert!(files(folder.path()).is_empty());
}

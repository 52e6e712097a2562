//! `serve` where things go wrong: it is killed, its disk is full, its files are damaged. What it has acknowledged is there,
//! and what is not is named.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value;
use tests::{
    agent::{Run, run},
    envelopes::{Template, templates},
    kills::Kills,
    serving::{Serving, free_port},
    targets::turn,
};

/// Chunks are so far apart.
const APART_S: u64 = 100;
const BEGIN_S: u64 = 1_795_745_835;
const SOON: Duration = Duration::from_mins(1);

/// Check that 20 kills under load cost no chunk that was acknowledged, and that none is there twice.
#[test]
fn killed() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let outcome = Kills::new(folder.path()).run(20);
    println!("{outcome}");
    assert!(outcome.is_good() && outcome.acknowledged > 20, "{outcome}");
}

/// A server with a store in a folder that may be full or damaged, and what it was sent.
struct Store<'a> {
    folder: &'a Path,
    logs: tempfile::TempDir,
    template: Template,
    kept: Vec<u64>,
}

impl<'a> Store<'a> {
    fn new(folder: &'a Path) -> Self {
        let template = templates().swap_remove(1);
        Self { folder, logs: tempfile::tempdir().unwrap(), template, kept: Vec::new() }
    }

    fn spawn(&self) -> Serving {
        Serving::spawn(self.folder, free_port(), &self.logs.path().join("log"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.logs.path().join("log")).unwrap()
    }

    fn start(&self) -> (Serving, String) {
        let mut server = self.spawn();
        let (key, _) = server.ready();
        (server, key)
    }

    /// Sends the chunk with that number, and notes it if it was taken.
    fn send(&mut self, (server, key): &(Serving, String), number: u64) -> u16 {
        let envelope = self.template.envelope(BEGIN_S + number * APART_S, 1 + u128::from(number), 9);
        let status = server.send(key, &envelope).unwrap();
        if status == 200 {
            self.kept.push(number);
        }
        status
    }

    fn check(&self) -> Run {
        run(&["store", "check", "--json", "--store", self.folder.to_str().unwrap()], SOON)
    }
}

/// The numbers of the chunks that are there, in order of time.
fn there((server, _): &(Serving, String)) -> Vec<u64> {
    let list = server.ask("/profiles?project=1&from=1795740000&to=1895740000&limit=100000");
    let number = |row: &Value| (row["head"]["start_us"].as_u64().unwrap() / 1_000_000 - BEGIN_S) / APART_S;
    list["profiles"].as_array().unwrap().iter().map(number).collect()
}

fn tree((server, _): &(Serving, String)) -> Value {
    server.ask("/tree?project=1&from=1795740000&to=1895740000")
}

/// A small file system of its own; gone with this value.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None`, said on stderr, where that is not allowed.
    fn mount(size: &str) -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(disk.0.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(disk);
        }
        eprintln!("skipped: nothing may be mounted here");
        None
    }

    /// Leaves no more than that many bytes.
    fn fill(&self, leave: u64) {
        let stat = nix::sys::statvfs::statvfs(self.0.path()).unwrap();
        let free = stat.blocks_free() * stat.block_size();
        fs::write(self.filler(), vec![1; usize::try_from(free.saturating_sub(leave)).unwrap()]).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> std::path::PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

/// Check that on a full disk senders are told, nothing acknowledged is lost, questions are answered, and that it goes on
/// where there is room again, also after a kill in between.
#[test]
fn full_disk() {
    let _turn = turn();
    let Some(disk) = Disk::mount("size=6m") else { return };
    let folder = disk.0.path().join("store");
    let mut store = Store::new(&folder);
    let server = store.start();
    assert_eq!(store.send(&server, 0), 200);
    disk.fill(100_000);
    let mut answers = std::collections::BTreeMap::<u16, u64>::new();
    for number in 1..2000 {
        *answers.entry(store.send(&server, number)).or_default() += 1;
        if answers.get(&503) == Some(&20) {
            break;
        }
    }
    assert!(answers.keys().eq([&200, &503]), "{answers:?}\n{}", store.log());
    assert!(store.log().contains("full"), "{}", store.log());
    assert_eq!(there(&server), store.kept);
    assert_eq!(tree(&server)["covers"]["damaged"], Value::Array(Vec::new()));
    drop(server);
    // It may start or say that it cannot; both must do no harm.
    let server = store.spawn();
    std::thread::sleep(Duration::from_millis(300));
    drop(server);
    disk.make_room();
    let server = store.start();
    assert_eq!(there(&server), store.kept);
    for number in 2000..2020 {
        assert_eq!(store.send(&server, number), 200, "{}", store.log());
    }
    // A disk that becomes full and is not, without an end in between.
    disk.fill(0);
    while store.send(&server, 3000 + store.kept.len() as u64) == 200 {}
    disk.make_room();
    assert_eq!(store.send(&server, 5000), 200, "{}", store.log());
    assert_eq!(there(&server), store.kept);
    drop(server);
    let check = store.check();
    assert_eq!(check.code, 0, "{} {}", check.stdout, check.stderr);
}

/// Check that a server that starts for the first time on a full disk starts when there is room.
#[test]
fn full_disk_at_first() {
    let _turn = turn();
    let Some(disk) = Disk::mount("size=1m") else { return };
    for leave in [0, 4096, 20_000, 50_000, 100_000] {
        let folder = disk.0.path().join("store");
        let mut store = Store::new(&folder);
        disk.fill(leave);
        let server = store.spawn();
        std::thread::sleep(Duration::from_millis(300));
        drop(server);
        disk.make_room();
        let server = store.start();
        assert_eq!(store.send(&server, 1), 200, "{leave} {}", store.log());
        assert_eq!(there(&server), [1]);
        drop(server);
        fs::remove_dir_all(&folder).unwrap();
    }
}

/// Check that of a segment with flipped bytes the rest is read, and that what cannot be is named, in answers and by
/// `store check`.
#[test]
fn damaged_segment() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::new(folder.path());
    let server = store.start();
    for number in 0..20 {
        assert_eq!(store.send(&server, number), 200);
    }
    drop(server);
    let segments = tests::agent::files(&folder.path().join("partitions"));
    let [segment] = segments.as_slice() else { panic!("{segments:?}") };
    let mut bytes = fs::read(segment).unwrap();
    // Records are of about one size: this is within the sixth, and its head is whole.
    let starts: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"SPR1")).collect();
    assert_eq!(starts.len(), 20);
    let description = u32::from_le_bytes(bytes[starts[5] + 16..starts[5] + 20].try_into().unwrap()) as usize;
    bytes[starts[5] + 64 + description + 10] ^= 0x40;
    // The head of another.
    bytes[starts[9] + 40] ^= 1;
    fs::write(segment, bytes).unwrap();

    let server = store.start();
    assert_eq!(there(&server), store.kept);
    let shown = tree(&server);
    let sums = store.template.sums;
    assert_eq!(shown["covers"]["profiles"], 18);
    assert_eq!(
        (shown["total_us"].as_u64().unwrap(), shown["idle_us"].as_u64().unwrap()),
        (18 * sums.busy_us, 18 * sums.idle_us)
    );
    let name = |damage: &Value| {
        let number = (damage["start_us"].as_u64().unwrap() / 1_000_000 - BEGIN_S) / APART_S;
        format!("{number}: {}", damage["what"].as_str().unwrap())
    };
    let names = |list: &Value| list.as_array().unwrap().iter().map(name).collect::<Vec<_>>();
    let expected = ["5: the checksum of its symbols is wrong", "9: the checksum of its head is wrong"];
    assert_eq!(names(&shown["covers"]["damaged"]), expected);
    let check = store.check();
    let report: Value = serde_json::from_str(&check.stdout).unwrap();
    assert_eq!((check.code, names(&report["damaged"])), (1, expected.map(str::to_owned).to_vec()));
    // It goes on beside it.
    assert_eq!(store.send(&server, 20), 200);
    assert_eq!(tree(&server)["covers"]["profiles"], 19);
}

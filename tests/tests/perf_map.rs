//! Code that a program generates while it runs: unwound by its frame pointers, named by the map that its runtime writes; and
//! what comes of maps that are forged.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{chown, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use tests::{
    agent::{Agent, Run, Stack, collapsed, record, samples},
    pythons::all,
    targets::{Program, build, turn},
};

const SOON: Duration = Duration::from_mins(1);

/// A file that goes when it is dropped, whoever wrote it.
struct Map(PathBuf);

impl Map {
    fn of(pid: i32) -> Self {
        Self(PathBuf::from(format!("/tmp/perf-{pid}.map")))
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_dir(&self.0);
    }
}

/// `tests/targets/generated.c`, its map and where its code is.
fn generated(memory: &str, writes: &str) -> (Program, Map, u64) {
    let mut target = Program::spawn(Command::new(build("generated").unwrap()).args([memory, writes]));
    let map = Map::of(target.pid());
    let code = u64::from_str_radix(&target.line(), 16).unwrap();
    assert_eq!(target.line(), "ready");
    (target, map, code)
}

/// The samples of each stack, from `main` on.
fn from_main(run: &Run) -> BTreeMap<String, u64> {
    let mut stacks = BTreeMap::new();
    for stack in collapsed(&run.stdout) {
        let main = stack.frames.iter().position(|frame| frame == "main").unwrap_or_else(|| panic!("{stack:?}"));
        *stacks.entry(stack.frames[main..].join(";")).or_default() += stack.count;
    }
    stacks
}

/// A first stop may copy less of the stack than is needed: so many samples may be cut, and say so.
const CUT_MAX: u64 = 2;

fn is_cut(stack: &Stack) -> bool {
    stack.frames.iter().any(|frame| frame.starts_with("[truncated"))
}

/// Samples whose stack is cut.
fn cut(run: &Run) -> u64 {
    collapsed(&run.stdout).iter().filter(|stack| is_cut(stack)).map(|stack| stack.count).sum()
}

/// Those of at least a twentieth of the samples.
fn frequent(stacks: &BTreeMap<String, u64>) -> Vec<&str> {
    let all: u64 = stacks.values().sum();
    stacks.iter().filter(|(_, count)| **count * 20 > all).map(|(stack, _)| stack.as_str()).collect()
}

/// Check that a stack goes on through made code, and has its names, in whichever memory it is.
#[test]
fn made_code() {
    let _turn = turn();
    for memory in ["anon", "shared"] {
        let (target, _map, _) = generated(memory, "map");
        let run = record(target.pid(), 2, &[]).wait(SOON);
        assert_eq!(frequent(&from_main(&run)), ["main;made_outer;work;made_spin"], "{memory}: {}", run.stdout);
        let cut: u64 = collapsed(&run.stdout).iter().filter(|stack| stack.frames[0].starts_with('[')).count() as u64;
        assert_eq!(cut, 0, "{}", run.stdout);
    }
}

/// Check that the name of a sample is the one that its code had then: the address gets another one ten times a second.
#[test]
fn names_of_their_time() {
    let _turn = turn();
    let (target, _map, _) = generated("anon", "again");
    let run = record(target.pid(), 3, &[]).wait(SOON);
    let stacks = from_main(&run);
    let of_one = |stack: &str| stack.strip_prefix("main;made_outer;work;made_").and_then(|number| number.parse().ok());
    let by_number: BTreeMap<u32, u64> =
        stacks.iter().filter_map(|(stack, count)| Some((of_one(stack)?, *count))).collect();
    let named: u64 = by_number.values().sum();
    assert!(named * 20 > stacks.values().sum::<u64>() * 19, "{}", run.stdout);
    // Ten samples each, in 3 seconds; on a busy machine more or less.
    let most = by_number.values().max().unwrap();
    assert!(by_number.len() >= 20 && *most <= 40, "{by_number:?}");
    let (first, last) = (by_number.keys().next().unwrap(), by_number.keys().next_back().unwrap());
    assert!(usize::try_from(last - first).unwrap() < by_number.len() + 5, "all of them: {by_number:?}");
}

/// A map for made code, as this test writes it.
fn lines(code: u64, outer: &str, spin: &str) -> String {
    format!("{code:x} 8 {outer}\n{:x} 10 {spin}\n", code + 0x100)
}

/// What is wrong with a map, and how it is put at a path.
type Forgery<'f> = (&'f str, &'f dyn Fn(&Path));

/// Check that nothing is read of a map that may not be the program's own, and that the samples are taken all the same.
#[test]
fn forged_maps() {
    let _turn = turn();
    let (target, map, code) = generated("anon", "none");
    let elsewhere = tempfile::tempdir().unwrap();
    let good = elsewhere.path().join("good");
    fs::write(&good, lines(code, "forged_outer", "forged_spin")).unwrap();
    let forgeries: [Forgery<'_>; 7] = [
        ("link", &|path| symlink(&good, path).unwrap()),
        ("second name", &|path| fs::hard_link(&good, path).or_else(|_| symlink(&good, path)).unwrap()),
        ("another's", &|path| {
            fs::copy(&good, path).unwrap();
            chown(path, Some(65_534), None).unwrap();
        }),
        ("older than the program", &|path| {
            fs::copy(&good, path).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_hours(1)).unwrap();
        }),
        ("FIFO", &|path| mkfifo(path, Mode::S_IRWXU).unwrap()),
        ("folder", &|path| fs::create_dir(path).unwrap()),
        ("huge", &|path| {
            fs::copy(&good, path).unwrap();
            fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
        }),
    ];
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root gives files away");
    }
    for (what, forge) in forgeries {
        forge(&map.0);
        let run = record(target.pid(), 1, &[]).wait(SOON);
        assert_eq!(run.code, 0, "{what}: {}", run.stderr);
        let stacks = from_main(&run);
        let [stack] = frequent(&stacks)[..] else { panic!("{what}: {stacks:?}") };
        let place = |offset: u64| (code + offset..code + offset + 0x20).map(|at| format!("[{at:#x}]"));
        let is_at = |frame: &str, offset| place(offset).any(|at| at == frame);
        let frames: Vec<&str> = stack.split(';').collect();
        assert!(matches!(frames[..], ["main", outer, "work", ..] if is_at(outer, 0)), "{what}: {stack}");
        let _ = fs::remove_file(&map.0).or_else(|_| fs::remove_dir(&map.0));
    }
    // The same text in a file of the program's own user.
    fs::copy(&good, &map.0).unwrap();
    let run = record(target.pid(), 1, &[]).wait(SOON);
    assert_eq!(frequent(&from_main(&run)), ["main;forged_outer;work;forged_spin"], "{}", run.stdout);
}

/// Check that a map which is swapped, cut and written anew all the time gives no name that none of its versions had.
#[test]
fn swapped_under_us() {
    let _turn = turn();
    let (target, map, code) = generated("anon", "none");
    let ended = AtomicBool::new(false);
    let run = thread::scope(|scope| {
        scope.spawn(|| {
            let aside = map.0.with_extension("aside");
            let garbage = "ffff zz x\n\n10 8 ".repeat(2000);
            for turn in 0_u32.. {
                let text = lines(code, "one_outer", "one_spin") + &garbage;
                match turn % 4 {
                    0 => fs::write(&map.0, &text).unwrap(),
                    1 => fs::write(&map.0, &text[..text.len() / 2]).unwrap(),
                    2 => fs::write(&map.0, lines(code, "two_outer", "two_spin")).unwrap(),
                    _ => {
                        fs::write(&aside, lines(code, "two_outer", "two_spin") + &garbage).unwrap();
                        fs::rename(&aside, &map.0).unwrap();
                    }
                }
                thread::sleep(Duration::from_millis(u64::from(turn % 13)));
                if ended.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        // Whatever becomes of it, the other thread must end.
        let run = std::panic::catch_unwind(|| record(target.pid(), 3, &["--rate", "500"]).wait(SOON));
        ended.store(true, Ordering::Relaxed);
        run.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    assert_eq!(run.code, 0, "{}", run.stderr);
    let stacks = from_main(&run);
    let is_known = |frame: &str| {
        frame.starts_with("[0x") || ["main", "work", "one_outer", "one_spin", "two_outer", "two_spin"].contains(&frame)
    };
    let made = |stack: &str| stack.split(';').take(4).all(is_known);
    assert!(frequent(&stacks).into_iter().all(made), "{stacks:#?}");
    // Of which version, is chance: a file that has not grown is looked at anew only when it is another or shorter.
    assert!(stacks.keys().any(|stack| stack.contains("_spin")), "{stacks:#?}");
}

/// Check that the map is looked for where the program has its `/tmp`, by the id that it has there.
#[test]
fn in_a_namespace() {
    let _turn = turn();
    // Its own /tmp hides ours, in which this build may be.
    let elsewhere = tempfile::tempdir_in("/var/tmp").unwrap();
    let program = elsewhere.path().join("generated");
    fs::copy(build("generated").unwrap(), &program).unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "sh", "-c"]);
    unshare.args(["mount -t tmpfs none /tmp && exec \"$0\" anon map", program.to_str().unwrap()]);
    if !Command::new("unshare").args(["--pid", "--fork", "--mount", "true"]).status().is_ok_and(|end| end.success()) {
        return println!("skipped: unshare is not permitted here");
    }
    let mut target = Program::spawn(&mut unshare);
    target.line();
    assert_eq!(target.line(), "ready");
    let children = format!("/proc/{0}/task/{0}/children", target.pid());
    let child: i32 = fs::read_to_string(children).unwrap().trim().parse().unwrap();
    let run = record(child, 1, &[]).wait(SOON);
    assert_eq!(frequent(&from_main(&run)), ["main;made_outer;work;made_spin"], "{}", run.stdout);
    assert!(!Path::new("/tmp/perf-1.map").exists());
}

fn is_here(program: &str) -> bool {
    let is_here = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_here {
        println!("skipped: no {program} here");
    }
    is_here
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets").join(name)
}

/// The program's own functions in the stacks that `function` is on, root first: those of frames in `file`, by collapsed
/// `--lines`, each distinct chain once.
fn chains(run: &Run, file: &str, function: &str) -> Vec<String> {
    let is_own = |frame: &&String| frame.contains(file);
    let stacks = collapsed(&run.stdout).into_iter();
    let chain = |frames: &[String]| frames.iter().filter(is_own).cloned().collect::<Vec<_>>().join(" > ");
    let whole = stacks.filter(|stack| !is_cut(stack));
    let mut chains: Vec<String> =
        whole.filter(|stack| stack.frames.iter().any(|f| f.starts_with(function))).map(|s| chain(&s.frames)).collect();
    chains.sort();
    chains.dedup();
    chains
}

/// Check JavaScript functions under their callers, down to the program's start, in every tier of the compiler.
#[test]
fn node() {
    if !is_here("node") {
        return;
    }
    let _turn = turn();
    // What the last two tiers inline has no frame, so the chain is whole without them.
    let main = "<anonymous> (known.js:1) > main (known.js:13)";
    let whole = format!("{main} > handle (known.js:10) > total (known.js:6) > leafWork (known.js:2)");
    let cases: [(&[&str], &str); 2] = [(&[], main), (&["--no-opt", "--no-maglev"], &whole)];
    for (tiers, leaf) in cases {
        let flags = ["--perf-basic-prof", "--interpreted-frames-native-stack"];
        // V8 leaves a log in its working directory.
        let folder = tempfile::tempdir().unwrap();
        let mut node = Command::new("node");
        node.current_dir(&folder).args(flags).args(tiers).arg(script("node/known.js"));
        let mut target = Program::spawn(&mut node);
        let _map = Map::of(target.pid());
        assert_eq!(target.line(), "ready");
        let run = record(target.pid(), 3, &["--lines"]).wait(SOON);
        let seen = [chains(&run, "known.js", "main (known.js"), chains(&run, "known.js", "leafWork")];
        assert!(
            !seen[0].is_empty() && seen[0].iter().all(|chain| chain.starts_with(main)),
            "{seen:#?}\n{}",
            run.stderr
        );
        assert!(seen[1].iter().all(|chain| chain.starts_with(leaf)), "{tiers:?}: {seen:#?}\n{}", run.stderr);
        assert!(tiers.is_empty() || !seen[1].is_empty(), "{seen:#?}\n{}", run.stderr);
        assert!(!run.stdout.contains("[JIT") && cut(&run) <= CUT_MAX, "{}", run.stdout);
    }
}

/// Check that code without a name says whose it is, and that what would name it is told once.
#[test]
fn node_without_a_map() {
    if !is_here("node") {
        return;
    }
    let _turn = turn();
    let mut target = Program::spawn(Command::new("node").arg(script("node/known.js")));
    assert_eq!(target.line(), "ready");
    let pid = target.pid().to_string();
    let run = Agent::start(&["--pid", &pid, "--duration", "2"]).wait(SOON);
    assert!(run.stdout.contains("  [JIT: node]"), "{}", run.stdout);
    let hint =
        "hint: functions of node without a name: start it with --perf-basic-prof --interpreted-frames-native-stack\n";
    assert_eq!(run.stdout.matches(hint).count(), 1, "{}", run.stdout);
}

/// Check Java methods by the map that `jcmd` has a JVM write, down to the thread's start.
#[test]
fn java() {
    // `jcmd` alone lists the JVMs.
    if !Command::new("jcmd").output().is_ok_and(|output| output.status.success()) {
        return println!("skipped: no JDK here");
    }
    let _turn = turn();
    // Compiled once, and whole: what is compiled after the map was written has no name.
    let flags = ["-XX:+PreserveFramePointer", "-XX:TieredStopAtLevel=1", "-XX:-UseOnStackReplacement", "-XX:-Inline"];
    let mut target = Program::spawn(Command::new("java").args(flags).arg(script("java/Known.java")));
    let _map = Map::of(target.pid());
    assert_eq!(target.line(), "ready");
    let written = Command::new("jcmd").args([&target.pid().to_string(), "Compiler.perfmap"]).output().unwrap();
    if !String::from_utf8_lossy(&written.stdout).contains("successfully") {
        return println!("skipped: this JDK writes no map");
    }
    let run = record(target.pid(), 2, &[]).wait(SOON);
    let stacks = collapsed(&run.stdout);
    let ours: Vec<_> = stacks.iter().filter(|stack| stack.has("Known.leafWork")).collect();
    assert!(samples(&stacks, "Known.leafWork") > 100, "{}", run.stdout);
    let is_whole = |frames: &[String]| frames[0] == "clone3" && frames.iter().any(|frame| frame == "Interpreter");
    assert!(ours.iter().all(|stack| is_whole(&stack.frames)), "{}", run.stdout);
}

/// Check that Python's `-X perf` changes nothing: no trampoline is shown, and every stack reaches its root.
#[test]
fn python_x_perf() {
    let _turn = turn();
    let mut pythons = all();
    pythons.retain(|python| python.minor >= 12 && python.root.is_none());
    if pythons.is_empty() {
        println!("skipped: no Python of 3.12 or later here");
    }
    for python in pythons {
        let mut target = Program::spawn(python.run().args(["-X", "perf"]).arg(script("python/known.py")));
        let map = Map::of(target.pid());
        assert_eq!(target.line(), "ready");
        assert!(fs::read_to_string(&map.0).unwrap().contains(" py::by_key:"), "{python}");
        let run = record(target.pid(), 2, &["--lines"]).wait(SOON);
        assert!(!run.stdout.contains("[0x") && !run.stdout.contains("[truncated"), "{}", run.stdout);
        let seen = chains(&run, "known.py", "by_key");
        let is_right = |chain: &String| chain.starts_with("sorts (known.py:") && chain.matches(" > ").count() == 1;
        assert!(!seen.is_empty() && seen.iter().all(is_right), "{seen:#?}");
    }
}

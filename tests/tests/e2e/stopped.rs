use std::{
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{ptrace, signal::Signal},
    unistd::Pid,
};
use tests::{
    agent::{collapsed, dump, record, run, samples},
    targets::{Program, held, held_for, states, turn},
};

const SOON: Duration = Duration::from_secs(10);

/// Where each thread is: its stack pointer and program counter, and the system call it is in.
fn places(pid: i32) -> Vec<String> {
    let all = states(pid);
    all.iter().map(|(tid, _)| std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).unwrap()).collect()
}

/// Waits until so many threads have spun for a while: one that was just begun may not have come to its own code yet.
fn wait_until_spinning(pid: i32, threads: usize) {
    let deadline = Instant::now() + SOON;
    let has_spun = |tid: i32| {
        let schedstat = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).unwrap();
        schedstat.split(' ').next().unwrap().parse::<u64>().unwrap() > 5_000_000
    };
    while states(pid).iter().filter(|(tid, _)| has_spun(*tid)).count() < threads {
        assert!(Instant::now() < deadline, "the threads of {pid} do not spin");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Check that a target that somebody stopped is read in full, and stays stopped until that somebody lets it go.
#[test]
fn stopped_target_stays_stopped() {
    let _turn = turn();
    let Some(target) = Program::start("spin", &["2"]) else { return };
    wait_until_spinning(target.pid(), 2);
    target.signal(Signal::SIGSTOP);
    let stopped = || states(target.pid()).iter().filter(|(_, state)| *state == 'T').count();
    let deadline = Instant::now() + SOON;
    while stopped() < 3 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    let places = places(target.pid());
    let agent = record(target.pid(), 1, &[]);
    let run = agent.wait(SOON);
    // The kernel wakes a stopped thread into the tracer's stop and back again, so it may show `R` for a moment; but it
    // never gets as far as its own code.
    while stopped() < 3 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(stopped(), 3, "{:?}", states(target.pid()));
    assert_eq!(self::places(target.pid()), places);
    assert!(samples(&collapsed(&run.stdout), "spin_until") > 100, "{}{}", run.stdout, run.stderr);
    assert!(dump(target.pid()).threads.iter().all(|thread| thread.state == "stopped" && thread.end == "complete"));
    assert_eq!(stopped(), 3, "{:?}", states(target.pid()));
    target.signal(Signal::SIGCONT);
    assert_eq!(held_for(target.pid(), SOON), [0_i32; 0]);
    target.finish();
}

/// Check that SIGSTOP and SIGCONT do their work in the midst of sampling, however they fall.
#[test]
fn stopped_and_continued_in_the_midst() {
    let _turn = turn();
    let Some(target) = Program::start("spin", &["2"]) else { return };
    let agent = record(target.pid(), 60, &["--rate", "1000"]);
    thread::sleep(Duration::from_millis(200));
    for round in 0..100 {
        target.signal(Signal::SIGSTOP);
        thread::sleep(Duration::from_millis(10 + round % 7));
        // One that was read in its stop goes back into it on its own, as soon as it has a CPU.
        let since = Instant::now();
        while held(target.pid()).len() < 3 {
            assert!(since.elapsed() < Duration::from_secs(1), "round {round}: {:?}", states(target.pid()));
        }
        target.signal(Signal::SIGCONT);
        assert_eq!(held_for(target.pid(), Duration::from_secs(1)), [0_i32; 0], "round {round}");
    }
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.wait(SOON).code, 0);
    target.finish();
}

/// Check that a target under another tracer is left to it, with a message, and sampled as soon as it is free.
#[test]
fn traced_by_another() {
    let _turn = turn();
    let Some(target) = Program::start("spin", &["1"]) else { return };
    let tids: Vec<i32> = states(target.pid()).iter().map(|(tid, _)| *tid).collect();
    let (release, released) = channel::<()>();
    let (seized, ready) = channel::<()>();
    // A thread of its own: the kernel lets go when the tracer's thread ends.
    let tracer = thread::spawn(move || {
        for tid in tids {
            ptrace::seize(Pid::from_raw(tid), ptrace::Options::empty()).unwrap();
        }
        seized.send(()).unwrap();
        let _ = released.recv();
    });
    ready.recv().unwrap();
    let agent = record(target.pid(), 4, &[]);
    thread::sleep(Duration::from_millis(1500));
    release.send(()).unwrap();
    tracer.join().unwrap();
    let run = agent.wait(SOON);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("held by another tracer"), "{}", run.stderr);
    let spun = samples(&collapsed(&run.stdout), "spin_until");
    assert!((100..=300).contains(&spun), "{spun} samples in the 2.5 s without a tracer: {}", run.stderr);
}

/// Check that a second agent on the same target is refused, and that the first one's end frees it.
#[test]
fn second_agent() {
    let _turn = turn();
    let Some(target) = Program::start("spin", &["1"]) else { return };
    let pid = target.pid().to_string();
    let first = record(target.pid(), 60, &[]);
    thread::sleep(Duration::from_millis(500));
    let second = run(&["record", "--pid", &pid, "-o", "/dev/null", "--duration", "1"], SOON);
    assert_eq!(second.code, 1);
    let said = format!("error: process {pid} is already profiled by another sentry-profiled");
    assert_eq!(second.stderr.lines().next(), Some(said.as_str()));
    first.signal(Signal::SIGINT);
    assert_eq!(first.wait(SOON).code, 0);
    assert_eq!(dump(target.pid()).threads.len(), 2);
}

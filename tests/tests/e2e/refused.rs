use std::{fs, time::Duration};

use tests::{
    agent::{Run, dump, run},
    targets::{Program, held, turn_with_others},
};

fn refusal(pid: i32) -> Run {
    run(&["record", "-o", "/dev/null", "--duration", "1", "--pid", &pid.to_string()], Duration::from_secs(10))
}

/// The first line that is said, without the pid.
fn said(run: &Run, pid: i32) -> String {
    run.stderr.lines().next().unwrap_or_default().replace(&pid.to_string(), "PID")
}

/// Check that a kernel thread is refused for what it is. (Pid 2 is theirs all, outside of containers.)
#[test]
fn kernel_thread() {
    let _turn = turn_with_others();
    if !fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
        eprintln!("skipped: no kernel threads to be seen here");
        return;
    }
    let run = refusal(2);
    assert_eq!(run.code, 1);
    assert_eq!(run.stderr.lines().next(), Some("error: process 2 is a kernel thread: it runs no user code"));
}

/// Check that a 32-bit process is refused for what it is, and left alone.
#[test]
fn thirty_two_bits() {
    let _turn = turn_with_others();
    let Some(target) = Program::start("thirty_two_bit", &[]) else { return };
    let run = refusal(target.pid());
    assert_eq!((run.code, said(&run, target.pid()).as_str()), (1, "error: process PID is a 32-bit program"));
    assert_eq!(held(target.pid()), [0_i32; 0]);
}

/// Check that the kernel's `io_uring` workers, listed among a process's threads, are none of its threads for us.
#[test]
fn io_uring_worker() {
    let _turn = turn_with_others();
    let Some(target) = Program::start("io_uring_worker", &[]) else { return };
    let dump = dump(target.pid());
    let names: Vec<&str> = dump.threads.iter().map(|thread| thread.name.as_str()).collect();
    assert!(names.iter().all(|name| !name.starts_with("iou-")), "{names:?}");
    assert!(dump.threads.iter().any(|thread| thread.path().contains("spin_until")), "{dump:?}");
    let seen = target.finish();
    if seen["worker"] != true {
        eprintln!("skipped: io_uring starts no worker here");
    }
}

/// Check that a thread's id, the agent's own, and nobody's are refused, each for what it is.
#[test]
fn wrong_ids() {
    let _turn = turn_with_others();
    let Some(target) = Program::start("spin", &["1"]) else { return };
    let thread = fs::read_dir(format!("/proc/{}/task", target.pid()))
        .unwrap()
        .filter_map(|task| task.unwrap().file_name().to_str()?.parse::<i32>().ok())
        .find(|tid| *tid != target.pid())
        .unwrap();
    let run = refusal(thread);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("is a thread of process"), "{}", run.stderr);
    let run = refusal(i32::MAX);
    assert_eq!((run.code, said(&run, i32::MAX).as_str()), (1, "error: there is no process PID"));
}

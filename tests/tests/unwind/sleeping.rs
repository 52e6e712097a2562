//! Threads in a system call, of which only stack pointer and program counter are known.

use std::{fs, path::PathBuf, thread::sleep, time::Duration};

use insta::assert_snapshot;
use unwinder::Registers;

use crate::traced::{Traced, cc};

/// Runs `sleeps.c` until it sleeps, and unwinds from the two registers that it shows.
fn asleep(program: Option<PathBuf>, part: &str) -> Option<String> {
    let mut traced = Traced::stopped(&program?, &[part]);
    traced.resume(None);
    let path = format!("/proc/{}/syscall", traced.pid());
    // NUMBER, six arguments, SP, PC; fewer while it is not in a call.
    let (sp, pc) = loop {
        let text = fs::read_to_string(&path).unwrap();
        if let [_, _, _, _, _, _, _, sp, pc] = *text.split_whitespace().collect::<Vec<_>>() {
            let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
            break (number(sp), number(pc));
        }
        sleep(Duration::from_millis(1));
    };
    let stack = traced.unwind_from(&Registers::blocked(sp, pc), u64::MAX);
    Some(traced.text(&stack))
}

/// Check that no register is missed where no frame needs one.
#[test]
fn not_needed() {
    let Some(text) = asleep(cc("sleeps.c", &[]), "plain") else { return };
    assert_snapshot!(text, @r"
    [libc]
    sleeps
    plain
    work
    main
    [libc]
    _start
    complete
    ");
}

/// Check that a frame pointer is found by the function's own code, and called a guess.
#[test]
fn recovered() {
    let Some(text) = asleep(cc("sleeps.c", &["-fno-omit-frame-pointer"]), "plain") else { return };
    assert_snapshot!(text, @r"
    [libc]
    sleeps
    plain
    work
    main
    [libc]
    _start
    guessed
    ");
}

/// Check that where the code does not tell, the stack is cut and says so.
#[test]
fn unknown() {
    let Some(text) = asleep(cc("sleeps.c", &[]), "alloca") else { return };
    assert_snapshot!(text, @r"
    [libc]
    sleeps
    sized
    truncated: register_unknown
    ");
}

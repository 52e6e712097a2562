//! Every instruction of what is between two stops, against a shadow stack: prologues, epilogues, the procedure linkage
//! table in mid-call, the dynamic linker at work, hand-written code, the vDSO.

use std::path::PathBuf;

use profile::stack::StackEnd;

use crate::{
    shadow::Shadow,
    traced::{Traced, build, cc},
};

/// Steps on for ever would be a bug of the fixture.
const STEPS_MAX: usize = 200_000;

/// What unwinding at every instruction gave.
struct Walk {
    steps: usize,
    /// Stacks that are not the true one, nor its beginning, as text.
    untrue: Vec<String>,
    /// True as far as they go, but cut or guessed, as text.
    unsure: Vec<String>,
}

/// Walks to the next stop.
fn walk(traced: &mut Traced) -> Walk {
    let stack = traced.unwind();
    assert!(traced.text(&stack).ends_with("\ncomplete"), "{}", traced.text(&stack));
    let mut shadow = Shadow::new(traced, &stack);
    let mut walk = Walk { steps: 0, untrue: Vec::new(), unsure: Vec::new() };
    while traced.step() {
        walk.steps += 1;
        assert!(walk.steps < STEPS_MAX, "no stop comes");
        shadow.step(traced);
        let stack = traced.unwind();
        let found: Vec<u64> = stack.frames.iter().map(|frame| frame.pc.0).collect();
        let truth = shadow.addresses();
        let cut = matches!(stack.end, StackEnd::Truncated(_));
        if found != truth && !(cut && truth.starts_with(&found)) {
            walk.untrue.push(traced.text(&stack));
        } else if stack.end != StackEnd::Complete {
            walk.unsure.push(traced.text(&stack));
        }
    }
    walk
}

/// Walks through a part of a fixture, `at_least` so many instructions. `None`: it cannot be built here.
fn walk_part(program: Option<PathBuf>, part: &str, at_least: usize) -> Option<Walk> {
    let walk = walk(&mut Traced::stopped(&program?, &[part]));
    assert!(walk.steps >= at_least, "{part}: only {} steps", walk.steps);
    Some(walk)
}

/// The same, and wants every stack true and complete.
fn all_true(program: Option<PathBuf>, part: &str, at_least: usize) {
    let Some(walk) = walk_part(program, part, at_least) else { return };
    let wrong = [walk.untrue, walk.unsure].concat();
    assert!(wrong.is_empty(), "{part}: {} of {} are not, first:\n{}", wrong.len(), walk.steps, wrong[0]);
}

/// Check lazily bound calls: the procedure linkage table, the linker's own trampoline, the function.
#[test]
fn procedure_linkage_table() {
    let lazy = &["-fplt", "-Wl,-z,lazy"];
    all_true(cc("steps.c", lazy), "plt", 500);
    // Direct calls through the table of addresses, and the table with branch marks (.plt.sec).
    all_true(cc("steps.c", &["-fno-plt"]), "plt", 30);
    all_true(cc("steps.c", &["-fcf-protection=full", "-Wl,-z,lazy,-z,ibtplt"]), "plt", 500);
}

/// Check the C library's hand-written functions, and its deep number formatting.
#[test]
fn c_library() {
    all_true(cc("steps.c", &["-Wl,-z,now"]), "libc", 300);
}

/// Check a callback out of the C library, with and without frame pointers.
#[test]
fn callback() {
    all_true(cc("steps.c", &[]), "callback", 300);
    all_true(cc("steps.c", &["-fno-omit-frame-pointer"]), "callback", 300);
    all_true(cc("steps.c", &["-O0"]), "callback", 300);
}

/// Check lld's procedure linkage table, which it describes nowhere: guessed or cut there, never another's stack.
#[test]
fn undescribed_linkage_table() {
    let program = build("clang", "steps.c", &["-fuse-ld=lld", "-Wl,-z,lazy"]);
    let Some(mut walk) = walk_part(program, "plt", 500) else { return };
    assert_eq!(walk.untrue, [""; 0]);
    walk.unsure.sort();
    walk.unsure.dedup();
    let called_by = |caller: &str| format!("?\n{caller}main\n[libc]\n_start\nguessed");
    assert_eq!(walk.unsure, [called_by(""), called_by("through_plt\n"), "?\ntruncated: no_unwind_info".to_owned()]);
}

/// Check a jump over four frames. The last instructions of `longjmp` are described as being called by the place that is
/// jumped to.
#[test]
fn longjmp() {
    let Some(mut walk) = walk_part(cc("steps.c", &["-Wl,-z,now", "-U_FORTIFY_SOURCE"]), "longjmp", 60) else { return };
    assert_eq!(walk.unsure, [""; 0]);
    assert!(walk.untrue.len() < 16, "{} of {}", walk.untrue.len(), walk.steps);
    walk.untrue.dedup();
    assert_eq!(walk.untrue, ["[libc]\nthrough_longjmp\nmain\n[libc]\n_start\ncomplete"]);
}

/// Check code that is in no file.
#[test]
fn vdso() {
    all_true(cc("steps.c", &["-Wl,-z,now"]), "vdso", 60);
}

/// Check each instruction of a frame that the compiler realigns, set-up and take-down too.
#[test]
fn realigned() {
    all_true(cc("steps.c", &["-Wl,-z,now"]), "realign", 30);
    all_true(build("clang", "steps.c", &[]), "realign", 30);
}

/// Check a throw through three frames with a destructor in each. Just before it jumps to a handler, the unwinder of the
/// language has put the handler's address in the place of its own return address: nobody can tell that from outside.
#[test]
fn exception() {
    let Some(walk) = walk_part(cc("throws.cpp", &["-Wl,-z,now"]), "steps", 2000) else { return };
    assert_eq!(walk.unsure, [""; 0]);
    assert!(walk.untrue.iter().all(|stack| stack.starts_with("[libgcc_s]\n")), "{:#?}", walk.untrue);
    assert!(walk.untrue.len() * 100 < walk.steps, "{} of {}", walk.untrue.len(), walk.steps);
}

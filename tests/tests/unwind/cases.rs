//! One stop, one stack.

use insta::assert_snapshot;

use crate::traced::{Traced, build, cc};

/// Check that a plain program reads the same however it was built: with frame pointers, static, stripped, by another
/// compiler and linker, with its description only in `.debug_frame` or without a search table.
#[test]
fn plain_in_many_forms() {
    const PLAIN: &str = "leaf\nmiddle\nmain\n[libc]\n_start\ncomplete";
    let mut shown = Vec::new();
    let mut show = |what: &str, program: Option<std::path::PathBuf>| {
        let Some(program) = program else { return };
        let text = Traced::stopped(&program, &[]).show();
        if text != PLAIN {
            shown.push(format!("{what}:\n{text}"));
        }
    };
    show("usual", cc("plain.c", &[]));
    show("frame pointers", cc("plain.c", &["-fno-omit-frame-pointer"]));
    show("unoptimised", cc("plain.c", &["-O0"]));
    show("not position independent", cc("plain.c", &["-no-pie", "-fno-pie"]));
    show("no search table", cc("plain.c", &["-Wl,--no-eh-frame-hdr"]));
    show("only .debug_frame", cc("plain.c", &["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]));
    show(
        "only .debug_frame, compressed",
        cc("plain.c", &["-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-gz=zlib"]),
    );
    show("clang", build("clang", "plain.c", &[]));
    show("lld", build("clang", "plain.c", &["-fuse-ld=lld"]));
    show("lld, segments packed", build("clang", "plain.c", &["-fuse-ld=lld", "-Wl,-z,noseparate-code"]));
    show("lld, segments apart", build("clang", "plain.c", &["-fuse-ld=lld", "-Wl,-z,separate-code"]));
    show("packed segments", cc("plain.c", &["-Wl,-z,noseparate-code"]));
    show("max page size", cc("plain.c", &["-Wl,-z,max-page-size=0x200000"]));
    assert_eq!(shown.join("\n\n"), "");
}

/// Check static programs: the C library's frames are the program's own.
#[test]
fn static_programs() {
    for flags in [&["-static"][..], &["-static-pie"], &["-static", "-Wl,--no-eh-frame-hdr"]] {
        let Some(program) = cc("plain.c", flags) else { return };
        let text = Traced::stopped(&program, &[]).show();
        assert!(text.starts_with("leaf\nmiddle\nmain\n") && text.ends_with("\n_start\ncomplete"), "{flags:?}: {text}");
    }
}

/// Check that a program without symbols has the same stack, without names.
#[test]
fn stripped() {
    let Some(program) = cc("plain.c", &["-s"]) else { return };
    assert_snapshot!(Traced::stopped(&program, &[]).show(), @r"
    ?
    ?
    ?
    [libc]
    ?
    complete
    ");
}

/// Check signal handlers on the interrupted stack, and on others below and above it. The frame below the trampoline is
/// looked up at its own address: one byte before is another function.
#[test]
fn signal_handlers() {
    let Some(program) = cc("signal.c", &[]) else { return };
    assert_snapshot!(Traced::stopped(&program, &["same"]).show(), @r"
    look
    handler
    [libc]
    faults
    work
    run
    main
    [libc]
    _start
    complete
    ");
    assert_snapshot!(Traced::stopped(&program, &["below"]).show(), @r"
    look
    handler
    [libc]
    faults
    work
    run
    main
    [libc]
    _start
    complete
    ");
    assert_snapshot!(Traced::stopped(&program, &["above"]).show(), @r"
    look
    handler
    [libc]
    faults
    work
    run
    [libc]
    complete
    ");
}

/// Check a call that does not return and is its function's last instruction.
#[test]
fn noreturn_call() {
    let Some(program) = cc("noreturn.c", &[]) else { return };
    assert_snapshot!(Traced::stopped(&program, &[]).show(), @r"
    fatal
    gives_up
    work
    main
    [libc]
    _start
    complete
    ");
}

/// Check a frame that the compiler realigned beside alloca.
#[test]
fn realigned() {
    let Some(program) = cc("realign.c", &[]) else { return };
    let frames = std::process::Command::new("readelf").arg("--debug-dump=frames").arg(&program).output().unwrap();
    let frames = String::from_utf8_lossy(&frames.stdout).into_owned();
    assert!(frames.contains("DW_CFA_def_cfa_expression (DW_OP_breg6 (rbp): -8; DW_OP_deref)"), "no such frame in it");
    assert_snapshot!(Traced::stopped(&program, &[]).show(), @r"
    use
    aligned_frame
    middle
    main
    [libc]
    _start
    complete
    ");
}

/// Check hand-written code without a description: as the leaf it is guessed, and farther up where it only returns; else
/// nothing is invented.
#[test]
fn hand_written() {
    let Some(program) = cc("leaf_without_cfi.c", &[]) else { return };
    let mut traced = Traced::stopped(&program, &[]);
    assert_snapshot!(traced.show(), @r"
    bare_leaf
    work
    main
    [libc]
    _start
    guessed
    ");
    traced.next();
    assert_snapshot!(traced.show(), @r"
    described
    bare_caller
    work
    main
    [libc]
    _start
    guessed
    ");
    traced.next();
    assert_snapshot!(traced.show(), @r"
    described
    bare_worker
    truncated: no_unwind_info
    ");
}

/// Check programs without any description of their own: frame pointers lead on and are called a guess; without them the
/// stack is cut, not invented.
#[test]
fn no_description() {
    let none = ["-g0", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"];
    let with = |more: &'static str| none.iter().copied().chain([more]).collect::<Vec<_>>();
    let Some(program) = cc("plain.c", &with("-fno-omit-frame-pointer")) else { return };
    assert_snapshot!(Traced::stopped(&program, &[]).show(), @r"
    leaf
    middle
    main
    [libc]
    _start
    guessed
    ");
    let Some(program) = cc("plain.c", &with("-fomit-frame-pointer")) else { return };
    assert_snapshot!(Traced::stopped(&program, &[]).show(), @r"
    leaf
    middle
    truncated: no_unwind_info
    ");
}

/// Check stops in a destructor during an exception, and in its handler.
#[test]
fn exceptions() {
    let Some(program) = cc("throws.cpp", &[]) else { return };
    let mut traced = Traced::stopped(&program, &[]);
    assert_snapshot!(traced.show(), @r"
    Guard::~Guard()
    throws(int) [clone .cold]
    throws(int)
    throws(int)
    catches()
    main
    [libc]
    _start
    complete
    ");
    traced.next();
    traced.next();
    traced.next();
    assert_snapshot!(traced.show(), @r"
    catches() [clone .cold]
    main
    [libc]
    _start
    complete
    ");
}

/// Check the first function of a thread.
#[test]
fn thread() {
    let Some(program) = cc("steps.c", &[]) else { return };
    assert_snapshot!(Traced::stopped(&program, &["thread"]).show(), @r"
    in_thread
    [libc]
    complete
    ");
}

/// Check recursion: within the bounds whole, beyond the copied bytes and beyond the deepest stack cut with the reason.
#[test]
fn deep_recursion() {
    let Some(program) = cc("plain.c", &[]) else { return };
    let mut traced = Traced::stopped(&program, &["500"]);
    let whole = traced.unwind();
    assert_eq!((traced.text(&whole).lines().count(), whole.end.to_string()), (507, "complete".to_owned()));
    let registers = traced.registers();
    let copied = traced.unwind_from(&registers, 16 * 1024);
    assert_eq!((copied.end.to_string(), copied.frames.len()), ("truncated: beyond_copy".to_owned(), 258));
    assert_eq!(copied.frames[..], whole.frames[..copied.frames.len()]);
    let mut traced = Traced::stopped(&program, &["50000"]);
    let deepest = traced.unwind();
    assert_eq!((deepest.end.to_string(), deepest.frames.len()), ("truncated: too_deep".to_owned(), 1024));
}

//! Names from symbol tables alone: kinds of symbols, aliases, labels, stripped files, reasons.

mod support;

use std::{fmt::Write, sync::Arc};

use profile::{address::FileAddr, frame::Missing};
use support::{Root, name, shown};
use symbolizer::{Budget, Elf, ModuleSource, Settings, Symbolizer};

/// Check that functions, static functions, IFUNCs, assembly without sizes and labels get the name a person expects,
/// of the aliases of one address the plainest exported one, and that a gap has none.
#[test]
fn every_kind_of_symbol() {
    let root = Root::new();
    root.source("plain.c");
    if root.run("gcc -O1 -fno-pie -no-pie -o plain plain.c").is_none() {
        return;
    }
    let (mut symbolizer, module) = root.symbolizer("plain");
    let mut text = String::new();
    for (symbol, offset) in [
        ("leaf", 2),
        ("exported", 0),
        ("chosen", 0),
        ("bare", 0),
        ("bare", 3),
        ("sized", 2),
        ("main", 5),
        ("_start", 1),
    ] {
        let at = root.address("plain", symbol) + offset;
        let _ = write!(text, "{symbol}+{offset}: {}", name(&mut symbolizer, module, at));
    }
    text += &name(&mut symbolizer, module, 0x10);
    insta::assert_snapshot!(text, @"
    leaf+2: leaf
    exported+0: exported
    chosen+0: chosen
    bare+0: bare
    bare+3: bare
    sized+2: sized
    main+5: main
    _start+1: _start
    ? missing: no_symbol
    ");
    assert_eq!(symbolizer.hints(), Vec::<String>::new());
}

/// Check that a stripped library still tells its exported functions, says that the rest is stripped, and what to
/// install.
#[test]
fn stripped_library() {
    let root = Root::new();
    root.source("plain.c");
    if root.run("gcc -O1 -shared -fPIC -Wl,--build-id=0x0102030405 -o libplain.so.1 plain.c").is_none() {
        return;
    }
    let (exported, leaf) = (root.address("libplain.so.1", "exported"), root.address("libplain.so.1", "leaf"));
    root.run("strip libplain.so.1");
    let (mut symbolizer, module) = root.symbolizer("libplain.so.1");
    let frames = symbolizer.name(module, FileAddr(exported + 1), &mut Budget::unlimited());
    assert_eq!(shown(&frames), "exported\n");
    assert_eq!(frames[0].module.as_deref(), Some("libplain.so.1"));
    assert_eq!(frames[0].package.as_deref(), Some("/libplain.so.1"));
    assert_eq!(name(&mut symbolizer, module, leaf + 1), "? missing: stripped\n");
    insta::assert_snapshot!(symbolizer.hints().join("\n"), @"debug symbols for /libplain.so.1 (build id 0102030405): install its -dbgsym or -debuginfo package");
}

/// Check that each address of a function that lost its name still tells where the function begins, and that code
/// before the first one tells nothing.
#[test]
fn stripped_functions_begin() {
    let root = Root::new();
    root.source("plain.c");
    if root.run("gcc -O1 -fno-pie -no-pie -o plain plain.c").is_none() {
        return;
    }
    let (leaf, main) = (root.address("plain", "leaf"), root.address("plain", "main"));
    root.run("strip plain");
    let (mut symbolizer, module) = root.symbolizer("plain");
    let mut start = |at| symbolizer.name(module, FileAddr(at), &mut Budget::unlimited())[0].start;
    assert_eq!([leaf, leaf + 1, leaf + 3].map(&mut start), [Some(FileAddr(leaf)); 3]);
    assert_eq!([main, main + 5].map(&mut start), [Some(FileAddr(main)); 2]);
    assert_eq!(start(0x10), None);
}

/// Check that without budget nothing is read, the reason says so, and the name comes when it is asked again.
#[test]
fn budget_is_not_remembered() {
    let root = Root::new();
    root.source("plain.c");
    if root.run("gcc -O1 -o plain plain.c").is_none() {
        return;
    }
    let at = root.address("plain", "exported");
    let (mut symbolizer, module) = root.symbolizer("plain");
    let mut none = Budget::new(std::time::Duration::ZERO, 0);
    assert_eq!(shown(&symbolizer.name(module, FileAddr(at), &mut none)), "? missing: budget\n");
    assert_eq!(name(&mut symbolizer, module, at), "exported\n");
    let again = symbolizer.name(module, FileAddr(at), &mut none);
    assert_eq!(shown(&again), "exported\n", "what was named needs no budget");
}

/// Check that the same file gives the same key, a rewritten one another, and that a forgotten one is void.
#[test]
fn modules_are_shared_and_forgotten() {
    let root = Root::new();
    root.source("plain.c");
    if root.run("gcc -O1 -o plain plain.c").is_none() {
        return;
    }
    let mut symbolizer = Symbolizer::new(Settings::default());
    let first = symbolizer.add(root.module("plain"));
    assert_eq!(symbolizer.add(root.module("plain")), first);
    let mut changed = std::fs::read(root.path("plain")).unwrap();
    changed.push(0);
    std::fs::write(root.path("plain"), changed).unwrap();
    assert_ne!(symbolizer.add(root.module("plain")), first);
    let at = root.address("plain", "exported");
    symbolizer.forget(first);
    assert_eq!(name(&mut symbolizer, first, at), "exported\n", "one user is left");
    symbolizer.forget(first);
    assert_eq!(name(&mut symbolizer, first, at), "? missing: no_module\n");
}

/// Check the reasons of files that cannot be read: absent, garbage, cut, and another build than was mapped.
#[test]
fn unreadable_files() {
    let root = Root::new();
    root.source("plain.c");
    if root.run("gcc -O1 -o plain plain.c").is_none() {
        return;
    }
    let whole = std::fs::read(root.path("plain")).unwrap();
    let bytes = |bytes: &[u8]| Elf::Bytes(Arc::from(bytes));
    let cases = [
        ("gone", Elf::Missing(Missing::FileChanged), None),
        ("garbage", bytes(&[0xa5; 5000]), None),
        ("empty", bytes(&[]), None),
        ("cut", bytes(&whole[..whole.len() / 2]), None),
        ("other", bytes(&whole), profile::id::BuildId::new(&[1, 2, 3])),
    ];
    let mut symbolizer = Symbolizer::new(Settings::default());
    let mut text = String::new();
    for (path, elf, build_id) in cases {
        let key = symbolizer.add(ModuleSource { path: path.to_owned(), build_id, elf, files: root.files() });
        let _ = write!(text, "{path}: {}", name(&mut symbolizer, key, 0x1000));
    }
    text += &symbolizer.hints().join("\n");
    insta::assert_snapshot!(text, @"
    gone: ? missing: file_changed
    garbage: ? missing: no_file
    empty: ? missing: no_file
    cut: ? missing: no_file
    other: ? missing: file_changed
    cut cannot be read as an ELF file: no names from it
    empty cannot be read as an ELF file: no names from it
    garbage cannot be read as an ELF file: no names from it
    gone was replaced while it ran: restart the process to see its names
    other (build id 010203) was replaced while it ran: restart the process to see its names
    ");
}

//! Files that are gone or replaced while they are mapped.

use std::fs;

use insta::assert_snapshot;

use crate::traced::{Traced, cc};

/// Check a program whose file was deleted, and one whose file was replaced by another.
#[test]
fn deleted_and_replaced() {
    let (Some(program), Some(other)) = (cc("plain.c", &[]), cc("realign.c", &[])) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fixture_plain");
    fs::copy(&program, &path).unwrap();
    let mut traced = Traced::start(&path, &[]);
    fs::remove_file(&path).unwrap();
    traced.go();
    traced.wait_for_stop();
    assert_snapshot!(traced.show(), @r"
    leaf
    middle
    main
    [libc]
    _start
    complete
    ");

    fs::copy(&program, &path).unwrap();
    let mut traced = Traced::start(&path, &[]);
    // As a package manager does it: the new file takes the name.
    let new = folder.path().join("new");
    fs::copy(other, &new).unwrap();
    fs::rename(&new, &path).unwrap();
    traced.go();
    traced.wait_for_stop();
    assert_snapshot!(traced.show(), @r"
    leaf
    middle
    main
    [libc]
    _start
    complete
    ");
}

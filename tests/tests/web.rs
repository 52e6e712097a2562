//! The page's own parts, without a browser: what is pure in them by node's test runner, and their types.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tests::tools::{npm, run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("web")
}

/// Check the page's arithmetic on trees, its searches and its addresses.
#[test]
fn pure_parts() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let tests: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().ends_with(".test.js")).collect();
    assert!(tests.len() >= 4, "{tests:?}");
    run(Command::new("node").arg("--test").args(tests), "node");
}

/// Check that the types of the page's parts fit each other.
#[test]
fn types() {
    let Some(modules) = npm("typescript") else { return };
    let compiler = modules.join("typescript/bin/tsc");
    run(Command::new("node").arg(compiler).arg("-p").arg(folder().join("tsconfig.json")), "node");
}

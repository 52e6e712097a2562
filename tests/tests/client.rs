//! The client package's own tests, under the newest sentry-sdk and two older ones. What it does with a real daemon is `samples`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tests::{compile::build_folder, pythons::with_module, targets::turn};

/// Runs those in `files`, or all, under the release of sentry-sdk in a folder that is laid over the environment's own.
fn run(overlay: Option<&Path>, files: &[&str]) {
    let _turn = turn();
    let (Some(python), Some(_)) = (with_module("pytest"), with_module("sentry_sdk")) else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("clients/python");
    let mut command = Command::new(&python.path);
    command
        .args(["-W", "ignore", "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"])
        .args(files)
        .current_dir(folder);
    // They wait most of the time: side by side, where pytest-xdist is there.
    if with_module("xdist").is_some() {
        command.args(["-n", "4"]);
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1").envs(overlay.map(|folder| ("PYTHONPATH", folder)));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", text.lines().last().unwrap_or_default());
}

/// Where an older release is; `None`, said: it is not there.
fn release(version: &str) -> Option<PathBuf> {
    let sdks = std::env::var_os("SENTRY_PROFILED_SDKS").map(PathBuf::from);
    let folder =
        sdks.unwrap_or_else(|| build_folder().parent().unwrap().join("sdks")).join(format!("python-{version}"));
    if !folder.join("sentry_sdk").exists() {
        println!("skipped: no sentry-sdk {version} in {} (scripts/setup tests installs it)", folder.display());
        return None;
    }
    Some(folder)
}

/// What differs between releases of the SDK.
const OF_RELEASES: [&str; 3] = ["tests/test_continuous.py", "tests/test_transactions.py", "tests/test_functions.py"];

/// Check all of them under the newest.
#[test]
fn newest() {
    run(None, &[]);
}

/// Check what depends on the SDK under the first release with continuous profiling.
#[test]
fn first() {
    if let Some(folder) = release("2.24.1") {
        run(Some(&folder), &OF_RELEASES);
    }
}

/// Check the same under one between.
#[test]
fn between() {
    if let Some(folder) = release("2.40.0") {
        run(Some(&folder), &OF_RELEASES);
    }
}

//! Other people's programs that tests run: a type checker, readers of what we export.

use std::{path::PathBuf, process::Command};

use crate::compile::build_folder;

/// Runs a program to its end; `None`, said on stderr, where it is not installed.
pub fn run(command: &mut Command, what: &str) -> Option<String> {
    let Ok(done) = command.output() else {
        eprintln!("skipped: no {what} here (scripts/setup tests installs it)");
        return None;
    };
    let said = String::from_utf8_lossy(&done.stderr);
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{what}: {said}\n{out}");
    Some(out)
}

/// Where `scripts/setup tests` puts packages of npm; `None`, said on stderr, where this one is not.
pub fn npm(package: &str) -> Option<PathBuf> {
    let modules = std::env::var_os("SENTRY_PROFILED_NODE_MODULES").map(PathBuf::from);
    let modules = modules.unwrap_or_else(|| build_folder().parent().unwrap().join("npm/node_modules"));
    let there = modules.join(package).is_dir();
    if !there {
        eprintln!("skipped: no {package} in {} (scripts/setup tests installs it)", modules.display());
    }
    there.then_some(modules)
}

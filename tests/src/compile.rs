//! Builds C, C++ and assembler sources with exact flags, each build once: a program is named after what it is made of.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// Stem of the program's name.
    pub name: &'a str,
    /// `cc`, `c++`, `clang` ...
    pub compiler: &'a str,
    /// The first is compiled; the others are what it includes.
    pub sources: &'a [&'a Path],
    /// As on the command line, before the source.
    pub flags: &'a [&'a str],
    /// A machine may lack what it takes: then the test is skipped. Otherwise a failure fails it.
    pub optional: bool,
}

/// The folder of this build's programs: where `sentry-profiled` is, and what is built here goes.
pub fn build_folder() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let folder = exe.parent().unwrap();
    if folder.ends_with("deps") { folder.parent().unwrap().to_owned() } else { folder.to_owned() }
}

/// The program, built if it was not; `None`, said on stderr, where it cannot be built.
pub fn compile(build: Build<'_>) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hasher = DefaultHasher::new();
    (build.compiler, build.flags).hash(&mut hasher);
    build.sources.iter().for_each(|source| fs::read(source).unwrap().hash(&mut hasher));
    let folder = build_folder().join("test-targets");
    let program = folder.join(format!("{}-{:016x}", build.name, hasher.finish()));
    if program.exists() {
        return Some(program);
    }
    fs::create_dir_all(&folder).unwrap();
    // Built aside and moved: another test program may be building the same.
    let aside = program.with_extension(std::process::id().to_string());
    let compiled = Command::new(build.compiler).args(build.flags).arg(build.sources[0]).arg("-o").arg(&aside).output();
    match compiled {
        Ok(output) if output.status.success() => {
            fs::rename(&aside, &program).unwrap();
            Some(program)
        }
        Ok(output) if !build.optional => panic!("{}: {}", build.name, String::from_utf8_lossy(&output.stderr)),
        _ => {
            eprintln!("skipped: {} does not build {} here", build.compiler, build.name);
            None
        }
    }
}

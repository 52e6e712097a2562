//! Builds the fixture programs, finds their addresses by `nm`, and shows frames as text.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "tests")]

use std::{
    fmt::Write,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use profile::{address::FileAddr, frame::Frame};
use symbolizer::{Budget, Elf, ModuleKey, ModuleSource, Settings, Symbolizer, TargetFiles};

/// A folder with built programs, which is also the root of the target that the symbolizer is told about.
pub(crate) struct Root {
    folder: tempfile::TempDir,
}

/// Opens below the folder; paths that are already in it (as compilers and `objcopy` see them) are taken as they are.
#[derive(Debug)]
pub(crate) struct Below(PathBuf);

impl TargetFiles for Below {
    fn open(&self, path: &str) -> Option<File> {
        let path = Path::new(path);
        let inside = if path.starts_with(&self.0) { path.into() } else { self.0.join(path.strip_prefix("/").ok()?) };
        let file = File::open(inside).ok()?;
        file.metadata().ok()?.is_file().then_some(file)
    }
}

impl Root {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a program in the folder. `None`, and a line that says so, when it is not installed.
    pub(crate) fn run(&self, command: &str) -> Option<String> {
        let mut words = command.split_whitespace();
        let program = words.next().unwrap();
        let done = match Command::new(program).args(words).current_dir(self.folder.path()).output() {
            Ok(done) => done,
            Err(why) => {
                println!("Skipped: cannot run {program}: {why}");
                return None;
            }
        };
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        Some(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Runs a program that may be absent, or too old for what is asked of it: says so and gives false.
    pub(crate) fn try_run(&self, command: &str) -> bool {
        self.try_run_in(".", command)
    }

    /// The same in a folder of this one.
    pub(crate) fn try_run_in(&self, folder: &str, command: &str) -> bool {
        let mut words = command.split_whitespace();
        let run = Command::new(words.next().unwrap()).args(words).current_dir(self.path(folder)).output();
        let done = run.is_ok_and(|done| done.status.success());
        if !done {
            println!("Skipped: {command}");
        }
        done
    }

    /// Makes a folder.
    pub(crate) fn folder(&self, name: &str) {
        std::fs::create_dir_all(self.path(name)).unwrap();
    }

    /// Puts a fixture's source into the folder.
    pub(crate) fn source(&self, name: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        std::fs::copy(from, self.path(name)).unwrap();
    }

    /// Addresses of symbols by name.
    pub(crate) fn address(&self, program: &str, symbol: &str) -> u64 {
        let listed = self.run(&format!("nm {program}")).unwrap();
        let line = listed.lines().find(|line| line.ends_with(&format!(" {symbol}")));
        let line = line.unwrap_or_else(|| panic!("no {symbol} in\n{listed}"));
        u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
    }

    /// All symbols with their addresses.
    pub(crate) fn symbols(&self, program: &str) -> Vec<(String, u64)> {
        let listed = self.run(&format!("nm {program}")).unwrap();
        let words = listed.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let pair =
            |words: Vec<&str>| Some(((*words.get(2)?).to_owned(), u64::from_str_radix(words.first()?, 16).ok()?));
        words.filter_map(pair).collect()
    }

    /// The addresses of `.text`.
    pub(crate) fn code(&self, program: &str) -> std::ops::Range<u64> {
        let listed = self.run(&format!("objdump -h -j .text {program}")).unwrap();
        let row = listed.lines().find(|line| line.contains(" .text ")).unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        let [size, start] = [2, 3].map(|n| u64::from_str_radix(words[n], 16).unwrap());
        start..start + size
    }

    pub(crate) fn files(&self) -> Arc<Below> {
        Arc::new(Below(self.folder.path().to_owned()))
    }

    /// A module of this root, as the target sees it at `/name`.
    pub(crate) fn module(&self, name: &str) -> ModuleSource {
        let elf = Elf::File(File::open(self.path(name)).unwrap());
        ModuleSource { path: format!("/{name}"), build_id: None, elf, files: self.files() }
    }

    pub(crate) fn symbolizer(&self, name: &str) -> (Symbolizer, ModuleKey) {
        let mut symbolizer = Symbolizer::new(Settings::default());
        let key = symbolizer.add(self.module(name));
        (symbolizer, key)
    }
}

/// `function (file:line) [inlined] missing`, a line a frame.
pub(crate) fn shown(frames: &[Frame]) -> String {
    let mut text = String::new();
    for frame in frames {
        text += frame.function.as_deref().unwrap_or("?");
        if let Some(file) = &frame.filename {
            let _ = write!(text, " ({file}:{})", frame.line.unwrap_or(0));
        }
        text += if frame.inlined { " inlined" } else { "" };
        if let Some(missing) = frame.missing {
            let _ = write!(text, " missing: {}", missing.as_str());
        }
        text += "\n";
    }
    text
}

pub(crate) fn name(symbolizer: &mut Symbolizer, module: ModuleKey, at: u64) -> String {
    shown(&symbolizer.name(module, FileAddr(at), &mut Budget::unlimited()))
}

//! The interpreters of this machine, of the versions that are read: those of pyenv, the system's own, stripped copies, those
//! of other systems' roots. Runs nothing but them.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::compile::build_folder;

/// One interpreter.
#[derive(Clone, Debug)]
pub struct Python {
    /// 11 of 3.11.
    pub minor: u32,
    /// In its root.
    pub path: PathBuf,
    /// Where it is run by chroot.
    pub root: Option<PathBuf>,
    /// Where a library is that it takes before its own.
    library: Option<PathBuf>,
    /// Whether its functions have names.
    pub has_symbols: bool,
}

impl Python {
    fn new(path: PathBuf) -> Option<Self> {
        let mut python = Self { minor: 0, path, root: None, library: None, has_symbols: false };
        python.minor = minor(&mut python.run())?;
        python.has_symbols = python.path.components().any(|part| part.as_os_str() == ".pyenv");
        Some(python)
    }

    /// What runs it.
    pub fn run(&self) -> Command {
        let mut command = match &self.root {
            None => Command::new(&self.path),
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(&self.path);
                command
            }
        };
        command.envs(self.library.iter().map(|library| ("LD_LIBRARY_PATH", library)));
        command
    }

    /// What runs a program in it, which is copied into its root.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.run();
        match &self.root {
            None => command.arg(program),
            Some(root) => {
                let inside = Path::new("/tmp").join(program.file_name().unwrap());
                fs::copy(program, root.join("tmp").join(program.file_name().unwrap())).unwrap();
                command.arg(inside)
            }
        };
        command
    }
}

impl fmt::Display for Python {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3.{} {}", self.minor, self.path.display())?;
        if let Some(root) = &self.root {
            write!(f, " in {}", root.display())?;
        }
        if self.library.is_some() { f.write_str(" stripped") } else { Ok(()) }
    }
}

/// All of them, but for stripped copies. `TEST_PYTHONS` has more, `PYTHON_TEST_ROOTS` other systems; both as PATH is written.
pub fn all() -> Vec<Python> {
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")));
    let versions = pyenv.and_then(|root| root.join("versions").read_dir().ok());
    let mut paths: Vec<PathBuf> =
        versions.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path().join("bin/python"))).collect();
    paths.extend(["/usr/bin/python3".into()]);
    paths.extend(listed("TEST_PYTHONS"));
    let mut all: Vec<Python> = paths.into_iter().filter_map(Python::new).collect();
    all.extend(listed("PYTHON_TEST_ROOTS").iter().flat_map(|root| of_root(root)));
    all.sort_by_key(|python| (python.root.is_some(), python.minor));
    all
}

/// A copy whose libraries have lost their symbols; `None` where it has none of its own.
pub fn stripped(python: &Python) -> Option<Python> {
    let library = python.path.parent()?.parent()?.join(format!("lib/libpython3.{}.so.1.0", python.minor));
    let folder = build_folder().join(format!("stripped-3.{}", python.minor));
    fs::create_dir_all(&folder).ok()?;
    let copy = folder.join(library.file_name()?);
    let strip =
        || Command::new("strip").arg(&library).arg("-o").arg(&copy).status().is_ok_and(|status| status.success());
    let is_there = library.exists() && (copy.exists() || strip());
    is_there.then(|| Python { library: Some(folder), has_symbols: false, ..python.clone() })
}

/// Where a program of the tests is.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/python").join(name)
}

/// The number of the line of a program that ends in `# at MARK`.
pub fn line_of(name: &str, mark: &str) -> usize {
    let text = fs::read_to_string(program(name)).unwrap();
    let end = format!("# at {mark}");
    text.lines().position(|line| line.ends_with(&end)).unwrap_or_else(|| panic!("{name} has no {end}")) + 1
}

/// The Python of the tests' own environment, with packages of others (`scripts/setup tests`); `None`, said, without `module`.
pub fn with_module(module: &str) -> Option<Python> {
    let venv = std::env::var_os("SENTRY_PROFILED_VENV").map(PathBuf::from);
    let venv = venv.unwrap_or_else(|| build_folder().parent().unwrap().join("venv"));
    let found = Python::new(venv.join("bin/python")).filter(|python| {
        let import = format!("import {module}");
        python.run().args(["-c", &import]).output().is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        println!("skipped: no {module} in {} (scripts/setup tests installs it)", venv.display());
    }
    found
}

fn listed(variable: &str) -> Vec<PathBuf> {
    std::env::var_os(variable).iter().flat_map(std::env::split_paths).filter(|path| path.is_absolute()).collect()
}

fn of_root(root: &Path) -> Vec<Python> {
    let of = |minor: u32| {
        let path = PathBuf::from(format!("/usr/bin/python3.{minor}"));
        let is_there = root.join(path.strip_prefix("/").ok()?).exists();
        is_there.then(|| Python { minor, path, root: Some(root.to_owned()), library: None, has_symbols: false })
    };
    (8..=15).filter_map(of).collect()
}

/// 11 of 3.11, of those that are read.
fn minor(python: &mut Command) -> Option<u32> {
    let code = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = python.args(["-c", code]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let minor: u32 = text.trim().strip_prefix("3.")?.parse().ok()?;
    (8..=15).contains(&minor).then_some(minor)
}

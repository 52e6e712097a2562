//! Starting the target ourselves: a child waits at a gate until it is sampled, then becomes the command, so that its
//! first instruction is seen.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{PipeReader, PipeWriter, Read, Write},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    unistd::{AccessFlags, access},
};
use profile::id::Pid;

use crate::exit::Failure;

/// A child at the gate.
#[derive(Debug)]
pub struct Launched {
    /// The child.
    pub child: Child,
    gate: PipeWriter,
    ours: PathBuf,
}

impl Launched {
    /// Starts the waiting child. It inherits standard input, output, error and the environment.
    pub fn start(command: &[OsString]) -> anyhow::Result<Self> {
        let (reader, gate): (PipeReader, PipeWriter) = std::io::pipe().context("cannot make a pipe")?;
        fcntl(&reader, FcntlArg::F_SETFD(FdFlag::empty())).context("cannot hand the pipe to the child")?;
        let child = Command::new("/proc/self/exe")
            .arg("launch")
            .arg(reader.as_raw_fd().to_string())
            .arg("--")
            .args(command)
            .spawn()
            .context("cannot start a child process")?;
        let ours = std::env::current_exe().unwrap_or_default();
        Ok(Self { child, gate, ours })
    }

    /// The child's id, which the command keeps.
    pub fn pid(&self) -> Pid {
        Pid(i32::try_from(self.child.id()).unwrap_or(0))
    }

    /// Opens the gate and waits until the child has become the command, or has failed to.
    pub fn release(&mut self) -> anyhow::Result<()> {
        self.gate.write_all(b"!").context("the child has ended before it began")?;
        let link = format!("/proc/{}/exe", self.child.id());
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline && std::fs::read_link(&link).is_ok_and(|exe| is_same(&exe, &self.ours)) {
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }
}

fn is_same(exe: &Path, ours: &Path) -> bool {
    exe == ours
}

/// The child's side: wait, then become the command. Exit codes as a shell has them: 127 not found, 126 not executable.
pub fn become_command(gate: i32, command: &[OsString]) -> Result<u8, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::Usage("no command was given".to_owned()));
    };
    let mut byte = [0];
    let mut pipe = File::open(format!("/proc/self/fd/{gate}"))?;
    fcntl(&pipe, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    if pipe.read(&mut byte)? == 0 {
        return Ok(1);
    }
    close_inherited(gate);
    let error = Command::new(program).args(arguments).exec();
    let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
    let _ = writeln!(std::io::stderr(), "error: cannot start {}\ncause: {error}", program.display());
    Ok(code)
}

/// The file that a command will run, as the child will find it: by `PATH`, and the interpreter of a script.
pub fn program(command: &[OsString]) -> Option<PathBuf> {
    let file = find(command.first()?)?;
    let mut head = [0; SCRIPT_HEAD];
    let len = File::open(&file).and_then(|mut file| file.read(&mut head)).ok()?;
    let line = head.get(..len)?.split(|byte| *byte == b'\n').next()?;
    let Some(line) = line.strip_prefix(b"#!").and_then(|line| str::from_utf8(line).ok()) else { return Some(file) };
    let mut words = line.split_whitespace();
    let interpreter = Path::new(words.next()?);
    // `env` becomes what it is given.
    let real = if interpreter.file_name()? == "env" { words.next()? } else { interpreter.to_str()? };
    find(OsStr::new(real))
}

/// The kernel reads no more of a script's first line (`BINPRM_BUF_SIZE`).
const SCRIPT_HEAD: usize = 256;

/// As execvp(3) finds a program; links resolved, as `/proc/PID/exe` shows it.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return std::fs::canonicalize(program).ok();
    }
    let path = std::env::var_os("PATH")?;
    let is_program = |file: &PathBuf| access(file, AccessFlags::X_OK).is_ok() && file.is_file();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(is_program)?;
    std::fs::canonicalize(found).ok()
}

/// The gate itself must not reach the command.
fn close_inherited(gate: i32) {
    let _ = nix::unistd::close(gate);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that programs are found by path and by name, and scripts by their interpreter.
    #[test]
    fn programs() {
        let folder = tempfile::tempdir().unwrap();
        let found = |words: &str| program(&[OsString::from(words)]);
        let sh = std::fs::canonicalize("/bin/sh").unwrap();
        assert_eq!(found("/bin/sh").as_ref(), Some(&sh));
        assert_eq!(found("sh").as_ref(), Some(&sh));
        for (name, head) in
            [("direct", "#!/bin/sh -e\n"), ("by_env", "#!/usr/bin/env sh\nexit"), ("spaced", "#! /bin/sh")]
        {
            let script = folder.path().join(name);
            std::fs::write(&script, head).unwrap();
            assert_eq!(program(&[script.into()]).as_ref(), Some(&sh), "{name}");
        }
        assert_eq!(found("no such program"), None);
        assert_eq!(program(&[]), None);
    }
}

//! Starting the target ourselves: a child waits at a gate until it is sampled, then becomes the command, so that its
//! first instruction is seen.

use std::{
    ffi::OsString,
    fs::File,
    io::{PipeReader, PipeWriter, Read, Write},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
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

/// The gate itself must not reach the command.
fn close_inherited(gate: i32) {
    let _ = nix::unistd::close(gate);
}

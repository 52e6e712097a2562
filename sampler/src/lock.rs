//! One profiler a target: a second one is refused. The lock is a flock(2) on a file of the target's in /proc, which only those may
//! open that may read the target at all, and which the kernel takes back however we die.

use std::{
    fs::{File, TryLockError},
    io,
};

use profile::id::Pid;

/// Held as long as the target is profiled.
#[derive(Debug)]
pub struct TargetLock {
    _file: File,
}

impl TargetLock {
    /// `None` when another profiler that uses the same mount of /proc holds the target.
    ///
    /// The kernel has one inode of the file for as long as somebody has it open, and another one for a process that gets the same
    /// pid later. `syscall` has mode 0400: with a file that everybody may read, everybody could keep us from a target.
    pub fn take(pid: Pid) -> io::Result<Option<Self>> {
        let file = File::open(format!("/proc/{pid}/syscall"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the second is refused and that dropping the first frees the target.
    #[test]
    fn second_is_refused() {
        let own = Pid(i32::try_from(std::process::id()).unwrap());
        let first = TargetLock::take(own).unwrap();
        assert!(first.is_some());
        assert!(TargetLock::take(own).unwrap().is_none());
        drop(first);
        assert!(TargetLock::take(own).unwrap().is_some());
    }
}

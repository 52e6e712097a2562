//! One profiler a target: a second one is refused. The lock is the name of an abstract unix socket, which the kernel
//! takes back however we die.

use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixListener},
};

use profile::id::Pid;

/// Held as long as the target is profiled.
#[derive(Debug)]
pub struct TargetLock {
    _listener: UnixListener,
}

impl TargetLock {
    /// `None` when another profiler of this network namespace holds the target.
    ///
    /// The name carries the pid namespace, so that equal pids of two containers do not clash, and the start time, so
    /// that a reused pid is another target.
    pub fn take(pid: Pid, start_time: u64) -> std::io::Result<Option<Self>> {
        let namespace = std::fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned());
        let name = format!("sentry-profiled/{}/{pid}/{start_time}", namespace.unwrap_or_default());
        match UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?) {
            Ok(listener) => Ok(Some(Self { _listener: listener })),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the second is refused and that dropping the first frees the name.
    #[test]
    fn second_is_refused() {
        let first = TargetLock::take(Pid(1), u64::MAX).unwrap();
        assert!(first.is_some());
        assert!(TargetLock::take(Pid(1), u64::MAX).unwrap().is_none());
        drop(first);
        assert!(TargetLock::take(Pid(1), u64::MAX).unwrap().is_some());
    }
}

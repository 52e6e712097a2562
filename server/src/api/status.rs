//! What a server says of itself: where it listens and as what, how full its store is, and what it can tell of its machine.

use std::{fmt, sync::Arc};

use serde::Serialize;

/// A server, as it is now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Status {
    /// Of this program.
    pub version: &'static str,
    /// Address and port; `None`: nobody can send to it.
    pub listen: Option<String>,
    /// Since when it runs, microseconds since 1970.
    pub started_us: u64,
    /// Whose envelopes are taken.
    pub projects: Vec<ProjectStatus>,
    /// Where all is kept.
    pub store: StoreStatus,
    /// Since the start.
    pub received: ReceivedStatus,
    /// Where it runs.
    pub machine: MachineStatus,
}

/// A project.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ProjectStatus {
    /// The number at the end of its DSN.
    pub id: u64,
    /// What people call it.
    pub name: String,
    /// What SDKs are given.
    pub dsn: String,
}

/// How full a store is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StoreStatus {
    /// `embedded` or `clickhouse`.
    pub kind: &'static str,
    /// Its folder.
    pub path: Option<String>,
    /// What is in it.
    pub bytes: Option<u64>,
    /// What may be in it.
    pub limit_bytes: Option<u64>,
    /// How long things stay.
    pub days: u64,
    /// Left on the disk.
    pub free_bytes: Option<u64>,
}

/// What came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct ReceivedStatus {
    /// Envelopes that were answered.
    pub envelopes: u64,
    /// Items that were kept.
    pub items: u64,
    /// Items that were refused.
    pub refused: u64,
}

/// What there is to profile here, and what is in the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MachineStatus {
    /// CPUs.
    pub cores: u64,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// Processes, the busiest first.
    pub processes: Vec<Process>,
}

/// Something that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// `ok`, `warn`, `bad`.
    pub level: &'static str,
    /// What was found.
    pub text: String,
    /// What to do.
    pub fix: Option<String>,
}

/// A process of this machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its program, with its script if it is an interpreter.
    pub name: String,
}

/// Tells the status when it is asked.
#[derive(Clone)]
pub struct StatusSource(pub Arc<dyn Fn() -> Status + Send + Sync>);

impl fmt::Debug for StatusSource {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("StatusSource")
    }
}

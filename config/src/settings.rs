//! What can be set, as one documented tree with its defaults. `config.toml` beside it says the same to people; a test
//! compares the two. Where a value comes from is not known here: that is `resolve`.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    glob::Glob,
    options::TargetOptions,
    rates::Rate,
    secret::Secret,
    target::{Target, entries},
    text::few,
    units::{Bytes, Percent, Span},
    words::{Native, States},
};

/// Everything that can be set.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How samples are taken.
    pub sampling: Sampling,
    /// How frames get their names.
    pub naming: Naming,
    /// What is said of programs that CPython runs.
    pub python: Python,
    /// What holds for all targets, as far as nothing else is said of one.
    #[serde(skip_serializing)]
    pub options: TargetOptions,
    /// Which processes the daemon profiles, and what holds for each.
    #[serde(rename = "target", deserialize_with = "entries", skip_serializing)]
    pub targets: Vec<Target>,
    /// How the daemon is spoken to, and whom it believes.
    pub daemon: Daemon,
    /// What the agent may cost.
    pub budget: Budget,
    /// Where chunks go.
    pub shipping: Shipping,
    /// Where envelopes are taken and the page is served.
    pub server: Server,
    /// Where profiles are kept.
    pub store: Store,
}

/// How samples are taken.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Samples a second and thread.
    pub rate_hz: Rate,
    /// Stop a sleeping thread once a sleep where its stack cannot be followed without rbp, and its call restarts
    /// unseen. Off: such a stack is truncated, and says so.
    pub stop_for_rbp: bool,
    /// Which states of threads are shown; in all others a thread is there without a stack.
    pub states: States,
}

/// How frames get their names.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Naming {
    /// Leave all naming to the server: every frame goes with its address.
    pub raw_for_server: bool,
    /// Ask the servers of `debuginfod_urls` for debug files. Tells them which builds run here.
    pub debuginfod: bool,
    /// Whom `debuginfod` asks, in this order. May hold a password.
    pub debuginfod_urls: Vec<Secret>,
}

/// What is said of programs that CPython runs.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Python {
    /// Native frames: among the Python ones, not at all, or alone.
    pub native: Native,
    /// Keep frames of the interpreter that only show how it calls.
    pub keep_interpreter_frames: bool,
}

/// How the daemon is spoken to, and whom it believes.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Daemon {
    /// The control socket; `None`: [`crate::control_socket`].
    pub control: Option<PathBuf>,
    /// Where metrics can be fetched as Prometheus text; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Hosts to which a target may have its profiles shipped, by a DSN in its environment or its code.
    #[serde(deserialize_with = "few")]
    pub dsn_hosts: Vec<Glob>,
    /// Where Kubernetes' downward API puts the files `labels` and `annotations` of the pod.
    pub pod_info: PathBuf,
}

impl Default for Daemon {
    fn default() -> Self {
        Self { control: None, metrics: None, dsn_hosts: Vec::new(), pod_info: PathBuf::from("/etc/podinfo") }
    }
}

/// What the agent may cost. Before it would cost more, it samples less often, then fewer targets, and says so.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Of one core, all that the agent uses.
    pub host_cpu: Percent,
    /// Of a thread's time, how much it is held stopped.
    pub target_stop: Percent,
    /// The agent's own resident memory.
    pub memory: Bytes,
    /// Profile hours in a calendar month, at which no new session starts; `None`: as many as come.
    pub hours_per_month: Option<u32>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            host_cpu: Percent::new(5),
            target_stop: Percent::new(1),
            // One target takes 20 to 45 MB (docs/measurements.md); the rest is for many, and for large debug files.
            memory: Bytes(512 << 20),
            hours_per_month: None,
        }
    }
}

/// Where chunks go.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shipping {
    /// Folder in which chunks wait until they are answered; `None`: [`crate::state_folder`].
    pub spool: Option<PathBuf>,
    /// How much may wait; the oldest goes first.
    pub spool_max: Bytes,
    /// How long a chunk may wait.
    pub spool_age_max: Span,
    /// How much of what the server refused is kept for inspection.
    pub refused_max: Bytes,
    /// Rate limits up to this long are waited out; longer ones discard, and pause the sampling for that DSN.
    pub rate_limit_wait: Span,
    /// How long a stop may take to send what is there; the rest stays for the next start.
    pub drain: Span,
}

impl Default for Shipping {
    fn default() -> Self {
        Self {
            spool: None,
            // A quiet process makes 70 kB a minute, a busy one some MB: hours to days without a network.
            spool_max: Bytes(512 << 20),
            spool_age_max: Span::from_secs(7 * 24 * 3600),
            refused_max: Bytes(64 << 20),
            rate_limit_wait: Span::from_secs(5 * 60),
            drain: Span::from_secs(5),
        }
    }
}

/// Where envelopes are taken and the page is served.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port. Beyond this machine `token` and `projects` must be set.
    pub listen: SocketAddr,
    /// Who may read shows it; `None`: whoever is on this machine.
    pub token: Option<Secret>,
    /// Whose envelopes are taken; none: one project with a key that is made up and kept in the store's folder.
    pub projects: Vec<Project>,
}

/// A project, as DSNs name it.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The number at the end of a DSN.
    pub id: u64,
    /// The public key in a DSN.
    pub key: Secret,
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// Items of each kind that are taken in a minute; `None`: as many as come.
    pub items_per_minute: Option<u32>,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 4141)), token: None, projects: Vec::new() }
    }
}

/// Where profiles are kept, and for how long.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// ClickHouse, as `clickhouse://user:password@host:port/database`; `None`: `folder`.
    pub url: Option<Secret>,
    /// Its folder; `None`: `store` in `shipping.spool`, or in [`crate::state_folder`].
    pub folder: Option<PathBuf>,
    /// How long profiles are kept.
    pub retention: Span,
    /// How much all files may take; the oldest goes first.
    pub retention_max: Bytes,
}

impl Default for Store {
    fn default() -> Self {
        // A busy process makes 15 MB an hour at most, a usual one one.
        Self { url: None, folder: None, retention: Span::from_secs(30 * 24 * 3600), retention_max: Bytes(20 << 30) }
    }
}

//! What can be set, as one documented tree with its defaults. `config.toml` beside it says the same to people; a test
//! compares the two. Where a value comes from is not known here: that is `resolve`.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use crate::units::{Bytes, Native, Rate, Secret, Span, States};

/// Everything that can be set.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How samples are taken.
    pub sampling: Sampling,
    /// How frames get their names.
    pub naming: Naming,
    /// What is said of programs that CPython runs.
    pub python: Python,
    /// What every chunk says.
    pub output: Output,
    /// Where chunks go.
    pub shipping: Shipping,
    /// Where envelopes are taken and the page is served.
    pub server: Server,
    /// Where profiles are kept.
    pub store: Store,
}

/// How samples are taken.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
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
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
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
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Python {
    /// Native frames: among the Python ones, not at all, or alone.
    pub native: Native,
    /// Keep frames of the interpreter that only show how it calls.
    pub keep_interpreter_frames: bool,
    /// The folder of the application's own sources; `None`: the target's working directory.
    pub project_root: Option<String>,
}

/// What every chunk says.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// Sentry's platform of the target; `None`: `rust` for a Rust program, `native` for any other.
    pub platform: Option<String>,
    /// Version of the target.
    pub release: Option<String>,
    /// Where the target is deployed.
    pub environment: Option<String>,
    /// Functions (not of Python), modules and paths that are the application's own; wins over `in_app_exclude`.
    pub in_app_include: Vec<String>,
    /// Functions, modules and paths that are not.
    pub in_app_exclude: Vec<String>,
}

/// Where chunks go.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shipping {
    /// Sentry project to ship to; `None`: chunks go into `store`, and a page shows them.
    pub dsn: Option<Secret>,
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
            dsn: None,
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
#[derive(Clone, PartialEq, Debug, Deserialize)]
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
#[derive(Clone, PartialEq, Debug, Deserialize)]
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
#[derive(Clone, PartialEq, Debug, Deserialize)]
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

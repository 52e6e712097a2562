//! What can be set, as one documented tree with its defaults. `config.toml` beside it says the same to people; a test
//! compares the two. Where a value comes from is not known here: that is `resolve`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::units::{Bytes, Rate, Secret, Span};

/// Everything that can be set.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How samples are taken.
    pub sampling: Sampling,
    /// How frames get their names.
    pub naming: Naming,
    /// What every chunk says.
    pub output: Output,
    /// Where chunks go.
    pub shipping: Shipping,
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
    /// Functions, modules and paths that are the application's own; wins over `in_app_exclude`.
    pub in_app_include: Vec<String>,
    /// Functions, modules and paths that are not.
    pub in_app_exclude: Vec<String>,
}

/// Where chunks go.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shipping {
    /// Sentry project to ship to; `None`: chunks are kept in a local folder.
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

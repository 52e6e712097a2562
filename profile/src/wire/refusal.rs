//! Why something that came over the wire is not taken, in Relay's words where it has some.

use std::fmt;

use super::limits::{ITEM_BYTES_MAX, SPAN_MAX};

/// Why a receiver refuses an item, or a part of it.
#[derive(Clone, PartialEq, Debug)]
pub enum Refusal {
    /// Not the JSON of a profile that it reads.
    InvalidJson(String),
    /// No version, or the one of another format.
    PlatformNotSupported,
    /// More bytes than it takes.
    TooLarge(usize),
    /// More of something than we take. Relay counts bytes only.
    TooMany {
        /// `frames`, `stacks` ...
        what: &'static str,
        /// How many we take.
        max: usize,
    },
    /// The item header says another platform than the payload.
    InvalidProfileType {
        /// What the item header says.
        header: String,
        /// What the payload says.
        payload: String,
    },
    /// A binary part follows the JSON of a chunk: Perfetto, which we do not read.
    Compound,
    /// The client has no name or version: filtered as deprecated.
    DeprecatedSdk,
    /// A thread with fewer than two samples that are not idle: its samples are dropped.
    ThreadDropped(String),
    /// No thread is left.
    NotEnoughSamples,
    /// A sample refers to a stack that is not there.
    MalformedSamples,
    /// A stack refers to a frame that is not there.
    MalformedStacks,
    /// More seconds from the first sample to the last than it takes.
    TooLong {
        /// From the first to the last.
        seconds: f64,
        /// What it takes.
        max: f64,
    },
    /// A profile of format v1 that does not say to which transaction it belongs.
    NoTransaction,
    /// One whose transaction has no name, id or trace.
    InvalidTransactionMetadata(&'static str),
    /// A transaction or span that is JSON, but lacks something.
    InvalidTransaction(String),
    /// A transaction or a container of spans that is none.
    NotJson(String),
}

impl Refusal {
    /// The outcome under which Sentry counts it; `None` where only a part is dropped, without outcome.
    pub fn outcome(&self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidJson(_) => "profiling_invalid_json",
            Self::PlatformNotSupported => "profiling_platform_not_supported",
            Self::TooLarge(_) | Self::TooMany { .. } => "profiling_exceed_size_limit",
            Self::InvalidProfileType { .. } => "profiling_invalid_profile_type",
            Self::Compound => "profiling_invalid_sampled_profile",
            Self::DeprecatedSdk => "deprecated sdk",
            Self::ThreadDropped(_) => return None,
            Self::NotEnoughSamples => "profiling_not_enough_samples",
            Self::MalformedSamples => "profiling_malformed_samples",
            Self::MalformedStacks => "profiling_malformed_stacks",
            Self::TooLong { .. } => "profiling_duration_is_too_long",
            Self::NoTransaction => "profiling_no_transaction_associated",
            Self::InvalidTransactionMetadata(_) => "profiling_invalid_transaction_metadata",
            Self::InvalidTransaction(_) => "invalid_transaction",
            Self::NotJson(_) => "invalid_json",
        })
    }

    /// A chunk that runs for too long.
    pub(super) fn too_long(seconds: f64) -> Self {
        Self::TooLong { seconds, max: SPAN_MAX }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidJson(why) => write!(f, "not a profile: {why}"),
            Self::PlatformNotSupported => f.write_str("version is missing, or another format's"),
            Self::TooLarge(bytes) => write!(f, "{bytes} bytes are more than {ITEM_BYTES_MAX}"),
            Self::TooMany { what, max } => write!(f, "there are more than {max} {what}"),
            Self::InvalidProfileType { header, payload } => {
                write!(f, "item header says platform {header:?}, payload {payload:?}")
            }
            Self::Compound => f.write_str("item header has a meta_length: a binary trace follows the JSON"),
            Self::DeprecatedSdk => f.write_str("client_sdk has no name or no version"),
            Self::ThreadDropped(thread) => write!(f, "thread {thread} has fewer than two samples that are not idle"),
            Self::NotEnoughSamples => f.write_str("no samples are left"),
            Self::MalformedSamples => f.write_str("a sample names a stack that is not there"),
            Self::MalformedStacks => f.write_str("a stack names a frame that is not there"),
            Self::TooLong { seconds, max } => write!(f, "{seconds} s are more than {max} s"),
            Self::NoTransaction => f.write_str("no transaction is named"),
            Self::InvalidTransactionMetadata(what) => write!(f, "transaction has no {what}"),
            Self::InvalidTransaction(why) => write!(f, "transaction is not valid: {why}"),
            Self::NotJson(why) => write!(f, "not the JSON of this item: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}

//! What a server is told: whose envelopes it takes, who may read, and how much of everything.

use std::time::Duration;

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose envelopes are taken. None: nobody's.
    pub projects: Vec<Project>,
    /// Who may read shows it, as `Authorization: Bearer TOKEN`. `None`: everybody on this machine may.
    pub token: Option<String>,
    /// How much of everything.
    pub limits: Limits,
}

/// A project, as DSNs name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The number at the end of a DSN.
    pub id: u64,
    /// The public key in a DSN: 32 hexadecimal digits.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// How many items of each kind are taken in a minute; `None`: as many as come.
    pub items_per_minute: Option<u32>,
}

/// How much is taken. The memory of a server is bounded by `bytes_in_flight` times two and a half (a quarter is for those whose
/// headers do not say who they are, and what is read of an item is there beside its text for a moment), and a few hundred bytes for each
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; for one more, the one that has been waiting for longest is closed.
    pub connections: usize,
    /// Bytes of all requests together, as they came and decompressed. Beyond it: 503. Those without credentials in their headers
    /// have a quarter as much beside it: nobody knows yet whether they may send at all.
    pub bytes_in_flight: usize,
    /// Bytes of a request, compressed.
    pub compressed_bytes: usize,
    /// Bytes of an envelope.
    pub envelope_bytes: usize,
    /// Time for a request's headers, and for an idle connection.
    pub header_time: Duration,
    /// Time between two pieces of a body.
    pub body_pause: Duration,
    /// Time for a whole body.
    pub body_time: Duration,
    /// Time in which a client takes something of its answer.
    pub reader_time: Duration,
    /// Time for requests that are running when the server stops.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            // The largest envelope, compressed and not, twice.
            bytes_in_flight: 512 << 20,
            // Sentry's own edge takes 20 MB.
            compressed_bytes: 100 << 20,
            envelope_bytes: profile::wire::envelope::BYTES_MAX,
            // SDKs send headers in one piece.
            header_time: Duration::from_secs(15),
            body_pause: Duration::from_secs(10),
            // 100 MB at 1.6 MB/s.
            body_time: Duration::from_mins(1),
            reader_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// No projects, no token, default limits.
    pub fn new(projects: Vec<Project>) -> Self {
        Self { projects, token: None, limits: Limits::default() }
    }
}

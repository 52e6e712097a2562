//! What can be set about shipping, with its defaults.

use std::{path::PathBuf, time::Duration};

use profile::session::ClientSdk;

use super::{
    dsn::Dsn,
    journal,
    spool::{self, Bounds},
};

/// How and where chunks are shipped.
#[derive(Clone, Debug)]
pub struct ShipSettings {
    /// To whom.
    pub dsn: Dsn,
    /// Where chunks wait: a folder for each DSN is made in it.
    pub spool: PathBuf,
    /// Where the journals are of which waiting chunks tell.
    pub journals: Option<PathBuf>,
    /// How much may wait.
    pub bounds: Bounds,
    /// Who we say we are.
    pub client: ClientSdk,
    /// Rate limits up to this long are waited out; longer ones discard chunks and pause the sampling.
    pub wait_out_max: Duration,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// From the first byte to the last byte of the answer.
    pub request_timeout: Duration,
    /// The first wait after a failure; it doubles each time. What is waited is a random part of it, so that a fleet
    /// doesn't come back in step.
    pub backoff_first: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// Between two envelopes while a backlog is sent: what the protocol asks for.
    pub pace: Duration,
    /// How often the folder is looked at for chunks that other agents left.
    pub look_every: Duration,
    /// Whether to tell the server what was thrown away here.
    pub client_reports: bool,
    /// How long a report waits for a chunk to ride along with.
    pub report_after: Duration,
}

impl ShipSettings {
    /// The defaults.
    pub fn new(dsn: Dsn, spool: PathBuf) -> Self {
        Self {
            dsn,
            spool,
            journals: None,
            // A quiet process makes 70 kB a minute, a busy one some MB: hours to days without a network.
            bounds: Bounds { bytes: 512 << 20, age: Duration::from_hours(168), refused_bytes: 64 << 20 },
            client: ClientSdk::default(),
            wait_out_max: Duration::from_mins(5),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_mins(1),
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_mins(1),
            pace: Duration::from_millis(100),
            look_every: Duration::from_secs(10),
            client_reports: true,
            report_after: Duration::from_mins(1),
        }
    }

    /// `name/version`.
    pub fn client_name(&self) -> String {
        format!("{}/{}", self.client.name, self.client.version)
    }

    /// Whether chunks wait for this DSN, or journals that chunks are to be built from.
    pub fn is_left(&self) -> bool {
        spool::any(&self.folder()) || self.journals.as_deref().is_some_and(journal::any)
    }

    /// The folder in which this DSN's chunks wait.
    pub fn folder(&self) -> PathBuf {
        self.spool.join(self.dsn.folder_name())
    }
}

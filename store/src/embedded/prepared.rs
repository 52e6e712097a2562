//! A batch as the writer gets it: encoded by the thread that brings it, so that the writer does nothing but write.

use profile::received::{Head, Received, Span, Transaction};
use serde::{Deserialize, Serialize};

use crate::{
    chunk_store::{Sections, StoreError},
    encoding::Plain,
    item::{Batch, ProjectId, Refused},
};

/// A batch, encoded.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) profiles: Vec<PreparedProfile>,
    pub(super) transactions: Vec<(ProjectId, Transaction, String)>,
    pub(super) spans: Vec<(ProjectId, Span, String)>,
    pub(super) refused: Vec<(ProjectId, String)>,
}

/// A profile, encoded.
#[derive(Debug)]
pub(super) struct PreparedProfile {
    pub(super) project: ProjectId,
    pub(super) head: Head,
    pub(super) head_json: String,
    pub(super) identity: String,
    pub(super) sections: Sections,
    pub(super) threads: u32,
    pub(super) samples: u64,
    pub(super) rate_hz: f64,
}

/// What a session is told from others by, beside its profiler id. Kept as JSON: a field more is no new format.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Identity {
    pub(super) platform: String,
    pub(super) environment: Option<String>,
    pub(super) release: Option<String>,
    pub(super) sdk: (String, String),
    pub(super) host: Option<String>,
    pub(super) pid: Option<i32>,
    pub(super) executable: Option<String>,
}

impl Identity {
    fn of(head: &Head) -> Self {
        Self {
            platform: head.platform.clone(),
            environment: head.environment.clone(),
            release: head.release.clone(),
            sdk: head.sdk.clone(),
            host: head.agent.as_ref().and_then(|agent| agent.host.clone()),
            pid: head.agent.as_ref().map(|agent| agent.pid),
            executable: head.agent.as_ref().and_then(|agent| agent.executable.clone()),
        }
    }
}

impl Prepared {
    /// Encodes a batch; all of it or none.
    pub(super) fn of(batch: Batch) -> Result<Self, StoreError> {
        let profiles = batch.profiles.into_iter().map(|(project, received)| PreparedProfile::of(project, &received));
        Ok(Self {
            profiles: profiles.collect::<Result<_, _>>()?,
            transactions: with_json(batch.transactions)?,
            spans: with_json(batch.spans)?,
            refused: batch.refused.iter().map(refused).collect::<Result<_, _>>()?,
        })
    }
}

impl PreparedProfile {
    fn of(project: ProjectId, received: &Received) -> Result<Self, StoreError> {
        let plain = Plain::of(received);
        let sections = plain.encode().ok_or_else(|| StoreError::TooLarge(received.head.chunk_id.to_string()))?;
        Ok(Self {
            project,
            head: received.head.clone(),
            head_json: json(&received.head)?,
            identity: json(&Identity::of(&received.head))?,
            sections,
            threads: u32::try_from(received.threads.len()).unwrap_or(u32::MAX),
            samples: plain.timeline.samples(),
            rate_hz: plain.rate_hz(&received.head),
        })
    }
}

fn with_json<T: Serialize>(items: Vec<(ProjectId, T)>) -> Result<Vec<(ProjectId, T, String)>, StoreError> {
    items.into_iter().map(|(project, item)| json(&item).map(|text| (project, item, text))).collect()
}

fn refused(refused: &Refused) -> Result<(ProjectId, String), StoreError> {
    Ok((refused.project, json(refused)?))
}

/// Fails for nothing that we keep.
fn json<T: Serialize>(item: &T) -> Result<String, StoreError> {
    serde_json::to_string(item)
        .map_err(|source| StoreError::Database { what: "write an item as JSON".to_owned(), source: Box::new(source) })
}

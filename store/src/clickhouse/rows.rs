//! Rows as the tables have them, and how ours become such.

use clickhouse::Row;
use profile::received::{Received, Span, Transaction};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sql::{column, us};
use crate::{
    chunk_store::{Sections, StoreError},
    encoding::Plain,
    item::{ProjectId, Refused},
};

/// A profile.
#[derive(Clone, PartialEq, Debug, Row, Serialize, Deserialize)]
pub(super) struct ProfileRow {
    pub(super) project_id: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) profiler_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) chunk_id: Uuid,
    pub(super) start_timestamp: i64,
    pub(super) end_timestamp: i64,
    pub(super) received: i64,
    pub(super) environment: Option<String>,
    pub(super) release: Option<String>,
    pub(super) platform: String,
    pub(super) sdk_name: String,
    pub(super) sdk_version: String,
    pub(super) host: Option<String>,
    pub(super) pid: Option<i32>,
    pub(super) executable: Option<String>,
    pub(super) threads: u32,
    pub(super) samples: u64,
    pub(super) bytes: u64,
    pub(super) rate_hz: f64,
    pub(super) retention_days: u16,
    pub(super) head: String,
    #[serde(with = "serde_bytes")]
    pub(super) symbols: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(super) aggregate: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(super) timeline: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(super) measurements: Vec<u8>,
}

/// A transaction.
#[derive(Clone, PartialEq, Debug, Row, Serialize, Deserialize)]
pub(super) struct TransactionRow {
    pub(super) project_id: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) event_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) trace_id: Uuid,
    pub(super) span_id: u64,
    pub(super) name: String,
    pub(super) op: Option<String>,
    pub(super) status: Option<String>,
    pub(super) start_timestamp: i64,
    pub(super) end_timestamp: i64,
    pub(super) platform: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) release: Option<String>,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub(super) profiler_id: Option<Uuid>,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub(super) profile_id: Option<Uuid>,
    pub(super) thread_id: Option<String>,
    pub(super) thread_name: Option<String>,
    pub(super) received: i64,
    pub(super) retention_days: u16,
}

/// A span.
#[derive(Clone, PartialEq, Debug, Row, Serialize, Deserialize)]
pub(super) struct SpanRow {
    pub(super) project_id: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) trace_id: Uuid,
    pub(super) span_id: u64,
    pub(super) parent_id: Option<u64>,
    pub(super) segment_id: Option<u64>,
    pub(super) op: Option<String>,
    pub(super) description: Option<String>,
    pub(super) status: Option<String>,
    pub(super) start_timestamp: i64,
    pub(super) end_timestamp: i64,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub(super) profiler_id: Option<Uuid>,
    pub(super) thread_id: Option<String>,
    pub(super) received: i64,
    pub(super) retention_days: u16,
}

/// Something that was refused.
#[derive(Clone, PartialEq, Debug, Row, Serialize, Deserialize)]
pub(super) struct RefusedRow {
    pub(super) project_id: u64,
    pub(super) at: i64,
    pub(super) item: String,
    pub(super) reason: String,
    pub(super) detail: String,
    pub(super) client: String,
    pub(super) head: String,
    pub(super) bytes: u64,
}

/// A row whose partition is a day.
pub(super) trait OfDay {
    /// Which: days since 1970.
    fn day(&self) -> i64;
}

impl OfDay for ProfileRow {
    fn day(&self) -> i64 {
        day(self.start_timestamp)
    }
}

impl OfDay for TransactionRow {
    fn day(&self) -> i64 {
        day(self.start_timestamp)
    }
}

impl OfDay for SpanRow {
    fn day(&self) -> i64 {
        day(self.start_timestamp)
    }
}

impl OfDay for RefusedRow {
    fn day(&self) -> i64 {
        day(self.at)
    }
}

fn day(column: i64) -> i64 {
    column.div_euclid(86_400_000_000)
}

impl ProfileRow {
    /// Encodes a profile: the expensive part of keeping it.
    pub(super) fn new(
        project: ProjectId,
        it: &Received,
        received_us: u64,
        retention_days: u16,
    ) -> Result<Self, StoreError> {
        let head = &it.head;
        let too_large = || StoreError::TooLarge(format!("{} of session {}", head.chunk_id, head.profiler_id));
        let plain = Plain::of(it);
        let Sections { symbols, aggregate, timeline, measurements } = plain.encode().ok_or_else(too_large)?;
        let json = serde_json::to_string(head).map_err(|source| StoreError::Database {
            what: "write the head of a profile as JSON".to_owned(),
            source: Box::new(source),
        })?;
        let bytes = symbols.len() + aggregate.len() + timeline.len() + measurements.len() + json.len();
        let agent = head.agent.as_ref();
        Ok(Self {
            project_id: project.0,
            profiler_id: head.profiler_id,
            chunk_id: head.chunk_id,
            start_timestamp: column(head.start_us),
            end_timestamp: column(head.end_us),
            received: column(received_us),
            environment: head.environment.clone(),
            release: head.release.clone(),
            platform: head.platform.clone(),
            sdk_name: head.sdk.0.clone(),
            sdk_version: head.sdk.1.clone(),
            host: agent.and_then(|agent| agent.host.clone()),
            pid: agent.map(|agent| agent.pid),
            executable: agent.and_then(|agent| agent.executable.clone()),
            threads: u32::try_from(it.threads.len()).unwrap_or(u32::MAX),
            samples: plain.timeline.samples(),
            bytes: bytes as u64,
            rate_hz: plain.rate_hz(head),
            retention_days,
            head: json,
            symbols,
            aggregate,
            timeline,
            measurements,
        })
    }
}

impl TransactionRow {
    pub(super) fn new(project: ProjectId, it: Transaction, received_us: u64, retention_days: u16) -> Self {
        Self {
            project_id: project.0,
            event_id: it.event_id,
            trace_id: it.trace_id,
            span_id: it.span_id,
            name: it.name,
            op: it.op,
            status: it.status,
            start_timestamp: column(it.start_us),
            end_timestamp: column(it.end_us),
            platform: it.platform,
            environment: it.environment,
            release: it.release,
            profiler_id: it.profiler_id,
            profile_id: it.profile_id,
            thread_id: it.thread_id,
            thread_name: it.thread_name,
            received: column(received_us),
            retention_days,
        }
    }
}

impl From<TransactionRow> for Transaction {
    fn from(row: TransactionRow) -> Self {
        Self {
            event_id: row.event_id,
            trace_id: row.trace_id,
            span_id: row.span_id,
            name: row.name,
            op: row.op,
            status: row.status,
            start_us: us(row.start_timestamp),
            end_us: us(row.end_timestamp),
            platform: row.platform,
            environment: row.environment,
            release: row.release,
            profiler_id: row.profiler_id,
            profile_id: row.profile_id,
            thread_id: row.thread_id,
            thread_name: row.thread_name,
        }
    }
}

impl SpanRow {
    pub(super) fn new(project: ProjectId, it: Span, received_us: u64, retention_days: u16) -> Self {
        Self {
            project_id: project.0,
            trace_id: it.trace_id,
            span_id: it.span_id,
            parent_id: it.parent_id,
            segment_id: it.segment_id,
            op: it.op,
            description: it.description,
            status: it.status,
            start_timestamp: column(it.start_us),
            end_timestamp: column(it.end_us),
            profiler_id: it.profiler_id,
            thread_id: it.thread_id,
            received: column(received_us),
            retention_days,
        }
    }
}

impl From<SpanRow> for Span {
    fn from(row: SpanRow) -> Self {
        Self {
            trace_id: row.trace_id,
            span_id: row.span_id,
            parent_id: row.parent_id,
            segment_id: row.segment_id,
            op: row.op,
            description: row.description,
            status: row.status,
            start_us: us(row.start_timestamp),
            end_us: us(row.end_timestamp),
            profiler_id: row.profiler_id,
            thread_id: row.thread_id,
        }
    }
}

impl From<Refused> for RefusedRow {
    fn from(it: Refused) -> Self {
        Self {
            project_id: it.project.0,
            at: column(it.at_us),
            item: it.item,
            reason: it.reason,
            detail: it.detail,
            client: it.client,
            head: it.head,
            bytes: it.bytes,
        }
    }
}

impl From<RefusedRow> for Refused {
    fn from(row: RefusedRow) -> Self {
        Self {
            project: ProjectId(row.project_id),
            at_us: us(row.at),
            item: row.item,
            reason: row.reason,
            detail: row.detail,
            client: row.client,
            head: row.head,
            bytes: row.bytes,
        }
    }
}

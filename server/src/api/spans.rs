//! Transactions and spans as they are answered: their ids are text, since a browser's numbers do not hold 64 bits.

use profile::received::{Span, Transaction};
use serde::{Serialize, Serializer};
use store::item::ByState;
use uuid::Uuid;

/// Sixteen hexadecimal digits, as Sentry writes the ids of spans.
struct SpanId(u64);

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:016x}", self.0))
    }
}

/// A transaction.
#[derive(Serialize)]
pub(super) struct TransactionOf<'a> {
    event_id: Uuid,
    trace_id: Uuid,
    span_id: SpanId,
    name: &'a str,
    op: Option<&'a str>,
    status: Option<&'a str>,
    start_us: u64,
    end_us: u64,
    platform: Option<&'a str>,
    environment: Option<&'a str>,
    release: Option<&'a str>,
    profiler_id: Option<Uuid>,
    profile_id: Option<Uuid>,
    thread_id: Option<&'a str>,
    thread_name: Option<&'a str>,
}

impl<'a> TransactionOf<'a> {
    pub(super) fn of(of: &'a Transaction) -> Self {
        Self {
            event_id: of.event_id,
            trace_id: of.trace_id,
            span_id: SpanId(of.span_id),
            name: &of.name,
            op: of.op.as_deref(),
            status: of.status.as_deref(),
            start_us: of.start_us,
            end_us: of.end_us,
            platform: of.platform.as_deref(),
            environment: of.environment.as_deref(),
            release: of.release.as_deref(),
            profiler_id: of.profiler_id,
            profile_id: of.profile_id,
            thread_id: of.thread_id.as_deref(),
            thread_name: of.thread_name.as_deref(),
        }
    }
}

/// A transaction in a list.
#[derive(Serialize)]
pub(super) struct TransactionJson<'a> {
    transaction: TransactionOf<'a>,
    has_profile: bool,
    /// What its thread did, where that was asked for and a profile says it.
    pub(super) states_us: Option<ByState>,
    /// The samples that say it.
    pub(super) samples: Option<u64>,
}

impl<'a> TransactionJson<'a> {
    pub(super) fn of((transaction, has_profile): &'a (Transaction, bool)) -> Self {
        Self { transaction: TransactionOf::of(transaction), has_profile: *has_profile, states_us: None, samples: None }
    }
}

/// A list of transactions.
#[derive(Serialize)]
pub(super) struct TransactionsJson<'a> {
    pub(super) transactions: Vec<TransactionJson<'a>>,
    pub(super) more: bool,
}

/// A span.
#[derive(Serialize)]
pub(super) struct SpanJson<'a> {
    trace_id: Uuid,
    span_id: SpanId,
    parent_id: Option<SpanId>,
    segment_id: Option<SpanId>,
    op: Option<&'a str>,
    description: Option<&'a str>,
    status: Option<&'a str>,
    start_us: u64,
    end_us: u64,
    profiler_id: Option<Uuid>,
    thread_id: Option<&'a str>,
}

impl<'a> SpanJson<'a> {
    pub(super) fn of(of: &'a Span) -> Self {
        Self {
            trace_id: of.trace_id,
            span_id: SpanId(of.span_id),
            parent_id: of.parent_id.map(SpanId),
            segment_id: of.segment_id.map(SpanId),
            op: of.op.as_deref(),
            description: of.description.as_deref(),
            status: of.status.as_deref(),
            start_us: of.start_us,
            end_us: of.end_us,
            profiler_id: of.profiler_id,
            thread_id: of.thread_id.as_deref(),
        }
    }
}

//! A `transaction` and its spans: what a request did, and which profile and thread hold it.

use serde::Deserialize;
use uuid::Uuid;

use super::{
    text::{Scalar, Text, span_id, uuid},
    time,
};
use crate::{
    received::{Span, Transaction},
    wire::{
        limits::{ITEM_BYTES_MAX, SPANS_MAX},
        refusal::Refusal,
    },
};

/// What Relay calls a transaction without a name.
const NAMELESS: &str = "<unlabeled transaction>";

/// A transaction that was taken.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// It.
    pub transaction: Transaction,
    /// Its spans; the first is its root.
    pub spans: Vec<Span>,
    /// Who sent it: name and version.
    pub sdk: (String, String),
    /// Spans that lacked an id or a time, or were too many.
    pub spans_dropped: usize,
}

/// Reads a transaction. `event_id` is what the envelope's header says, if it does.
pub fn transaction(payload: &[u8], event_id: Option<Uuid>) -> Result<Event, Refusal> {
    if payload.len() > ITEM_BYTES_MAX {
        return Err(Refusal::TooLarge(payload.len()));
    }
    let text = std::str::from_utf8(payload).map_err(|error| Refusal::NotJson(error.to_string()))?;
    let wire = serde_json::from_str::<Wire<'_>>(text).map_err(|error| Refusal::NotJson(error.to_string()))?;
    let transaction = wire.transaction(event_id)?;
    let root = wire.root(&transaction);
    let all = wire.spans.unwrap_or_default();
    let many = all.len();
    let children = all.iter().take(SPANS_MAX).filter_map(|span| span.received(&transaction));
    let spans: Vec<Span> = std::iter::once(root).chain(children).collect();
    let spans_dropped = many + 1 - spans.len();
    let sdk = wire.sdk.map(|sdk| (sdk.name.owned(), sdk.version.owned())).unwrap_or_default();
    Ok(Event { transaction, spans, sdk, spans_dropped })
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, borrow)]
    event_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    transaction: Option<Text<'a>>,
    #[serde(default, borrow)]
    start_timestamp: Option<Scalar<'a>>,
    #[serde(default, borrow)]
    timestamp: Option<Scalar<'a>>,
    #[serde(default, borrow)]
    platform: Option<Text<'a>>,
    #[serde(default, borrow)]
    release: Option<Text<'a>>,
    #[serde(default, borrow)]
    environment: Option<Text<'a>>,
    #[serde(default, borrow)]
    contexts: Option<Contexts<'a>>,
    #[serde(default, borrow)]
    spans: Option<Vec<Child<'a>>>,
    #[serde(default, borrow)]
    sdk: Option<Sdk<'a>>,
}

#[derive(Deserialize)]
struct Sdk<'a> {
    #[serde(default, borrow)]
    name: Text<'a>,
    #[serde(default, borrow)]
    version: Text<'a>,
}

#[derive(Deserialize, Default)]
struct Contexts<'a> {
    #[serde(default, borrow)]
    trace: Option<Child<'a>>,
    #[serde(default, borrow)]
    profile: Option<ProfileContext<'a>>,
}

#[derive(Deserialize)]
struct ProfileContext<'a> {
    #[serde(default, borrow)]
    profiler_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    profile_id: Option<Text<'a>>,
}

/// A span of a transaction; the trace context is one without times.
#[derive(Deserialize)]
struct Child<'a> {
    #[serde(default, borrow)]
    trace_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    span_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    parent_span_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    op: Option<Text<'a>>,
    #[serde(default, borrow)]
    description: Option<Text<'a>>,
    #[serde(default, borrow)]
    status: Option<Scalar<'a>>,
    #[serde(default, borrow)]
    start_timestamp: Option<Scalar<'a>>,
    #[serde(default, borrow)]
    timestamp: Option<Scalar<'a>>,
    #[serde(default, borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize, Default)]
struct Data<'a> {
    #[serde(default, rename = "thread.id", borrow)]
    thread_id: Option<Scalar<'a>>,
    #[serde(default, rename = "thread.name", borrow)]
    thread_name: Option<Text<'a>>,
    #[serde(default, borrow)]
    profiler_id: Option<Text<'a>>,
}

impl Wire<'_> {
    fn transaction(&self, event_id: Option<Uuid>) -> Result<Transaction, Refusal> {
        let lacks = |what: &str| Refusal::InvalidTransaction(format!("{what} is missing or none"));
        let contexts = self.contexts.as_ref();
        let trace = contexts.and_then(|contexts| contexts.trace.as_ref()).ok_or_else(|| lacks("contexts.trace"))?;
        let profile = contexts.and_then(|contexts| contexts.profile.as_ref());
        let profile_of = |id: fn(&ProfileContext<'_>) -> Option<Uuid>| profile.and_then(id);
        let start_us = self.start_timestamp.as_ref().and_then(time::micros).ok_or_else(|| lacks("start_timestamp"))?;
        let end_us = self.timestamp.as_ref().and_then(time::micros).ok_or_else(|| lacks("timestamp"))?;
        if end_us < start_us {
            return Err(Refusal::InvalidTransaction("it ends before it starts".to_owned()));
        }
        let data = trace.data.as_ref();
        let own_id = self.event_id.as_ref().and_then(|id| uuid(&id.0));
        Ok(Transaction {
            event_id: own_id.or(event_id).ok_or_else(|| lacks("event_id"))?,
            trace_id: trace.trace_id().ok_or_else(|| lacks("trace_id"))?,
            span_id: trace.span_id().ok_or_else(|| lacks("span_id"))?,
            name: self.transaction.as_ref().and_then(Text::some).unwrap_or_else(|| NAMELESS.to_owned()),
            op: trace.op.as_ref().and_then(Text::some),
            status: trace.status(),
            start_us,
            end_us,
            platform: self.platform.as_ref().and_then(Text::some),
            environment: self.environment.as_ref().and_then(Text::some),
            release: self.release.as_ref().and_then(Text::some),
            profiler_id: profile_of(|profile| profile.profiler_id.as_ref().and_then(|id| uuid(&id.0)))
                .or_else(|| trace.profiler_id()),
            profile_id: profile_of(|profile| profile.profile_id.as_ref().and_then(|id| uuid(&id.0))),
            thread_id: trace.thread_id(),
            thread_name: data.and_then(|data| data.thread_name.as_ref()).and_then(Text::some),
        })
    }

    fn root(&self, of: &Transaction) -> Span {
        let trace = self.contexts.as_ref().and_then(|contexts| contexts.trace.as_ref());
        Span {
            trace_id: of.trace_id,
            span_id: of.span_id,
            parent_id: trace.and_then(Child::parent_id),
            segment_id: Some(of.span_id),
            op: of.op.clone(),
            description: Some(of.name.clone()),
            status: of.status.clone(),
            start_us: of.start_us,
            end_us: of.end_us,
            profiler_id: of.profiler_id,
            thread_id: of.thread_id.clone(),
        }
    }
}

impl Child<'_> {
    /// `None`: it lacks what makes a span.
    fn received(&self, of: &Transaction) -> Option<Span> {
        let start_us = self.start_timestamp.as_ref().and_then(time::micros)?;
        let end_us = self.timestamp.as_ref().and_then(time::micros).filter(|end| *end >= start_us)?;
        Some(Span {
            trace_id: self.trace_id().unwrap_or(of.trace_id),
            span_id: self.span_id()?,
            parent_id: self.parent_id(),
            segment_id: Some(of.span_id),
            op: self.op.as_ref().and_then(Text::some),
            description: self.description.as_ref().and_then(Text::some),
            status: self.status(),
            start_us,
            end_us,
            profiler_id: self.profiler_id().or(of.profiler_id),
            thread_id: self.thread_id(),
        })
    }

    fn trace_id(&self) -> Option<Uuid> {
        self.trace_id.as_ref().and_then(|id| uuid(&id.0))
    }

    fn span_id(&self) -> Option<u64> {
        self.span_id.as_ref().and_then(|id| span_id(&id.0))
    }

    fn parent_id(&self) -> Option<u64> {
        self.parent_span_id.as_ref().and_then(|id| span_id(&id.0))
    }

    fn status(&self) -> Option<String> {
        self.status.as_ref().and_then(Scalar::text)
    }

    fn thread_id(&self) -> Option<String> {
        self.data.as_ref().and_then(|data| data.thread_id.as_ref()).and_then(Scalar::text)
    }

    fn profiler_id(&self) -> Option<Uuid> {
        self.data.as_ref().and_then(|data| data.profiler_id.as_ref()).and_then(|id| uuid(&id.0))
    }
}

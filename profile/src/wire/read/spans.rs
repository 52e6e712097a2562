//! A container of spans, `application/vnd.sentry.items.span.v2+json`: how SDKs send them as they end. The span that begins a
//! segment stands for the transaction that is never sent then.

use std::collections::HashMap;

use serde::Deserialize;
use uuid::Uuid;

use super::{
    Spans,
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

/// Reads a container.
pub fn spans(payload: &[u8]) -> Result<Spans, Refusal> {
    if payload.len() > ITEM_BYTES_MAX {
        return Err(Refusal::TooLarge(payload.len()));
    }
    let text = std::str::from_utf8(payload).map_err(|error| Refusal::NotJson(error.to_string()))?;
    let wire = serde_json::from_str::<Wire<'_>>(text).map_err(|error| Refusal::NotJson(error.to_string()))?;
    let mut taken = Spans::default();
    for item in &wire.items {
        match item.received().filter(|_| taken.spans.len() < SPANS_MAX) {
            Some(span) => {
                taken.transactions.extend(item.is_segment.unwrap_or_default().then(|| item.transaction(&span)));
                taken.spans.push(span);
            }
            None => taken.spans_dropped += 1,
        }
    }
    inherit(&mut taken);
    Ok(taken)
}

/// A span that does not say whose profile holds it has that of its segment, if that is here.
fn inherit(taken: &mut Spans) {
    let segments: HashMap<(Uuid, u64), Uuid> = taken
        .transactions
        .iter()
        .filter_map(|segment| Some(((segment.trace_id, segment.span_id), segment.profiler_id?)))
        .collect();
    for span in taken.spans.iter_mut().filter(|span| span.profiler_id.is_none()) {
        span.profiler_id = span.segment_id.and_then(|id| segments.get(&(span.trace_id, id)).copied());
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(default, borrow)]
    trace_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    span_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    parent_span_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    name: Option<Text<'a>>,
    #[serde(default, borrow)]
    status: Option<Scalar<'a>>,
    #[serde(default)]
    is_segment: Option<bool>,
    #[serde(default, borrow)]
    start_timestamp: Option<Scalar<'a>>,
    #[serde(default, borrow)]
    end_timestamp: Option<Scalar<'a>>,
    #[serde(default, borrow)]
    attributes: Option<Attributes<'a>>,
}

/// The attributes that are read, of dozens.
#[derive(Deserialize, Default)]
struct Attributes<'a> {
    #[serde(default, rename = "sentry.op", borrow)]
    op: Option<Attribute<'a>>,
    #[serde(default, rename = "sentry.description", borrow)]
    description: Option<Attribute<'a>>,
    #[serde(default, rename = "sentry.segment.id", borrow)]
    segment_id: Option<Attribute<'a>>,
    #[serde(default, rename = "sentry.segment.name", borrow)]
    segment_name: Option<Attribute<'a>>,
    #[serde(default, rename = "sentry.profiler_id", borrow)]
    profiler_id: Option<Attribute<'a>>,
    #[serde(default, rename = "sentry.environment", borrow)]
    environment: Option<Attribute<'a>>,
    #[serde(default, rename = "sentry.release", borrow)]
    release: Option<Attribute<'a>>,
    #[serde(default, rename = "sentry.platform", borrow)]
    platform: Option<Attribute<'a>>,
    #[serde(default, rename = "sentry.sdk.name", borrow)]
    sdk: Option<Attribute<'a>>,
    #[serde(default, rename = "thread.id", borrow)]
    thread_id: Option<Attribute<'a>>,
    #[serde(default, rename = "thread.name", borrow)]
    thread_name: Option<Attribute<'a>>,
}

/// `{"value": ..., "type": ...}`, of which the value counts.
#[derive(Deserialize)]
struct Attribute<'a> {
    #[serde(default, borrow)]
    value: Option<Scalar<'a>>,
}

fn text(attribute: Option<&Attribute<'_>>) -> Option<String> {
    attribute?.value.as_ref()?.text()
}

impl Item<'_> {
    /// `None`: it lacks what makes a span.
    fn received(&self) -> Option<Span> {
        let none = Attributes::default();
        let said = self.attributes.as_ref().unwrap_or(&none);
        let start_us = self.start_timestamp.as_ref().and_then(time::micros)?;
        let end_us = self.end_timestamp.as_ref().and_then(time::micros).filter(|end| *end >= start_us)?;
        let id = span_id(&self.span_id.as_ref()?.0)?;
        let is_segment = self.is_segment.unwrap_or_default();
        let segment_id = text(said.segment_id.as_ref()).and_then(|id| span_id(&id));
        Some(Span {
            trace_id: self.trace_id.as_ref().and_then(|id| uuid(&id.0))?,
            span_id: id,
            parent_id: self.parent_span_id.as_ref().and_then(|id| span_id(&id.0)),
            segment_id: if is_segment { Some(id) } else { segment_id },
            op: text(said.op.as_ref()),
            description: text(said.description.as_ref()).or_else(|| self.name.as_ref().and_then(Text::some)),
            status: self.status.as_ref().and_then(Scalar::text),
            start_us,
            end_us,
            profiler_id: text(said.profiler_id.as_ref()).and_then(|id| uuid(&id)),
            thread_id: text(said.thread_id.as_ref()),
        })
    }

    fn transaction(&self, span: &Span) -> Transaction {
        let none = Attributes::default();
        let said = self.attributes.as_ref().unwrap_or(&none);
        let name = text(said.segment_name.as_ref()).or_else(|| self.name.as_ref().and_then(Text::some));
        Transaction {
            event_id: Uuid::from_u128(u128::from(span.span_id)),
            trace_id: span.trace_id,
            span_id: span.span_id,
            name: name.unwrap_or_default(),
            op: span.op.clone(),
            status: span.status.clone(),
            start_us: span.start_us,
            end_us: span.end_us,
            platform: text(said.platform.as_ref())
                .or_else(|| text(said.sdk.as_ref()).and_then(|sdk| platform_of(&sdk))),
            environment: text(said.environment.as_ref()),
            release: text(said.release.as_ref()),
            profiler_id: span.profiler_id,
            profile_id: None,
            thread_id: span.thread_id.clone(),
            thread_name: text(said.thread_name.as_ref()),
        }
    }
}

/// The platform by the SDK's name, where a span does not say it: `sentry.python.django`, `sentry.javascript.node`.
fn platform_of(sdk: &str) -> Option<String> {
    let mut parts = sdk.strip_prefix("sentry.")?.split('.');
    let platform = match (parts.next()?, parts.next()) {
        ("javascript", Some("node" | "bun" | "deno" | "nestjs" | "aws-serverless" | "google-cloud-serverless")) => {
            "node"
        }
        (language @ ("python" | "javascript" | "ruby" | "php" | "java" | "go" | "rust" | "cocoa" | "dotnet"), _) => {
            language
        }
        _ => return None,
    };
    Some(platform.to_owned())
}

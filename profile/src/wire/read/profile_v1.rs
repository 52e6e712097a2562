//! A `profile` of sample format v1: what one transaction did, up to 30 seconds. Python names the transaction in an array,
//! Node as an object.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    Taken, frames,
    frames::{Frames, Stacks, ThreadNames, invalid, text_of, versioned},
    measurements,
    samples::{self, Samples},
    text::{Scalar, Text},
    threads::{self, Lane},
    time,
};
use crate::{
    received::{Head, OfTransaction, Received},
    wire::{
        limits::{THREADS_MAX, V1_SPAN_MAX},
        refusal::Refusal,
    },
};

/// Later than any time there is: so that a sum does not overflow.
const NANOS_MAX: u64 = 1 << 62;

/// Reads a profile. `sdk` is who sent it, by the transaction beside it or the envelope: the format does not say.
pub fn profile(payload: &[u8], sdk: (String, String)) -> Result<Taken, Refusal> {
    let mut profile = parse(text_of(payload)?)?;
    let of = transaction(&mut profile)?;
    let start_us = time::from_text(&profile.timestamp.0)
        .ok_or_else(|| Refusal::InvalidJson(format!("{:?} is no time", profile.timestamp.owned())))?;
    let (lanes, threads_dropped) = judge(&profile.profile)?;
    let received = received(profile, lanes, of, start_us, sdk)?;
    Ok(Taken { received, threads_dropped })
}

fn parse(text: &str) -> Result<Profile<'_>, Refusal> {
    let (version, profile) = versioned(text, |profile: &Profile<'_>| profile.version.clone())?;
    match version.as_ref().map(|version| version.0.as_ref()) {
        Some("1") => profile.map_err(|error| invalid(&error)),
        _ => Err(Refusal::PlatformNotSupported),
    }
}

/// The transaction that it belongs to, as Relay wants it.
fn transaction(profile: &mut Profile<'_>) -> Result<OfTransaction, Refusal> {
    let first = profile.transactions.take().and_then(|all| all.into_iter().next());
    let of = profile.transaction.take().or(first).ok_or(Refusal::NoTransaction)?;
    let lacks = Refusal::InvalidTransactionMetadata;
    Ok(OfTransaction {
        event_id: Some(of.id).filter(|id| !id.is_nil()).ok_or(lacks("id"))?,
        trace_id: Some(of.trace_id).filter(|id| !id.is_nil()).ok_or(lacks("trace_id"))?,
        name: of.name.some().ok_or(lacks("name"))?,
        thread_id: of.active_thread_id.as_ref().and_then(Scalar::text),
    })
}

/// The rules after the parsing: the samples that are left of each thread, and how many threads are not.
fn judge(profile: &Inner<'_>) -> Result<(Vec<Lane>, usize), Refusal> {
    let Inner { samples, stacks, frames, .. } = profile;
    if samples.too_many {
        return Err(Refusal::TooMany { what: "threads", max: THREADS_MAX });
    }
    if let Some(refusal) = frames::too_many(frames, stacks) {
        return Err(refusal);
    }
    let is_idle: Vec<bool> = stacks.stacks.iter().map(Vec::is_empty).collect();
    let mut lanes = threads::lanes(&samples.samples, samples.threads.len());
    let mut dropped = 0;
    for lane in &mut lanes {
        trim(lane, &is_idle);
        if lane.samples.len() < 2 {
            dropped += 1;
            lane.samples = Vec::new();
        }
    }
    let (_, last) = threads::span(&lanes).ok_or(Refusal::NotEnoughSamples)?;
    if lanes.iter().flat_map(|lane| &lane.samples).any(|(_, stack)| *stack as usize >= is_idle.len()) {
        return Err(Refusal::MalformedSamples);
    }
    if !frames::well_formed(frames, stacks) {
        return Err(Refusal::MalformedStacks);
    }
    #[allow(clippy::cast_precision_loss, reason = "compared to 30 seconds")]
    let seconds = last as f64 / 1e9;
    if seconds > V1_SPAN_MAX {
        return Err(Refusal::TooLong { seconds, max: V1_SPAN_MAX });
    }
    Ok((lanes, dropped))
}

/// Takes idle samples off both ends.
fn trim(lane: &mut Lane, is_idle: &[bool]) {
    let busy = |(_, stack): &(u64, u32)| is_idle.get(*stack as usize) != Some(&true);
    let end = lane.samples.iter().rposition(busy).map_or(0, |last| last + 1);
    lane.samples.truncate(end);
    let start = lane.samples.iter().position(busy).unwrap_or(0);
    lane.samples.drain(..start);
}

fn received(
    profile: Profile<'_>,
    lanes: Vec<Lane>,
    of: OfTransaction,
    start_us: u64,
    sdk: (String, String),
) -> Result<Received, Refusal> {
    let at_us = |elapsed_ns: u64| start_us.saturating_add(elapsed_ns.min(NANOS_MAX) / 1000);
    let (first, last) = threads::span(&lanes).ok_or(Refusal::NotEnoughSamples)?;
    let measurements = match profile.measurements {
        Some(key) => measurements::of_profile(key, start_us)?,
        None => std::collections::BTreeMap::new(),
    };
    Ok(Received {
        head: Head {
            profiler_id: profile.profiler_id.filter(|id| !id.is_nil()).unwrap_or(profile.event_id),
            chunk_id: profile.event_id,
            start_us: at_us(first),
            end_us: at_us(last),
            platform: profile.platform.owned(),
            environment: profile.environment.as_ref().and_then(Text::some),
            release: profile.release.as_ref().and_then(Text::some),
            sdk,
            transaction: Some(of),
            agent: None,
        },
        frames: profile.profile.frames.frames,
        stacks: profile.profile.stacks.stacks,
        threads: threads::received(lanes, &profile.profile.samples.threads, &profile.profile.thread_metadata, at_us),
        states: Vec::new(),
        measurements,
    })
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "fields are here for the names and types that they must have, too")]
struct Profile<'a> {
    #[serde(default, borrow)]
    version: Option<Text<'a>>,
    #[serde(alias = "profile_id")]
    event_id: Uuid,
    #[serde(default)]
    profiler_id: Option<Uuid>,
    #[serde(borrow)]
    platform: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    device: serde::de::IgnoredAny,
    os: serde::de::IgnoredAny,
    #[serde(default, borrow)]
    release: Option<Text<'a>>,
    #[serde(default, borrow)]
    environment: Option<Text<'a>>,
    #[serde(default, borrow)]
    measurements: Option<&'a RawValue>,
    #[serde(default, borrow)]
    transaction: Option<Of<'a>>,
    #[serde(default, borrow)]
    transactions: Option<Vec<Of<'a>>>,
    #[serde(borrow)]
    profile: Inner<'a>,
}

#[derive(Deserialize)]
struct Of<'a> {
    id: Uuid,
    #[serde(default, borrow)]
    name: Text<'a>,
    trace_id: Uuid,
    #[serde(default, borrow)]
    active_thread_id: Option<Scalar<'a>>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow)]
    samples: Samples<'a, samples::V1>,
    stacks: Stacks,
    frames: Frames,
    #[serde(default, borrow)]
    thread_metadata: ThreadNames<'a>,
}

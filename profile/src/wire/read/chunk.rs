//! A `profile_chunk` of sample format v2, by Relay's rules in Relay's order.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    Taken, frames,
    frames::{Frames, Stacks, ThreadNames, invalid, text_of, versioned},
    lift::lift,
    measurements,
    own::Own,
    samples::{self, Samples},
    text::{Address, Text},
    threads::{self, Lane},
};
use crate::{
    received::{Head, Received},
    wire::{
        limits::{BUSY_MIN, SPAN_MAX, THREADS_MAX},
        refusal::Refusal,
    },
};

/// Reads a chunk. `platform` is what the item header says, if it does.
pub fn chunk(payload: &[u8], platform: Option<&str>) -> Result<Taken, Refusal> {
    let mut threads_dropped = 0;
    let received = chunk_noting(payload, platform, &mut |note| {
        threads_dropped += usize::from(matches!(note, Note::ThreadDropped(_)));
    })?;
    Ok(Taken { received, threads_dropped })
}

/// What is said of a chunk beside whether it is taken.
pub(crate) enum Note<'n> {
    /// Its client has no name or no version.
    DeprecatedSdk,
    /// A thread has too few samples that are not idle.
    ThreadDropped(&'n str),
}

/// The same, saying what is not quite right.
pub(crate) fn chunk_noting(
    payload: &[u8],
    platform: Option<&str>,
    note: &mut dyn FnMut(Note<'_>),
) -> Result<Received, Refusal> {
    let text = text_of(payload)?;
    let (rest, samples) = lift(text).unzip();
    let lowered = rest.as_deref().zip(samples).and_then(|(rest, samples)| lowered(rest, samples));
    let chunk = lowered.map_or_else(|| parse(text), Ok)?;
    if let Some(header) = platform.filter(|header| *header != chunk.platform.0) {
        return Err(Refusal::InvalidProfileType { header: header.to_owned(), payload: chunk.platform.owned() });
    }
    if chunk.client_sdk.name.0.is_empty() || chunk.client_sdk.version.0.is_empty() {
        note(Note::DeprecatedSdk);
    }
    let lanes = judge(&chunk.profile, note)?;
    received(chunk, lanes)
}

/// A chunk whose samples were read already. `None`: something else is wrong with it, or they are not where they seemed to be.
fn lowered<'a>(rest: &'a str, samples: Samples<'a, samples::V2>) -> Option<Chunk<'a>> {
    let mut chunk = parse(rest).ok()?;
    let none = chunk.profile.samples.samples.is_empty() && !chunk.profile.samples.too_many;
    none.then(|| {
        chunk.profile.samples = samples;
        chunk
    })
}

/// The payload, strictly. What lacks the version is refused for that, whatever else is wrong with it.
fn parse(text: &str) -> Result<Chunk<'_>, Refusal> {
    let (version, chunk) = versioned(text, |chunk: &Chunk<'_>| chunk.version.clone())?;
    match version.as_ref().map(|version| version.0.as_ref()) {
        Some("2") => chunk.map_err(|error| invalid(&error)),
        None | Some("1") => Err(Refusal::PlatformNotSupported),
        Some(other) => Err(Refusal::InvalidJson(format!("unknown version {:?}", super::text::cut(other)))),
    }
}

/// The rules after the parsing; the samples that are left of each thread.
fn judge(profile: &Profile<'_>, note: &mut dyn FnMut(Note<'_>)) -> Result<Vec<Lane>, Refusal> {
    let Profile { samples, stacks, frames, .. } = profile;
    if samples.too_many {
        return Err(Refusal::TooMany { what: "threads", max: THREADS_MAX });
    }
    if let Some(refusal) = frames::too_many(frames, stacks) {
        return Err(refusal);
    }
    let is_busy: Vec<bool> = stacks.stacks.iter().map(|stack| !stack.is_empty()).collect();
    let mut lanes = threads::lanes(&samples.samples, samples.threads.len());
    for (lane, id) in lanes.iter_mut().zip(&samples.threads) {
        let busy = lane.samples.iter().filter(|(_, stack)| is_busy.get(*stack as usize) == Some(&true));
        if busy.take(BUSY_MIN as usize).count() < BUSY_MIN as usize {
            note(Note::ThreadDropped(&id.0));
            lane.samples = Vec::new();
        }
    }
    let (first, last) = threads::span(&lanes).ok_or(Refusal::NotEnoughSamples)?;
    let mut kept = lanes.iter().flat_map(|lane| &lane.samples);
    if kept.any(|(_, stack)| *stack as usize >= is_busy.len()) {
        return Err(Refusal::MalformedSamples);
    }
    if !frames::well_formed(frames, stacks) {
        return Err(Refusal::MalformedStacks);
    }
    #[allow(clippy::cast_precision_loss, reason = "below 2^53 microseconds: TIME_MAX")]
    let seconds = (last - first) as f64 / 1e6;
    if seconds > SPAN_MAX {
        return Err(Refusal::too_long(seconds));
    }
    Ok(lanes)
}

fn received(chunk: Chunk<'_>, lanes: Vec<Lane>) -> Result<Received, Refusal> {
    let (start_us, end_us) = threads::span(&lanes).ok_or(Refusal::NotEnoughSamples)?;
    let mut threads = threads::received(lanes, &chunk.profile.samples.threads, &chunk.profile.thread_metadata, |at| at);
    let own = chunk.sentry_profiled.and_then(Own::new);
    let states = own.as_ref().map(|own| own.apply_states(&mut threads)).unwrap_or_default();
    let mut frames = chunk.profile.frames.frames;
    own.iter().for_each(|own| own.apply_in_file(&mut frames));
    Ok(Received {
        head: Head {
            profiler_id: chunk.profiler_id,
            chunk_id: chunk.chunk_id,
            start_us,
            end_us,
            platform: chunk.platform.owned(),
            environment: chunk.environment.as_ref().and_then(Text::some),
            release: chunk.release.as_ref().and_then(Text::some),
            sdk: (chunk.client_sdk.name.owned(), chunk.client_sdk.version.owned()),
            transaction: None,
            agent: own.as_ref().and_then(Own::says),
        },
        frames,
        stacks: chunk.profile.stacks.stacks,
        threads,
        states,
        measurements: measurements::of_chunk(chunk.measurements.unwrap_or_default())?,
    })
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "fields are here for the names and types that they must have, too")]
struct Chunk<'a> {
    #[serde(default, borrow)]
    version: Option<Text<'a>>,
    chunk_id: Uuid,
    profiler_id: Uuid,
    #[serde(borrow)]
    platform: Text<'a>,
    #[serde(borrow)]
    client_sdk: ClientSdk<'a>,
    #[serde(default, borrow)]
    release: Option<Text<'a>>,
    #[serde(default, borrow)]
    environment: Option<Text<'a>>,
    #[serde(default)]
    debug_meta: Option<DebugMeta>,
    #[serde(default, borrow)]
    measurements: Option<measurements::Wire<'a, measurements::V2>>,
    #[serde(borrow)]
    profile: Profile<'a>,
    #[serde(default, borrow)]
    sentry_profiled: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ClientSdk<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(default, borrow)]
    version: Text<'a>,
}

#[derive(Deserialize)]
struct Profile<'a> {
    #[serde(borrow)]
    samples: Samples<'a, samples::V2>,
    stacks: Stacks,
    frames: Frames,
    #[serde(default, borrow)]
    thread_metadata: ThreadNames<'a>,
}

/// Images are not kept; that they are what Relay reads is a rule.
#[derive(Deserialize)]
#[allow(dead_code, reason = "see Chunk")]
struct DebugMeta {
    images: Vec<Image>,
}

/// One that Relay reads. Takes no memory.
#[derive(Deserialize)]
#[serde(try_from = "WireImage")]
struct Image;

/// Not an enum tagged by `type`: serde would keep each image whole to find out which.
#[derive(Deserialize)]
struct WireImage<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(default, alias = "id", borrow)]
    debug_id: Option<Text<'a>>,
    #[serde(default, alias = "name", borrow)]
    code_file: Option<Text<'a>>,
    #[serde(default)]
    image_addr: Option<Address>,
}

impl TryFrom<WireImage<'_>> for Image {
    type Error = &'static str;

    fn try_from(image: WireImage<'_>) -> Result<Self, Self::Error> {
        match image.kind.0.as_ref() {
            "macho" | "symbolic" => {
                let debug_id = image.debug_id.ok_or("image without debug_id")?;
                // An age may follow the UUID.
                let id = debug_id.0.get(..36).unwrap_or(&debug_id.0);
                Uuid::try_parse(id).map_err(|_| "image whose debug_id is none")?;
                image.code_file.ok_or("image without code_file")?;
                image.image_addr.ok_or("image without image_addr")?;
                Ok(Self)
            }
            "sourcemap" | "proguard" | "jvm" => Ok(Self),
            _ => Err("image of an unknown type"),
        }
    }
}

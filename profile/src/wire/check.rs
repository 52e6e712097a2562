//! Relay's own rules for a chunk of sample format v2, as a pure function over its bytes. Used before a chunk is trusted
//! to the wire in debug builds, and by the receivers of the tests. Follows `relay-profiling` in order and in
//! strictness.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny},
};
use uuid::Uuid;

/// Relay's limit on the time from a chunk's first sample to its last, seconds.
const SPAN_MAX: f64 = 66.0;
/// Relay's limit on an item.
const BYTES_MAX: usize = 50 << 20;
/// Samples that a thread needs that are not idle.
const BUSY_MIN: u32 = 2;

/// Why a receiver would refuse a chunk, or a part of it.
#[derive(Clone, PartialEq, Debug)]
pub enum Refusal {
    /// Not the JSON that it reads.
    InvalidJson(String),
    /// No version, or the one of another format.
    PlatformNotSupported,
    /// More bytes than it takes.
    TooLarge(usize),
    /// The item header says another platform than the payload.
    InvalidProfileType {
        /// What the item header says.
        header: String,
        /// What the payload says.
        payload: String,
    },
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
    TooLong(f64),
}

impl Refusal {
    /// The outcome under which Sentry counts it; `None` where only a part is dropped, without outcome.
    pub fn outcome(&self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidJson(_) => "profiling_invalid_json",
            Self::PlatformNotSupported => "profiling_platform_not_supported",
            Self::TooLarge(_) => "profiling_exceed_size_limit",
            Self::InvalidProfileType { .. } => "profiling_invalid_profile_type",
            Self::DeprecatedSdk => "deprecated sdk",
            Self::ThreadDropped(_) => return None,
            Self::NotEnoughSamples => "profiling_not_enough_samples",
            Self::MalformedSamples => "profiling_malformed_samples",
            Self::MalformedStacks => "profiling_malformed_stacks",
            Self::TooLong(_) => "profiling_duration_is_too_long",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidJson(why) => write!(f, "not a chunk: {why}"),
            Self::PlatformNotSupported => f.write_str("version is not \"2\""),
            Self::TooLarge(bytes) => write!(f, "{bytes} bytes are more than {BYTES_MAX}"),
            Self::InvalidProfileType { header, payload } => {
                write!(f, "item header says platform {header:?}, payload {payload:?}")
            }
            Self::DeprecatedSdk => f.write_str("client_sdk has no name or no version"),
            Self::ThreadDropped(thread) => write!(f, "thread {thread} has fewer than two samples that are not idle"),
            Self::NotEnoughSamples => f.write_str("no samples are left"),
            Self::MalformedSamples => f.write_str("a sample names a stack that is not there"),
            Self::MalformedStacks => f.write_str("a stack names a frame that is not there"),
            Self::TooLong(seconds) => write!(f, "{seconds} s are more than {SPAN_MAX} s"),
        }
    }
}

/// What Relay, and Sentry after it, would refuse of this payload. `platform` is what the item header says, if it does.
/// A refusal of the whole ends the list, as it ends Relay's reading.
pub fn check(payload: &[u8], platform: Option<&str>) -> Vec<Refusal> {
    match read(payload, platform) {
        Ok(chunk) => normalize(&chunk),
        Err(refusal) => vec![refusal],
    }
}

fn read(payload: &[u8], platform: Option<&str>) -> Result<Chunk, Refusal> {
    if payload.len() > BYTES_MAX {
        return Err(Refusal::TooLarge(payload.len()));
    }
    let invalid = |error: serde_json::Error| Refusal::InvalidJson(error.to_string());
    let version: Version = serde_json::from_slice(payload).map_err(invalid)?;
    match version.version.as_deref() {
        Some("2") => (),
        None | Some("1") => return Err(Refusal::PlatformNotSupported),
        Some(other) => return Err(Refusal::InvalidJson(format!("unknown version {other:?}"))),
    }
    let chunk: Chunk = serde_json::from_slice(payload).map_err(invalid)?;
    if let Some(header) = platform.filter(|header| *header != chunk.platform) {
        return Err(Refusal::InvalidProfileType { header: header.to_owned(), payload: chunk.platform });
    }
    Ok(chunk)
}

fn normalize(chunk: &Chunk) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if chunk.client_sdk.name.is_empty() || chunk.client_sdk.version.is_empty() {
        refusals.push(Refusal::DeprecatedSdk);
    }
    let profile = &chunk.profile;
    let busy = busy_samples(profile);
    let is_kept = |sample: &&Sample| busy.get(sample.thread_id.as_str()).is_some_and(|count| *count >= BUSY_MIN);
    let kept: Vec<&Sample> = profile.samples.iter().filter(is_kept).collect();
    let dropped = busy.iter().filter(|(_, count)| **count < BUSY_MIN);
    refusals.extend(dropped.map(|(thread, _)| Refusal::ThreadDropped((*thread).to_owned())));
    refusals.extend(judge(profile, &kept));
    refusals
}

/// How many samples of each thread have a stack that is there and not empty.
fn busy_samples(profile: &Profile) -> BTreeMap<&str, u32> {
    let mut busy = BTreeMap::new();
    for sample in &profile.samples {
        let is_busy = profile.stacks.get(sample.stack_id).is_some_and(|stack| !stack.is_empty());
        *busy.entry(sample.thread_id.as_str()).or_default() += u32::from(is_busy);
    }
    busy
}

fn judge(profile: &Profile, kept: &[&Sample]) -> Option<Refusal> {
    if kept.is_empty() {
        return Some(Refusal::NotEnoughSamples);
    }
    if kept.iter().any(|sample| sample.stack_id >= profile.stacks.len()) {
        return Some(Refusal::MalformedSamples);
    }
    if profile.stacks.iter().flatten().any(|frame| *frame >= profile.frames.len()) {
        return Some(Refusal::MalformedStacks);
    }
    let times = || kept.iter().map(|sample| sample.timestamp);
    let span = times().fold(f64::MIN, f64::max) - times().fold(f64::MAX, f64::min);
    (span > SPAN_MAX).then_some(Refusal::TooLong(span))
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    version: Option<String>,
}

#[derive(Deserialize)]
#[allow(dead_code, clippy::struct_field_names, reason = "fields are here for the names and types that they must have")]
struct Chunk {
    chunk_id: Uuid,
    profiler_id: Uuid,
    platform: String,
    client_sdk: ClientSdk,
    #[serde(default)]
    release: Option<String>,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    debug_meta: Option<DebugMeta>,
    #[serde(default)]
    measurements: Option<HashMap<String, Measurement>>,
    profile: Profile,
}

#[derive(Deserialize)]
struct ClientSdk {
    name: String,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "see Chunk")]
struct DebugMeta {
    images: Vec<Image>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[allow(dead_code, reason = "see Chunk")]
enum Image {
    MachO(NativeImage),
    Symbolic(NativeImage),
    Sourcemap(IgnoredAny),
    Proguard(IgnoredAny),
    Jvm(IgnoredAny),
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "see Chunk")]
struct NativeImage {
    #[serde(alias = "id")]
    debug_id: Uuid,
    #[serde(alias = "name")]
    code_file: String,
    image_addr: Address,
    #[serde(default)]
    image_size: Option<serde_json::Number>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "see Chunk")]
struct Measurement {
    unit: Unit,
    values: Vec<Reading>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    #[serde(alias = "ns")]
    Nanosecond,
    #[serde(alias = "hz")]
    Hertz,
    Byte,
    Percent,
    #[serde(alias = "nj")]
    Nanojoule,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "see Chunk")]
struct Reading {
    #[serde(deserialize_with = "finite")]
    timestamp: f64,
    #[serde(deserialize_with = "finite")]
    value: f64,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "see Chunk")]
struct Profile {
    samples: Vec<Sample>,
    stacks: Vec<Vec<usize>>,
    frames: Vec<Frame>,
    #[serde(default)]
    thread_metadata: HashMap<String, ThreadMetadata>,
}

#[derive(Deserialize)]
struct Sample {
    #[serde(deserialize_with = "finite")]
    timestamp: f64,
    stack_id: usize,
    thread_id: String,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "see Chunk")]
struct ThreadMetadata {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    priority: Option<u32>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "see Chunk")]
struct Frame {
    #[serde(default)]
    abs_path: Option<String>,
    #[serde(default, alias = "column")]
    colno: Option<u32>,
    #[serde(default, alias = "file")]
    filename: Option<String>,
    #[serde(default, alias = "name")]
    function: Option<String>,
    #[serde(default)]
    in_app: Option<bool>,
    #[serde(default)]
    instruction_addr: Option<Address>,
    #[serde(default, alias = "line")]
    lineno: Option<u32>,
    #[serde(default)]
    module: Option<String>,
    #[serde(default)]
    package: Option<String>,
    #[serde(default)]
    platform: Option<String>,
}

/// `0x` and hexadecimal digits, or decimal ones: so a hexadecimal address without `0x` is refused, or worse, not.
#[allow(dead_code, reason = "see Chunk")]
struct Address(u64);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let parsed = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        parsed.map(Self).map_err(D::Error::custom)
    }
}

fn finite<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(from)?;
    if number.is_finite() { Ok(number) } else { Err(D::Error::custom("not a finite number")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"version":"2","profiler_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c",
        "chunk_id":"c3a94e17d0b84f5e9a6b2c81f7e05d34","platform":"rust","client_sdk":{"name":"acme","version":"0.1.0"},
        "profile":{"frames":[{"function":"parse_row","in_app":true}],"stacks":[[0],[]],
        "samples":[{"timestamp":1790000000.0,"stack_id":0,"thread_id":"4711"},
        {"timestamp":1790000000.0099,"stack_id":0,"thread_id":"4711"},
        {"timestamp":1790000000.0198,"stack_id":1,"thread_id":"4711"}],"thread_metadata":{"4711":{"name":"w"}}}}"#;

    fn refusals(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        let found = check(GOOD.replacen(from, to, 1).as_bytes(), Some("rust"));
        found.iter().map(|refusal| refusal.outcome().unwrap_or("thread dropped")).collect::<Vec<_>>().join(", ")
    }

    /// Check each rule by one change to a chunk that is taken.
    #[test]
    fn rules() {
        let rows = [
            ("", "", ""),
            (r#""2""#, "2", "profiling_invalid_json"),
            (r#""2""#, r#""3""#, "profiling_invalid_json"),
            (r#""2""#, r#""1""#, "profiling_platform_not_supported"),
            (r#""version":"2","#, "", "profiling_platform_not_supported"),
            (r#""platform":"rust""#, r#""platform":"native""#, "profiling_invalid_profile_type"),
            (r#""client_sdk":{"name":"acme","version":"0.1.0"},"#, "", "profiling_invalid_json"),
            (r#""name":"acme","#, "", "profiling_invalid_json"),
            (r#","version":"0.1.0""#, "", "deprecated sdk"),
            ("5f0c1a7e9b3d4c62a81e7d40b6f2937c", "5f0c", "profiling_invalid_json"),
            (r#""thread_id":"4711""#, r#""thread_id":4711"#, "profiling_invalid_json"),
            (r#""lineno""#, "", ""),
            (r#""in_app":true"#, r#""lineno":-1"#, "profiling_invalid_json"),
            (r#""in_app":true"#, r#""instruction_addr":"7fabc""#, "profiling_invalid_json"),
            (r#""name":"w""#, r#""priority":-1"#, "profiling_invalid_json"),
            (r#"0099,"stack_id":0"#, r#"0099,"stack_id":1"#, "thread dropped, profiling_not_enough_samples"),
            (r#"0198,"stack_id":1"#, r#"0198,"stack_id":7"#, "profiling_malformed_samples"),
            ("[[0],[]]", "[[0],[1]]", "profiling_malformed_stacks"),
            ("1790000000.0198", "1790000066.0198", "profiling_duration_is_too_long"),
            ("1790000000.0198", "1e999", "profiling_invalid_json"),
            (r#""profile""#, r#""debug_meta":{},"profile""#, "profiling_invalid_json"),
            (r#""profile""#, r#""debug_meta":{"images":[{"type":"elf"}]},"profile""#, "profiling_invalid_json"),
            (r#""profile""#, r#""measurements":{"x":{"unit":"kg","values":[]}},"profile""#, "profiling_invalid_json"),
            (r#""profile""#, r#""measurements":{"x":{"unit":"byte","values":{}}},"profile""#, "profiling_invalid_json"),
        ];
        for (from, to, expected) in rows.iter().filter(|(from, ..)| GOOD.contains(from)) {
            assert_eq!(refusals(from, to), *expected, "{from} -> {to}");
        }
        assert_eq!(check(b"\xff", None).len(), 1);
    }
}

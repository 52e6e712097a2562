//! What is fixed while one process is profiled: ids, clock anchor, and how its chunks are labelled. Holds no samples.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use crate::{
    frame::Frame,
    id::{Pid, ProfilerId},
    in_app::{InAppRules, Program},
    thread::Filter,
};

/// One reading of both clocks. Every time of a chunk is this wall-clock time plus a monotonic difference, so that a step of
/// the wall clock never reorders samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Anchor {
    /// `CLOCK_REALTIME`, nanoseconds since 1970.
    pub unix_ns: u64,
    /// `CLOCK_MONOTONIC` at the same moment, nanoseconds.
    pub monotonic_ns: u64,
}

impl Anchor {
    /// The wall-clock time of a monotonic one, whole microseconds since 1970 (the precision of the wire).
    pub fn unix_us(&self, at_ns: u64) -> u64 {
        let later = at_ns.saturating_sub(self.monotonic_ns);
        let earlier = self.monotonic_ns.saturating_sub(at_ns);
        self.unix_ns.saturating_add(later).saturating_sub(earlier) / 1000
    }

    /// How far the wall clock went ahead of the monotonic one from here to `later` (back: negative), nanoseconds: it was
    /// set, or the machine was suspended.
    pub fn step_ns(&self, later: &Self) -> i64 {
        let went = |from: u64, to: u64| i128::from(to).saturating_sub(i128::from(from));
        let step = went(self.unix_ns, later.unix_ns).saturating_sub(went(self.monotonic_ns, later.monotonic_ns));
        i64::try_from(step).unwrap_or(if step < 0 { i64::MIN } else { i64::MAX })
    }
}

/// The chunk's platform: decides what a receiver does with frames, and what it bills.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Platform(Cow<'static, str>);

impl Platform {
    /// C, C++ and everything else that is machine code.
    pub const NATIVE: Self = Self(Cow::Borrowed("native"));
    /// Programs that CPython runs, with their native frames.
    pub const PYTHON: Self = Self(Cow::Borrowed("python"));
    /// Rust programs. The one generic platform that Sentry symbolicates itself.
    pub const RUST: Self = Self(Cow::Borrowed("rust"));

    /// A platform by name: lower-case letters, digits, `-`, `_`, at most 64. `None` for others, and for `cocoa` and
    /// `android`: receivers rewrite the addresses of the first and expect another format of the second.
    pub fn new(name: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let usable = (1..=64).contains(&name.len()) && name.bytes().all(plain);
        (usable && !matches!(name, "cocoa" | "android")).then(|| Self(Cow::Owned(name.to_owned())))
    }

    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The category under which receivers limit and bill its chunks.
    pub fn category(&self) -> &'static str {
        match self.as_str() {
            "cocoa" | "android" | "javascript" => "profile_chunk_ui",
            _ => "profile_chunk",
        }
    }
}

/// Who made the chunk. Relay refuses chunks without it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientSdk {
    /// Never starts with `sentry.python` or `sentry.cocoa`: their minimum versions would apply.
    pub name: String,
    /// As PEP 440 parses it.
    pub version: String,
}

impl Default for ClientSdk {
    fn default() -> Self {
        Self { name: "sentry-profiled".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// Who names the frames.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum Naming {
    /// We do. Frames without a name keep their address; their modules are listed so that a server may name them
    /// later, except under platform `rust`, where Sentry would then redo every frame.
    #[default]
    Here,
    /// The receiver does: every frame goes with its address and without name, every module is listed.
    RawForServer,
}

/// What every chunk of a session says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SessionInfo {
    /// One start of the profiler on one process.
    pub profiler_id: ProfilerId,
    /// Turns monotonic times to wall-clock ones.
    pub anchor: Anchor,
    /// The rate asked for.
    pub rate_hz: f64,
    /// See [`Platform`]. A chunk in which a language runtime is seen has that of its language.
    pub platform: Platform,
    /// The user chose the platform: every chunk has it.
    pub platform_is_chosen: bool,
    /// Version of the target, as its owner names it.
    pub release: Option<String>,
    /// Where the target is deployed.
    pub environment: Option<String>,
    /// Who made the chunks.
    pub client: ClientSdk,
    /// Which frames are the application's own.
    pub in_app: InAppRules,
    /// Who names the frames.
    pub naming: Naming,
    /// Name of the machine.
    pub host: Option<String>,
    /// The target.
    pub pid: Pid,
    /// Path of the target's executable, as the target sees it.
    pub exe: Option<String>,
    /// The target's working directory at the start, as the target sees it: relative source paths begin there.
    pub cwd: Option<String>,
    /// Sources of a language with a runtime under this folder are the application's own; without it, those under `cwd`.
    pub project_root: Option<String>,
    /// Whether frames that only show how an interpreter calls stay in stacks of its language.
    pub keep_interpreter_frames: bool,
    /// Which states of threads keep their stacks.
    pub filter: Filter,
    /// Variant of the release.
    pub dist: Option<String>,
    /// What its owner wants to find it by.
    pub tags: BTreeMap<String, String>,
    /// Only what threads do within their marks is told.
    pub marks_only: bool,
}

impl SessionInfo {
    /// A session with nothing but what is needed, named by us, platform `native`.
    pub fn new(profiler_id: ProfilerId, anchor: Anchor, rate_hz: f64, pid: Pid) -> Self {
        Self {
            profiler_id,
            anchor,
            rate_hz,
            platform: Platform::NATIVE,
            platform_is_chosen: false,
            release: None,
            environment: None,
            client: ClientSdk::default(),
            in_app: InAppRules::default(),
            naming: Naming::Here,
            host: None,
            pid,
            exe: None,
            cwd: None,
            project_root: None,
            keep_interpreter_frames: false,
            filter: Filter::All,
            dist: None,
            tags: BTreeMap::new(),
            marks_only: false,
        }
    }

    /// Whether a frame is the application's own.
    pub fn is_in_app(&self, frame: &Frame) -> bool {
        let project_root = self.project_root.as_deref().or(self.cwd.as_deref());
        let has_runtime = self.platform == Platform::PYTHON;
        self.in_app.is_in_app(frame, Program { exe: self.exe.as_deref(), project_root, has_runtime })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that times before and after the anchor come out whole, and never wrap.
    #[test]
    fn anchor() {
        let anchor = Anchor { unix_ns: 1_790_000_000_000_000_999, monotonic_ns: 5_000_000 };
        assert_eq!(anchor.unix_us(5_000_000), 1_790_000_000_000_000);
        assert_eq!(anchor.unix_us(6_000_001), 1_790_000_000_001_001);
        assert_eq!(anchor.unix_us(4_000_000), 1_789_999_999_999_000);
        assert_eq!(Anchor { unix_ns: 0, monotonic_ns: 9 }.unix_us(0), 0);
    }

    /// Check that a step has its sign, and none is none.
    #[test]
    fn steps() {
        let anchor = Anchor { unix_ns: 1000, monotonic_ns: 50 };
        let step = |unix_ns, monotonic_ns| anchor.step_ns(&Anchor { unix_ns, monotonic_ns });
        assert_eq!([step(1100, 150), step(1107, 150), step(900, 150)], [0, 7, -200]);
        assert_eq!([step(u64::MAX, 50), step(0, u64::MAX)], [i64::MAX, i64::MIN]);
    }

    /// Check that a platform cannot make a receiver rewrite addresses, nor break a header.
    #[test]
    fn platforms() {
        assert_eq!(Platform::new("python").unwrap().category(), "profile_chunk");
        assert_eq!(Platform::new("javascript").unwrap().category(), "profile_chunk_ui");
        for refused in ["cocoa", "android", "", "Rust", "a\nb", &"x".repeat(65)] {
            assert_eq!(Platform::new(refused), None, "{refused:?}");
        }
    }
}

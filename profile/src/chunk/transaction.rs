//! The profile of one transaction: a part of the open chunk in sample format v1, which an SDK attaches to the transaction.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    chunk::{
        ChunkBuilder,
        draft::{Draft, Until},
        marks::Span,
        payload::{Names, Seq, seconds},
    },
    frame::Frame,
    naming::Namer,
};

/// Longer ones are cut: receivers refuse a v1 profile whose last sample is later.
pub const TRANSACTION_MAX_NS: u64 = 30_000_000_000;
/// Fewer ticks are no profile, as Sentry's SDKs have it.
const TICKS_MIN: u64 = 2;

/// Format v1 has times as text, nanoseconds since the start.
#[derive(Serialize)]
struct Sample<'b> {
    elapsed_since_start_ns: String,
    stack_id: u32,
    thread_id: &'b str,
}

#[derive(Serialize)]
struct Profile<'b> {
    frames: Seq<'b, (Frame, bool)>,
    stacks: Seq<'b, std::sync::Arc<[u32]>>,
    samples: Vec<Sample<'b>>,
    thread_metadata: Names<'b>,
}

impl ChunkBuilder {
    /// What was seen from `start_ns` to `end_ns`, at most [`TRANSACTION_MAX_NS`]; `cut` says that the transaction goes on. As
    /// `docs/control.md` has it. `None`: too few ticks, or no thread that a receiver would take.
    pub fn transaction(&self, start_ns: u64, end_ns: u64, cut: bool, namer: &mut dyn Namer) -> Option<Value> {
        let end_ns = end_ns.min(start_ns.saturating_add(TRANSACTION_MAX_NS));
        let anchor = &self.info.anchor;
        let span = Span { from_us: anchor.unix_us(start_ns), until_us: anchor.unix_us(end_ns) };
        let ticks = self.timeline.ticked_within(span.from_us, span.until_us);
        if ticks < TICKS_MIN {
            return None;
        }
        let info = self.info();
        let draft = Draft::new(self, &info, Until { span, why: "transaction_limit" }, namer)?;
        let samples = draft.samples.iter().map(|sample| Sample {
            elapsed_since_start_ns: (sample.at_us.saturating_sub(span.from_us) * 1000).to_string(),
            stack_id: sample.stack,
            thread_id: draft.threads.get(sample.thread).map(|thread| thread.id.as_str()).unwrap_or_default(),
        });
        let profile = Profile {
            frames: Seq(&draft.tables.frames),
            stacks: Seq(&draft.tables.stacks),
            samples: samples.collect(),
            thread_metadata: Names(&draft.threads),
        };
        Some(json!({
            "start": seconds(span.from_us),
            "end": seconds(span.until_us),
            "platform": info.platform,
            "cut": cut,
            "ticks": ticks,
            "profile": serde_json::to_value(profile).ok()?,
        }))
    }

    /// Forgets what was before `at_ns`, so that a builder that is never closed does not grow.
    pub fn forget_before(&mut self, at_ns: u64) {
        self.timeline.forget_before(self.info.anchor.unix_us(at_ns));
        if self.stacks.is_mostly_garbage() {
            self.stacks.collect_garbage(self.timeline.slots());
        }
    }
}

//! The profile of one transaction: a part of the open chunk in sample format v1, which an SDK attaches to the transaction.

use serde::{Serialize, Serializer};

use crate::{
    chunk::{
        ChunkBuilder, Platform,
        draft::{Draft, Until},
        marks::Span,
        payload::{Names, Seq, Text, seconds},
    },
    frame::Frame,
    naming::Namer,
};

/// Longer ones are cut: receivers refuse a v1 profile whose last sample is later.
pub const TRANSACTION_MAX_NS: u64 = 30_000_000_000;
/// Fewer ticks are no profile, as Sentry's SDKs have it.
const TICKS_MIN: u64 = 2;

/// What a process is given. `profile` is the last: a client cuts it out without reading it.
#[derive(Serialize)]
struct Told<'b> {
    start: f64,
    end: f64,
    platform: &'b Platform,
    cut: bool,
    ticks: u64,
    profile: Profile<'b>,
}

#[derive(Serialize)]
struct Profile<'b> {
    frames: Seq<'b, (Frame, bool)>,
    stacks: Seq<'b, std::sync::Arc<[u32]>>,
    samples: Samples<'b>,
    thread_metadata: Names<'b>,
}

/// Serializes sample by sample: a thread that runs has 3,000.
struct Samples<'b> {
    draft: &'b Draft<'b>,
    from_us: u64,
}

/// Format v1 has times as text, nanoseconds since the start.
#[derive(Serialize)]
struct Sample<'b> {
    elapsed_since_start_ns: Text<u64>,
    stack_id: u32,
    thread_id: &'b str,
}

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.draft.samples.iter().map(|sample| Sample {
            elapsed_since_start_ns: Text(sample.at_us.saturating_sub(self.from_us).saturating_mul(1000)),
            stack_id: sample.stack,
            thread_id: self.draft.threads.get(sample.thread).map(|thread| thread.id.as_str()).unwrap_or_default(),
        }))
    }
}

/// `{"elapsed_since_start_ns":"12345678900","stack_id":1234,"thread_id":"140000000000000"},`
const SAMPLE_BYTES: usize = 84;

impl ChunkBuilder {
    /// What was seen from `start_ns` to `end_ns`, at most [`TRANSACTION_MAX_NS`], as JSON; `cut` says that the transaction goes on.
    /// As `docs/control.md` has it. `None`: too few ticks, or no thread that a receiver would take.
    pub fn transaction(&self, start_ns: u64, end_ns: u64, cut: bool, namer: &mut dyn Namer) -> Option<Vec<u8>> {
        let end_ns = end_ns.min(start_ns.saturating_add(TRANSACTION_MAX_NS));
        let anchor = &self.info.anchor;
        let span = Span { from_us: anchor.unix_us(start_ns), until_us: anchor.unix_us(end_ns) };
        let ticks = self.timeline.ticked_within(span.from_us, span.until_us);
        if ticks < TICKS_MIN {
            return None;
        }
        let info = self.info();
        let draft = Draft::new(self, &info, Until { span, why: "transaction_limit" }, namer)?;
        let told = Told {
            start: seconds(span.from_us),
            end: seconds(span.until_us),
            platform: &info.platform,
            cut,
            ticks,
            profile: Profile {
                frames: Seq(&draft.tables.frames),
                stacks: Seq(&draft.tables.stacks),
                samples: Samples { draft: &draft, from_us: span.from_us },
                thread_metadata: Names(&draft.threads),
            },
        };
        let mut out = Vec::with_capacity(draft.samples.len().saturating_mul(SAMPLE_BYTES));
        serde_json::to_writer(&mut out, &told).ok()?;
        out.shrink_to_fit();
        Some(out)
    }

    /// How many runs of threads are held: they are most of what a builder that is never closed has.
    pub fn runs(&self) -> usize {
        self.timeline.sealed()
    }

    /// Forgets what was before `at_ns`, so that a builder that is never closed does not grow.
    pub fn forget_before(&mut self, at_ns: u64) {
        self.timeline.forget_before(self.info.anchor.unix_us(at_ns));
        if self.stacks.is_mostly_garbage() {
            self.stacks.collect_garbage(self.timeline.slots());
        }
    }
}

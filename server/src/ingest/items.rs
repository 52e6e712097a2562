//! An envelope's items to what is kept: each judged alone, so that a bad one costs no good one.

use profile::wire::{
    Refusal,
    envelope::{Envelope, EnvelopeError, Item},
    read,
};
use store::item::{Batch, ProjectId, Refused};
use uuid::Uuid;

use super::{
    answer::{Answer, Limit, NotTaken},
    counts::{self, Tally},
    quota::Quotas,
};

/// How much of a refused item is kept, bytes.
const HEAD_MAX: usize = 1024;
/// How much is kept of what was wrong with it, bytes.
const DETAIL_MAX: usize = 1024;

/// What an envelope comes to.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) batch: Batch,
    pub(super) answer: Answer,
    pub(super) tally: Tally,
    /// Answered instead, once the batch is kept.
    pub(super) failed: Option<NotTaken>,
}

struct Sorter<'e> {
    project: ProjectId,
    client: &'e str,
    envelope: &'e Envelope,
    bytes: &'e [u8],
    now_us: u64,
    sorted: Sorted,
    /// Who made the envelope, by the transaction in it: v1 profiles do not say.
    sdk: Option<(String, String)>,
}

/// Sorts. Transactions first: a profile of format v1 takes from its transaction who made it.
pub(super) fn sort(
    project: ProjectId,
    client: &str,
    envelope: &Envelope,
    bytes: &[u8],
    now_us: u64,
    quotas: &Quotas,
) -> Sorted {
    let mut sorter = Sorter { project, client, envelope, bytes, now_us, sorted: Sorted::default(), sdk: None };
    let (first, then): (Vec<&Item>, Vec<&Item>) = envelope.items.iter().partition(|item| item.kind() == "transaction");
    for item in first.into_iter().chain(then) {
        sorter.item(item, quotas);
    }
    sorter.link();
    let Sorter { mut sorted, .. } = sorter;
    let nothing = sorted.tally.taken.is_empty() && sorted.tally.refused.is_empty() && sorted.tally.dropped.is_empty();
    if nothing && !sorted.answer.limits.is_empty() {
        sorted.failed = Some(NotTaken::Limited(sorted.answer.limits.clone()));
    }
    sorted.answer.id =
        envelope.header("event_id").and_then(|id| Uuid::try_parse(id).ok()).map(|id| id.simple().to_string());
    sorted
}

impl Sorter<'_> {
    fn item(&mut self, item: &Item, quotas: &Quotas) {
        let kind = counts::kind(item.kind());
        if !matches!(kind, "profile_chunk" | "profile" | "transaction" | "span") {
            *self.sorted.tally.dropped.entry(kind).or_default() += 1;
            return;
        }
        if let Err(limit) = quotas.take(self.project.0, category(kind, item), self.now_us) {
            *self.sorted.tally.limited.entry(kind).or_default() += 1;
            self.limit(limit);
            return;
        }
        let payload = item.payload(self.bytes);
        let taken = match kind {
            "profile_chunk" => self.chunk(item, payload),
            "profile" => self.profile(payload),
            "transaction" => self.transaction(payload),
            _ => self.spans(payload),
        };
        match taken {
            Ok(parts_dropped) => {
                *self.sorted.tally.taken.entry(kind).or_default() += 1;
                self.sorted.tally.parts_dropped += parts_dropped as u64;
            }
            Err(refusal) => {
                *self.sorted.tally.refused.entry(kind).or_default() += 1;
                self.refuse(kind, payload, &refusal);
            }
        }
    }

    fn chunk(&mut self, item: &Item, payload: &[u8]) -> Result<usize, Refusal> {
        if item.headers.contains_key("meta_length") {
            return Err(Refusal::Compound);
        }
        let taken = read::chunk(payload, item.header("platform"))?;
        self.sorted.batch.profiles.push((self.project, taken.received));
        Ok(taken.threads_dropped)
    }

    fn profile(&mut self, payload: &[u8]) -> Result<usize, Refusal> {
        let sdk = self.sdk.clone().or_else(|| sdk_of(self.envelope)).unwrap_or_else(|| split(self.client));
        let taken = read::profile(payload, sdk)?;
        self.sorted.batch.profiles.push((self.project, taken.received));
        Ok(taken.threads_dropped)
    }

    fn transaction(&mut self, payload: &[u8]) -> Result<usize, Refusal> {
        let of_header = self.envelope.header("event_id").and_then(|id| Uuid::try_parse(id).ok());
        let event = read::transaction(payload, of_header)?;
        self.sdk = Some(event.sdk).filter(|(name, _)| !name.is_empty());
        self.sorted.batch.transactions.push((self.project, event.transaction));
        self.sorted.batch.spans.extend(event.spans.into_iter().map(|span| (self.project, span)));
        Ok(event.spans_dropped)
    }

    fn spans(&mut self, payload: &[u8]) -> Result<usize, Refusal> {
        let spans = read::spans(payload)?;
        self.sorted.batch.transactions.extend(spans.transactions.into_iter().map(|of| (self.project, of)));
        self.sorted.batch.spans.extend(spans.spans.into_iter().map(|span| (self.project, span)));
        Ok(spans.spans_dropped)
    }

    /// Tells transactions which profile came with them.
    fn link(&mut self) {
        let Batch { profiles, transactions, .. } = &mut self.sorted.batch;
        for (_, received) in profiles {
            let Some(of) = &received.head.transaction else { continue };
            let its = transactions.iter_mut().filter(|(_, transaction)| transaction.event_id == of.event_id);
            its.for_each(|(_, transaction)| transaction.profile_id = Some(received.head.chunk_id));
        }
    }

    fn refuse(&mut self, kind: &str, payload: &[u8], refusal: &Refusal) {
        self.sorted.batch.refused.push(Refused {
            project: self.project,
            at_us: self.now_us,
            item: kind.to_owned(),
            reason: refusal.outcome().unwrap_or_default().to_owned(),
            detail: start_of(refusal.to_string().as_bytes(), DETAIL_MAX),
            client: self.client.to_owned(),
            head: start_of(payload, HEAD_MAX),
            bytes: payload.len() as u64,
        });
    }

    fn limit(&mut self, limit: Limit) {
        if !self.sorted.answer.limits.contains(&limit) {
            self.sorted.answer.limits.push(limit);
        }
    }
}

/// What comes of an envelope that cannot be taken apart: its sender is told, and whoever looks for it sees why.
pub(super) fn broken(project: ProjectId, client: &str, error: &EnvelopeError, bytes: &[u8], at_us: u64) -> Sorted {
    let refused = Refused {
        project,
        at_us,
        item: "envelope".to_owned(),
        reason: "invalid_envelope".to_owned(),
        detail: error.to_string(),
        client: client.to_owned(),
        head: start_of(bytes, HEAD_MAX),
        bytes: bytes.len() as u64,
    };
    let batch = Batch { refused: vec![refused], ..Batch::default() };
    Sorted { batch, failed: Some(NotTaken::of_envelope(error)), ..Sorted::default() }
}

/// What is said of a profile that was read, but is too large for the store.
pub(super) fn too_large(project: ProjectId, chunk_id: Uuid, detail: String, at_us: u64) -> Refused {
    Refused {
        project,
        at_us,
        item: "profile_chunk".to_owned(),
        reason: "profiling_exceed_size_limit".to_owned(),
        detail,
        client: String::new(),
        head: format!("chunk {}", chunk_id.simple()),
        bytes: 0,
    }
}

/// Sentry's word for what is limited.
fn category(kind: &'static str, item: &Item) -> &'static str {
    match (kind, item.header("platform")) {
        ("profile_chunk", Some("cocoa" | "android" | "javascript")) => "profile_chunk_ui",
        _ => kind,
    }
}

/// The `sdk` of an envelope's headers.
fn sdk_of(envelope: &Envelope) -> Option<(String, String)> {
    let text = |key| Some(envelope.headers.get("sdk")?.get(key)?.as_str()?.to_owned());
    Some((text("name")?, text("version").unwrap_or_default()))
}

/// `sentry.python/2.75.0`.
fn split(client: &str) -> (String, String) {
    let (name, version) = client.split_once('/').unwrap_or((client, ""));
    (name.to_owned(), version.to_owned())
}

/// The first bytes as text, cut between characters.
fn start_of(bytes: &[u8], max: usize) -> String {
    let start = bytes.get(..max).unwrap_or(bytes);
    match std::str::from_utf8(start) {
        Ok(text) => text.to_owned(),
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(start.get(..error.valid_up_to()).unwrap_or_default()).into_owned()
        }
        Err(_) => String::from_utf8_lossy(start).into_owned(),
    }
}

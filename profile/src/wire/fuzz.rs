//! What must hold for any bytes taken as an envelope: the body of the fuzz target, and of the test that replays its
//! corpus.

use crate::{
    received::Received,
    wire::{
        check,
        envelope::{BYTES_MAX, Envelope, EnvelopeError, ITEMS_MAX, parse},
        limits, read,
    },
};

/// Panics if parsing breaks a promise; never, if all is well.
pub fn envelope(bytes: &[u8]) {
    let Ok(envelope) = parse(bytes) else { return };
    assert!(bytes.len() <= BYTES_MAX && envelope.items.len() <= ITEMS_MAX, "a cap does not hold");
    let mut before = 0;
    for item in &envelope.items {
        assert!(before <= item.payload.start && item.payload.end <= bytes.len(), "payloads overlap or are not there");
        assert_eq!(item.payload(bytes).len(), item.payload.len());
        before = item.payload.end;
        // Any payload is judged, no matter of which kind: whoever sends it chooses.
        let _ = check(item.payload(bytes), item.header("platform"));
    }
    match parse(&written(&envelope, bytes)) {
        Ok(again) => assert_eq!(kinds_and_lengths(&again), kinds_and_lengths(&envelope)),
        // Headers at the cap may be longer when they are written anew.
        Err(error) => assert!(matches!(error, EnvelopeError::HeaderTooLong { .. }), "{error}"),
    }
}

/// The same envelope with explicit lengths.
fn written(envelope: &Envelope, bytes: &[u8]) -> Vec<u8> {
    let mut out = line(&envelope.headers);
    for item in &envelope.items {
        let mut headers = item.headers.clone();
        headers.insert("length".to_owned(), item.payload.len().into());
        out.extend(line(&headers));
        out.extend_from_slice(item.payload(bytes));
        out.push(b'\n');
    }
    out
}

fn line(headers: &serde_json::Map<String, serde_json::Value>) -> Vec<u8> {
    let mut line = serde_json::to_vec(headers).unwrap_or_default();
    line.push(b'\n');
    line
}

fn kinds_and_lengths(envelope: &Envelope) -> Vec<(&str, usize)> {
    envelope.items.iter().map(|item| (item.kind(), item.payload.len())).collect()
}

/// The same for what is read of any item's payload.
pub fn received(bytes: &[u8]) {
    for taken in [read::chunk(bytes, None), read::profile(bytes, <(String, String)>::default())].into_iter().flatten() {
        holds(&taken.received);
    }
    if let Ok(event) = read::transaction(bytes, None) {
        assert!(event.transaction.start_us <= event.transaction.end_us, "a transaction ends before it starts");
        assert!(event.spans.iter().all(|span| span.start_us <= span.end_us), "a span ends before it starts");
        assert!(event.spans.len() <= limits::SPANS_MAX + 1, "a cap does not hold");
    }
    if let Ok(spans) = read::spans(bytes) {
        assert!(spans.spans.iter().all(|span| span.start_us <= span.end_us), "a span ends before it starts");
        assert!(spans.transactions.len() <= spans.spans.len() && spans.spans.len() <= limits::SPANS_MAX);
    }
}

/// What `received` promises of itself.
fn holds(received: &Received) {
    assert!(
        received.frames.len() <= limits::FRAMES_MAX && received.stacks.len() <= limits::STACKS_MAX,
        "a cap does not hold"
    );
    let frames = received.frames.len();
    assert!(received.stacks.iter().flatten().all(|frame| (*frame as usize) < frames), "a frame is not there");
    assert!(!received.threads.is_empty(), "a profile without samples");
    for thread in &received.threads {
        let samples = &thread.samples;
        assert!(!samples.is_empty(), "a thread without samples");
        assert!(samples.is_sorted_by_key(|sample| sample.at_us), "samples are not in order");
        assert!(samples.iter().all(|sample| (sample.stack as usize) < received.stacks.len()), "a stack is not there");
        let states = received.states.len();
        assert!(samples.iter().all(|sample| sample.state.is_none_or(|state| usize::from(state) < states)));
    }
    let times = || received.threads.iter().flat_map(|thread| thread.samples.iter().map(|sample| sample.at_us));
    assert_eq!((Some(received.head.start_us), Some(received.head.end_us)), (times().min(), times().max()));
}

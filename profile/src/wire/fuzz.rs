//! What must hold for any bytes taken as an envelope: the body of the fuzz target, and of the test that replays its
//! corpus.

use crate::wire::{
    check,
    envelope::{BYTES_MAX, Envelope, EnvelopeError, ITEMS_MAX, parse},
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

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn corpus() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/envelope");
        fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    /// Check every input that fuzzing has found worth keeping.
    #[test]
    fn corpus_replayed() {
        let corpus = corpus();
        assert!(corpus.len() >= 10);
        for bytes in &corpus {
            envelope(bytes);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        /// Check inputs near those of the corpus: bytes changed, cut out, or repeated.
        #[test]
        fn corpus_mutated(
            pick in any::<prop::sample::Index>(),
            edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
        ) {
            let corpus = corpus();
            let mut bytes = pick.get(&corpus).clone();
            for (place, byte, edit) in edits {
                if bytes.is_empty() { break; }
                let place = place.index(bytes.len());
                match edit {
                    0 => bytes[place] = byte,
                    1 => drop(bytes.remove(place)),
                    _ => bytes.extend_from_within(place..),
                }
            }
            envelope(&bytes);
        }
    }
}

//! The inputs that fuzzing has found worth keeping (`fuzz/corpus`), and others near them. What must hold for them is beside
//! the code that must hold it (`fuzz.rs` of each crate).

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index};

/// A fuzz target: the folder of its corpus, what it does with an input, and how many inputs near the corpus are tried.
type Target = (&'static str, fn(&[u8]), u32);

const TARGETS: [Target; 12] = [
    ("board", profile::board::fuzz, 500),
    ("cfi", unwinder::fuzz::cfi, 500),
    ("config", config::fuzz::settings, 500),
    ("elf", unwinder::fuzz::elf, 500),
    ("envelope", profile::wire::fuzz::envelope, 2000),
    ("journal", agent::ship::fuzz::shipped, 500),
    ("mangled", symbolizer::fuzz::mangled, 200),
    ("maps", sampler::fuzz::proc_files, 500),
    ("perf-map", runtimes::fuzz::perf_map, 500),
    ("python", runtimes::fuzz::python, 500),
    ("received", profile::wire::fuzz::received, 1000),
    ("symbols", symbolizer::fuzz::symbols, 200),
];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    fs::read_dir(folder().join(target)).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// Check that every corpus is in the table, and that each of its inputs is taken.
#[test]
fn corpora_replayed() {
    let mut folders: Vec<_> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    assert_eq!(folders, TARGETS.map(|(target, ..)| target));
    for (target, body, _) in TARGETS {
        let corpus = corpus(target);
        assert!(corpus.len() >= 10, "{target}");
        for bytes in &corpus {
            body(bytes);
        }
    }
}

/// Check inputs near those of the corpora: bytes changed, cut out, or repeated.
#[test]
fn corpora_mutated() {
    for (target, body, cases) in TARGETS {
        let corpus = corpus(target);
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
        let edits = vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..6);
        proptest!(config, |(pick in any::<Index>(), edits in edits)| body(&edited(pick.get::<Vec<u8>>(&corpus), &edits)));
    }
}

fn edited(bytes: &[u8], edits: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (place, byte, edit) in edits {
        if bytes.is_empty() {
            break;
        }
        let place = place.index(bytes.len());
        match edit {
            0 => bytes[place] = *byte,
            1 => drop(bytes.remove(place)),
            _ => bytes.extend_from_within(place..),
        }
    }
    bytes
}

//! The call tree that the store puts together of captured chunks of Sentry's Python SDK, against what Sentry's own processing
//! (`tests/vroomrs/check.py`) makes of the same chunks: the time of every function, of every thread.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use profile::{
    received::Received,
    wire::{envelope, read},
};
use serde_json::{Value, json};
use store::{
    ChunkStore,
    embedded::Embedded,
    item::{Batch, ProjectId, Selection, Window},
    query::Queries,
    tree::{Shape, Tree},
};
use tests::pythons::with_module;

const PROJECT: ProjectId = ProjectId(7);

/// Chunks as the SDK sent them.
fn captured() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profile/tests/data");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let of_python = |file: &&PathBuf| file.file_name().unwrap().to_string_lossy().starts_with("python-");
    files.iter().filter(of_python).flat_map(|file| chunks_of(file)).collect()
}

fn chunks_of(file: &Path) -> Vec<Value> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(file).unwrap()).read_to_end(&mut bytes).unwrap();
    let envelope = envelope::parse(&bytes).unwrap();
    let chunks = envelope.items.iter().filter(|item| item.kind() == "profile_chunk");
    chunks.map(|item| serde_json::from_slice(item.payload(&bytes)).unwrap()).collect()
}

/// The chunk with the samples of one thread.
fn of_thread(chunk: &Value, thread: &str) -> Value {
    let mut chunk = chunk.clone();
    chunk["profile"]["samples"].as_array_mut().unwrap().retain(|sample| sample["thread_id"] == thread);
    chunk
}

/// Microseconds by `module:function`; in recursion each call counts.
fn totals(tree: &Tree, to: &mut BTreeMap<String, u64>) {
    for node in &tree.nodes {
        let function = &tree.functions[node.function as usize];
        let name = format!("{}:{}", function.module.as_deref().unwrap_or_default(), function.name);
        *to.entry(name).or_default() += node.total.us;
    }
}

/// Check every thread of every captured chunk, by itself and all of them together.
#[test]
fn vroomrs_agrees() {
    let Some(python) = with_module("vroomrs") else {
        return;
    };
    let (chunks, folder) = (captured(), tempfile::tempdir().unwrap());
    let store: Arc<dyn ChunkStore> = Arc::new(Embedded::open(&folder.path().join("store")).unwrap());
    let taken = |chunk: &Value| read::chunk(chunk.to_string().as_bytes(), None).unwrap().received;
    let kept: Vec<Received> = chunks.iter().map(taken).collect();
    let profiles = kept.iter().map(|received| (PROJECT, received.clone())).collect();
    store.append(Batch { profiles, ..Batch::default() }).unwrap();
    let queries = Queries { store, live: None };
    let window = Window { from_us: 0, to_us: u64::MAX };
    let (mut lines, mut expected, mut threads) = (Vec::new(), BTreeMap::new(), 0);
    for (chunk, received) in chunks.iter().zip(&kept) {
        for thread in &received.threads {
            let mut selection = Selection::new(PROJECT, window);
            (selection.profilers, selection.threads) = (vec![received.head.profiler_id], vec![thread.id.clone()]);
            (selection.from_us, selection.to_us) = (received.head.start_us, received.head.end_us + 1);
            totals(&queries.tree(&selection, Shape::default()).unwrap().of, &mut expected);
            lines.push(of_thread(chunk, &thread.id).to_string());
            threads += 1;
        }
    }
    let mut whole = BTreeMap::new();
    totals(&queries.tree(&Selection::new(PROJECT, window), Shape::default()).unwrap().of, &mut whole);
    assert_eq!(whole, expected, "all of them together");
    let (file, sums) = (folder.path().join("chunks"), folder.path().join("totals"));
    fs::write(&file, lines.join("\n")).unwrap();
    fs::write(&sums, json!(expected).to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("vroomrs/check.py");
    let output = python.run().arg(script).arg(&file).arg("--expected").arg(&sums).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(threads >= 12 && said.contains(&format!("{threads} chunks, ")) && said.contains(", 0 differ"), "{said}");
}

//! Chunks as the real SDK for Python sent them: a minute of one busy thread on a quiet machine, and of ten on a busy one.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::struct_field_names,
    reason = "the files are our own"
)]

use std::{collections::BTreeMap, sync::Arc};

use profile::received::{Frame, Head, Received, Sample, Thread};
use serde::Deserialize;
use uuid::Uuid;

#[derive(Deserialize)]
struct Chunk {
    profiler_id: Uuid,
    chunk_id: Uuid,
    profile: Profile,
}

#[derive(Deserialize)]
struct Profile {
    frames: Vec<SentFrame>,
    stacks: Vec<Vec<u32>>,
    samples: Vec<SentSample>,
    thread_metadata: BTreeMap<String, Metadata>,
}

#[derive(Deserialize)]
struct SentFrame {
    function: Option<String>,
    module: Option<String>,
    filename: Option<String>,
    abs_path: Option<String>,
    lineno: Option<u32>,
    in_app: Option<bool>,
}

#[derive(Deserialize)]
struct SentSample {
    timestamp: f64,
    thread_id: String,
    stack_id: u32,
}

#[derive(Deserialize)]
struct Metadata {
    name: Option<String>,
}

/// Of one busy thread.
pub fn one_thread() -> Received {
    read(include_bytes!("data/python-one.json.zst"))
}

/// Of ten busy threads.
pub fn ten_threads() -> Received {
    read(include_bytes!("data/python-ten.json.zst"))
}

fn read(packed: &[u8]) -> Received {
    let json = zstd::stream::decode_all(packed).unwrap();
    let Chunk { profiler_id, chunk_id, profile } = serde_json::from_slice(&json).unwrap();
    let mut samples = BTreeMap::<&str, Vec<Sample>>::new();
    for sample in &profile.samples {
        let at_us = (sample.timestamp * 1e6).round() as u64;
        samples.entry(&sample.thread_id).or_default().push(Sample { at_us, stack: sample.stack_id, state: None });
    }
    let threads = samples.into_iter().map(|(id, mut samples)| {
        samples.sort_by_key(|sample| sample.at_us);
        let name = profile.thread_metadata.get(id).and_then(|metadata| metadata.name.clone());
        Thread { id: id.to_owned(), name, samples }
    });
    let threads: Vec<Thread> = threads.collect();
    let times = || threads.iter().flat_map(|thread| thread.samples.iter().map(|sample| sample.at_us));
    let head = Head {
        profiler_id,
        chunk_id,
        start_us: times().min().unwrap(),
        end_us: times().max().unwrap(),
        platform: "python".to_owned(),
        environment: Some("test".to_owned()),
        release: Some("1.0".to_owned()),
        sdk: ("sentry.python".to_owned(), "2.75.0".to_owned()),
        transaction: None,
        agent: None,
    };
    let frame = |sent: &SentFrame| {
        let text = |text: &Option<String>| text.as_deref().map(Arc::from);
        Frame {
            function: text(&sent.function),
            module: text(&sent.module),
            filename: text(&sent.filename),
            abs_path: text(&sent.abs_path),
            line: sent.lineno,
            in_app: sent.in_app,
            ..Frame::default()
        }
    };
    let frames = profile.frames.iter().map(frame).collect();
    Received { head, frames, stacks: profile.stacks, threads, states: Vec::new(), measurements: BTreeMap::new() }
}

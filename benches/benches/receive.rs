//! How long a receiver takes to read what SDKs send: a chunk of Python with 10 busy threads for a minute (about 1 MB of JSON),
//! and the small envelopes. Limit: well under 2 ms a megabyte, so that storing it is what counts.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use profile::wire::{envelope, read};
use tests::envelopes::sent;

fn receive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive");
    for name in ["python-10-threads", "python-manual-1", "node10-trace-0", "python-transaction-0", "node11-trace-1"] {
        let bytes = sent(name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| take(black_box(&bytes))));
    }
    group.finish();
}

fn take(bytes: &[u8]) {
    for item in &envelope::parse(bytes).unwrap().items {
        let payload = item.payload(bytes);
        match item.kind() {
            "profile_chunk" => drop(black_box(read::chunk(payload, item.header("platform")).unwrap())),
            "profile" => drop(black_box(read::profile(payload, <(String, String)>::default()).unwrap())),
            "transaction" => drop(black_box(read::transaction(payload, None).unwrap())),
            _ => drop(black_box(read::spans(payload).unwrap())),
        }
    }
}

criterion_group!(benches, receive);
criterion_main!(benches);

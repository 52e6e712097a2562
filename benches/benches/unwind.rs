//! Unwinding captured stacks of real programs, ours against framehop, in CPU time of the thread. First a table with the
//! ratio and how far the two agree, from passes in turns; then criterion's figures.
//!
//!     cargo bench -p benches --bench unwind
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

use std::{hint::black_box, time::Duration};

use benches::{
    corpus::{self, Corpus, Stack},
    cpu::ThreadCpu,
    rival::Framehop,
};
use criterion::{Criterion, Throughput};
use profile::stack::{NativeStack, StackEnd};
use unwinder::Unwinder;

/// Passes of each in turns; the median counts.
const PASSES: usize = 15;

fn main() {
    let mut criterion = Criterion::default().with_measurement(ThreadCpu).sample_size(10).configure_from_args();
    println!("| corpus | stacks | frames | rooted | same as framehop | ours | framehop | ratio |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, capture) in [("C++", corpus::cpp as fn() -> Option<Corpus>), ("rustc", corpus::rustc)] {
        let Some(corpus) = capture() else {
            println!("| {name} is left out: its program cannot be had here |");
            continue;
        };
        table(name, &corpus);
        bench(&mut criterion, name, &corpus);
    }
    criterion.final_summary();
}

fn table(name: &str, corpus: &Corpus) {
    let mut ours = Unwinder::new();
    let mut theirs = Framehop::new(corpus);
    let (mut frames, mut rooted, mut same) = (0, 0, 0);
    let mut stack = empty();
    for one in &corpus.stacks {
        unwind(&mut ours, corpus, one, &mut stack);
        frames += stack.frames.len();
        rooted += usize::from(!matches!(stack.end, StackEnd::Truncated(_)));
        let addresses: Vec<u64> = stack.frames.iter().map(|frame| frame.pc.0).collect();
        same += usize::from(theirs.addresses(one) == addresses);
    }
    let (mut mine, mut other) = (Vec::new(), Vec::new());
    for _ in 0..PASSES {
        mine.push(ThreadCpu::time(|| pass(&mut ours, corpus)).as_nanos() as f64 / frames as f64);
        other.push(ThreadCpu::time(|| theirs.pass(corpus)).as_nanos() as f64 / frames as f64);
    }
    let count = corpus.stacks.len();
    let share = |part: usize| 100.0 * part as f64 / count as f64;
    let (mine, other) = (median(&mut mine), median(&mut other));
    println!(
        "| {name} | {count} | {frames} | {:.2} % | {:.2} % | {mine:.1} ns/frame | {other:.1} ns/frame | {:.2} |",
        share(rooted),
        share(same),
        mine / other
    );
}

fn bench(criterion: &mut Criterion<ThreadCpu>, name: &str, corpus: &Corpus) {
    let mut ours = Unwinder::new();
    let mut theirs = Framehop::new(corpus);
    let frames = pass(&mut ours, corpus);
    let mut group = criterion.benchmark_group(format!("unwind/{name}"));
    group.throughput(Throughput::Elements(u64::try_from(frames).unwrap())).measurement_time(Duration::from_secs(3));
    group.bench_function("ours", |bencher| bencher.iter(|| pass(&mut ours, corpus)));
    group.bench_function("framehop", |bencher| bencher.iter(|| theirs.pass(corpus)));
    group.finish();
}

/// Every stack once; how many frames they have.
fn pass(unwinder: &mut Unwinder, corpus: &Corpus) -> usize {
    let mut stack = empty();
    let mut frames = 0;
    for one in &corpus.stacks {
        unwind(unwinder, corpus, one, &mut stack);
        frames += black_box(&stack).frames.len();
    }
    frames
}

fn unwind(unwinder: &mut Unwinder, corpus: &Corpus, one: &Stack, stack: &mut NativeStack) {
    unwinder.unwind(&one.registers, &mut one.memory(), &corpus.map, stack);
}

fn empty() -> NativeStack {
    NativeStack { frames: Vec::new(), sps: Vec::new(), end: StackEnd::Complete }
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

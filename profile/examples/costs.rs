//! What building chunks costs: `cargo run --release -p profile --example costs`.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "an example prints its figures")]
#![allow(clippy::cast_precision_loss, reason = "figures are read with three digits")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use profile::{
    address::RemoteAddr,
    chunk::{Anchor, Chunk, ChunkBuilder, SessionInfo},
    feed::{Event, StackId},
    frame::Frame,
    id::{Pid, ProfilerId, Tid},
    stack::{NativeFrame, PcKind, RawFrame, RawStack, StackEnd},
    thread::ThreadState,
};
use uuid::Uuid;

const TICKS: u64 = 6060;

fn main() {
    row("10 threads that run, 2,000 stacks", 10, 10, 2000);
    row("100 threads that run, 2,000 stacks", 100, 100, 2000);
    row("1,000 threads, 1 of them runs", 1000, 1, 500);
    row("200 idle threads", 200, 0, 1);
}

/// Feeds a minute at 101 Hz, of which `busy` threads are sampled at each tick, and closes the chunk.
fn row(title: &str, threads: u32, busy: u32, stacks: u32) {
    let anchor = Anchor { unix_ns: 1_790_000_000_000_000_000, monotonic_ns: 0 };
    let mut builder = ChunkBuilder::new(SessionInfo::new(ProfilerId(Uuid::nil()), anchor, 101.0, Pid(1)), 0);
    define(&mut builder, threads, stacks);
    let mut feeding = Duration::ZERO;
    let (mut samples, mut first) = (0_u64, true);
    for tick in 1..=TICKS {
        let read = if first { threads } else { busy };
        first = false;
        let events: Vec<Event> = (0..read).map(|thread| sample(thread, thread < busy, tick, stacks)).collect();
        let start = Instant::now();
        builder.apply(&Event::Tick { at_ns: tick * 9_900_990 });
        for event in &events {
            builder.apply(event);
        }
        feeding += start.elapsed();
        samples += events.len() as u64;
    }
    let estimate = builder.bytes_estimate();
    let start = Instant::now();
    let chunk = builder.close(TICKS * 9_900_990, &mut name).expect("a chunk");
    print_row(title, feeding, samples, start.elapsed(), estimate, &chunk);
}

fn print_row(title: &str, feeding: Duration, samples: u64, closing: Duration, estimate: usize, chunk: &Chunk) {
    println!(
        "{title:<36} {:>4.0} ns/tick {:>4.0} ns/sample, close {:>6.1} ms, {:>8} bytes (estimated {estimate})",
        feeding.as_nanos() as f64 / TICKS as f64,
        feeding.as_nanos() as f64 / samples as f64,
        closing.as_secs_f64() * 1e3,
        chunk.payload.len(),
    );
}

fn define(builder: &mut ChunkBuilder, threads: u32, stacks: u32) {
    for id in 0..stacks {
        // 40 frames, of which the leaves differ and the roots are shared.
        let frame = |depth: u32| {
            RawFrame::Native(NativeFrame {
                pc: RemoteAddr(0x1000 + u64::from(depth * 1000 + (id * 31) % (1 << (10 - depth / 4)))),
                kind: PcKind::Return,
                module: None,
            })
        };
        let stack = RawStack { frames: (0..40).map(frame).collect(), end: StackEnd::Complete };
        builder.apply(&Event::Stack(StackId(id), stack));
    }
    for thread in 0..threads {
        builder.apply(&Event::Thread { tid: tid(thread), name: format!("worker-{thread}") });
    }
}

fn sample(thread: u32, runs: bool, tick: u64, stacks: u32) -> Event {
    let stack =
        (u32::try_from(tick).unwrap_or_default().wrapping_mul(2_654_435_761).wrapping_add(thread * 97)) % stacks;
    let state = if runs { ThreadState::OnCpu } else { ThreadState::Sleeping(232) };
    Event::Sample { tid: tid(thread), stack: StackId(stack), state: state.into() }
}

fn tid(thread: u32) -> Tid {
    Tid(i32::try_from(10_000 + thread).unwrap_or_default())
}

fn name(raw: &NativeFrame) -> Arc<[Frame]> {
    [Frame {
        function: Some(format!("acme::storage::engine::function_{:x}", raw.pc.0).into()),
        module: Some("worker".into()),
        package: Some("/opt/acme/bin/worker".into()),
        filename: Some("engine.rs".into()),
        abs_path: Some("/home/build/acme/src/storage/engine.rs".into()),
        line: Some(77),
        ..Frame::default()
    }]
    .into()
}

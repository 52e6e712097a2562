//! Profiles to sections and back, and hostile sections.

use std::fmt::Write;

use insta::assert_snapshot;
use profile::received::Received;
use proptest::prelude::*;

use super::*;
use crate::testing::{Process, Random, sdk};

/// A profile whose stacks stand in the order of their first samples, each once: as it comes back.
fn canonical(mut received: Received) -> Received {
    let mut order: Vec<Vec<u32>> = Vec::new();
    for sample in received.threads.iter_mut().flat_map(|thread| &mut thread.samples) {
        let stack = &received.stacks[sample.stack as usize];
        let known = order.iter().position(|known| known == stack);
        sample.stack = known.unwrap_or_else(|| {
            order.push(stack.clone());
            order.len() - 1
        }) as u32;
    }
    received.stacks = order;
    received
}

/// Check that a profile comes back as it went in.
#[test]
fn round_trip() {
    for process in
        [Process::small(1), Process { stacks: 1, ..Process::small(2) }, Process { threads: 0, ..Process::small(3) }]
    {
        let received = process.chunk(1_790_000_000_000_000);
        let sections = encode(&received).unwrap();
        assert_eq!(decode(received.head.clone(), &sections).unwrap(), canonical(received));
    }
}

/// Check what chunks of the real SDK take. That of one busy thread is of a quiet machine, 79 samples a second and thread of 101; that of
/// ten of one so busy that a thread has 13, 10 to 1,000 ms apart.
#[test]
fn size() {
    let mut lines = String::new();
    for (name, received, most) in [
        ("python, 1 thread", sdk::one_thread(), 1.1),
        ("python, 10 threads", sdk::ten_threads(), 1.0),
        ("made up, 10 threads", Process::large(1).chunk(1_790_000_000_000_000), 5.5),
    ] {
        let sections = encode(&received).unwrap();
        let samples: usize = received.threads.iter().map(|thread| thread.samples.len()).sum();
        let lengths = [&sections.symbols, &sections.aggregate, &sections.timeline].map(Vec::len);
        let a_sample = lengths.iter().sum::<usize>() as f64 / samples as f64;
        writeln!(lines, "{name}: {samples} samples, {lengths:?} bytes, {a_sample:.2} B/sample").unwrap();
        assert!(a_sample <= most, "{lines}");
    }
    println!("{lines}");
}

proptest! {
    /// Check that changed bytes are refused or read as something, without panic and without hanging.
    #[test]
    fn mutated(seed in any::<u64>()) {
        let received = Process::small(seed % 3).chunk(1_790_000_000_000_000);
        let plain = Plain::of(&received);
        let mut random = Random(seed);
        let mutate = |section: &[u8], random: &mut Random| {
            // Inside of the packing, so that the change gets through.
            let mut bytes = bytes::unpack(section).unwrap();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.below(256) as u8;
            }
            if random.below(4) == 0 {
                bytes.truncate(random.below(bytes.len() as u64) as usize);
            }
            bytes::repack(&bytes)
        };
        let sections = encode(&received).unwrap();
        let mutated = Sections {
            symbols: if seed & 1 == 0 { mutate(&sections.symbols, &mut random) } else { sections.symbols.clone() },
            aggregate: if seed & 2 == 0 { mutate(&sections.aggregate, &mut random) } else { sections.aggregate.clone() },
            timeline: if seed & 4 == 0 { mutate(&sections.timeline, &mut random) } else { sections.timeline.clone() },
            measurements: if seed & 8 == 0 { mutate(&sections.measurements, &mut random) } else { sections.measurements.clone() },
        };
        if let Ok(plain) = Plain::decode(&mutated) {
            let again = plain.encode().unwrap();
            prop_assert_eq!(&Plain::decode(&again).unwrap().timeline, &plain.timeline);
            let _ = plain.received(received.head.clone());
        }
        prop_assert_eq!(Plain::decode(&sections).unwrap(), plain);
    }
}

/// Check what a section that lies about its size costs: nothing.
#[test]
fn lies() {
    let lie = |length: u32| [&length.to_le_bytes()[..], b"garbage"].concat();
    let found = [&[][..], b"abc", &lie(5), &lie(u32::MAX), &lie(200 << 20)]
        .map(|section| Symbols::decode(section).unwrap_err().to_string());
    assert_snapshot!(found.join("\n"), @r"
    it ends too early
    it ends too early
    it cannot be unpacked
    it has too many bytes
    it cannot be unpacked
    ");
}

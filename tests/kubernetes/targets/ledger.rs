//! Rust at work a third of the time, built with rustc -O -g.
use std::{hint::black_box, thread::sleep, time::Duration};

#[inline(never)]
fn settle(entries: &[u64]) -> u64 {
    (0..60).fold(0, |sum, round| entries.iter().fold(sum, |sum: u64, entry| black_box(sum.rotate_left(5) ^ entry ^ round)))
}

#[inline(never)]
fn book(entries: &[u64]) {
    black_box(settle(entries));
    sleep(Duration::from_millis(2));
}

fn main() {
    let entries: Vec<u64> = (0..20_000).collect();
    loop {
        book(&entries);
    }
}

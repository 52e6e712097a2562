//! The wall clock beside the monotonic one. Nothing else of a profile reads it.

use std::time::SystemTime;

use profile::chunk::Anchor;

/// Readings of both clocks, some 100 ns each: one in a row of these is not interrupted.
const READINGS: u32 = 8;

/// Clocks that come apart by more do not belong together any more: the wall clock was set, or the machine was suspended, in
/// which the monotonic clock stands still. What time servers correct by and by both clocks follow, and a leap second is one.
const STEP_MAX_NS: u64 = 1_000_000_000;

/// Both clocks at one moment. On a busy machine milliseconds may lie between two readings, and every time of a chunk
/// would be off by them; so the closest of some readings counts.
pub fn now() -> Anchor {
    let readings = (0..READINGS).map(|_| {
        let before = sampler::sys::monotonic_ns();
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let took = sampler::sys::monotonic_ns().saturating_sub(before);
        (took, Anchor { unix_ns: sampler::sys::ns(unix), monotonic_ns: before.saturating_add(took / 2) })
    });
    let closest = readings.min_by_key(|(took, _)| *took);
    closest.map_or(Anchor { unix_ns: 0, monotonic_ns: 0 }, |(_, anchor)| anchor)
}

/// Whether times of a chunk would be wrong by `then`.
pub fn have_stepped(then: &Anchor, now: &Anchor) -> bool {
    then.step_ns(now).unsigned_abs() > STEP_MAX_NS
}

//! How much of what comes over the wire is taken. Relay's limits where it has one; ours where it counts bytes only, since
//! three bytes (`{},`) can become a frame of a hundred and more.

/// Relay's limit on an item, bytes.
pub const ITEM_BYTES_MAX: usize = 50 << 20;
/// Relay's limit on the time from a chunk's first sample to its last, seconds.
pub const SPAN_MAX: f64 = 66.0;
/// Relay's limit on the time from the start of a v1 profile to its last sample, seconds.
pub const V1_SPAN_MAX: f64 = 30.0;
/// Samples that a thread of a chunk needs that are not idle: Relay's rule.
pub const BUSY_MIN: u32 = 2;
/// Distinct frames. A chunk of 50 threads for a minute has about 4,000; 262,144 of ours are 38 MB.
pub const FRAMES_MAX: usize = 1 << 18;
/// Distinct stacks. A chunk of 50 threads for a minute has about 8,000; this many empty ones are 12 MB.
pub const STACKS_MAX: usize = 1 << 19;
/// Frames in all stacks together: 16 MB. 8,000 stacks of 128 frames are a million.
pub const STACK_FRAMES_MAX: usize = 1 << 22;
/// Threads with samples, or with a name. Linux allows 4 million in all, a process that is worth looking at has fewer.
pub const THREADS_MAX: usize = 1 << 16;
/// Series of numbers beside the samples; SDKs send two to six.
pub const MEASUREMENTS_MAX: usize = 64;
/// Numbers in all of them; Node sends 300 a series.
pub const READINGS_MAX: usize = 1 << 20;
/// Thread states of a chunk; an index must fit 16 bits.
pub const STATES_MAX: usize = 1 << 12;
/// Spans of one item. SDKs stop at 1,000.
pub const SPANS_MAX: usize = 10_000;
/// Bytes of a name, path, description: what is longer is cut. Linux' longest path is 4,096.
pub const TEXT_MAX: usize = 8 << 10;
/// Nobody's clock is past the year 2200: seconds since 1970. Who sends milliseconds instead is far beyond.
pub const TIME_MAX: f64 = 7_258_118_400.0;

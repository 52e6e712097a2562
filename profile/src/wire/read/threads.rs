//! From the flat table of samples to what each thread did, in order of time. The rules by which samples are left out are
//! those of the formats.

use super::{frames::ThreadNames, samples::Sample, text::Text};
use crate::received;

/// The samples of one thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    /// Time and stack, in order of time.
    pub(super) samples: Vec<(u64, u32)>,
}

/// Splits by thread, in order of time; samples at the same time stay in the order in which they were sent.
pub(super) fn lanes(samples: &[Sample], threads: usize) -> Vec<Lane> {
    let mut counts = vec![0_usize; threads];
    for sample in samples {
        if let Some(count) = counts.get_mut(sample.thread as usize) {
            *count += 1;
        }
    }
    let mut lanes: Vec<Lane> = counts.iter().map(|count| Lane { samples: Vec::with_capacity(*count) }).collect();
    for sample in samples {
        if let Some(lane) = lanes.get_mut(sample.thread as usize) {
            lane.samples.push((sample.at, sample.stack));
        }
    }
    for lane in &mut lanes {
        if !lane.samples.is_sorted_by_key(|(at, _)| *at) {
            lane.samples.sort_by_key(|(at, _)| *at);
        }
    }
    lanes
}

/// The first time of all and the last.
pub(super) fn span(lanes: &[Lane]) -> Option<(u64, u64)> {
    let first = lanes.iter().filter_map(|lane| lane.samples.first()).map(|(at, _)| *at).min()?;
    let last = lanes.iter().filter_map(|lane| lane.samples.last()).map(|(at, _)| *at).max()?;
    Some((first, last))
}

/// The threads that have samples left; `at_us` turns the format's time to microseconds since 1970.
pub(super) fn received(
    lanes: Vec<Lane>,
    ids: &[Text<'_>],
    names: &ThreadNames<'_>,
    at_us: impl Fn(u64) -> u64,
) -> Vec<received::Thread> {
    let with_id = lanes.into_iter().zip(ids).filter(|(lane, _)| !lane.samples.is_empty());
    with_id
        .map(|(lane, id)| {
            let samples = lane.samples.iter();
            received::Thread {
                id: id.owned(),
                name: names.0.get(id).and_then(Text::some),
                samples: samples
                    .map(|(at, stack)| received::Sample { at_us: at_us(*at), stack: *stack, state: None })
                    .collect(),
            }
        })
        .collect()
}

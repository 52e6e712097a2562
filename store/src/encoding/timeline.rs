//! The section of samples: for each thread when it was in which stack and state.

use std::iter;

use super::bytes::{Broken, Reader, Writer, unpack, unzigzag, zigzag};

/// More samples are refused: memory for what is 256 MiB, and more than 50 MiB of JSON can hold.
const SAMPLES_MAX: usize = 16 << 20;
/// Not a state.
pub const NO_STATE: u32 = 0;

/// All samples.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timeline {
    /// In the order of the threads of the symbols.
    pub threads: Vec<ThreadSamples>,
}

/// A thread's samples, in order of time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ThreadSamples {
    /// When, microseconds since 1970.
    pub at_us: Vec<u64>,
    /// Leaf's node; 0: no stack.
    pub nodes: Vec<u32>,
    /// State and one; [`NO_STATE`]: not known.
    pub states: Vec<u32>,
}

impl Timeline {
    /// Samples of all threads.
    pub fn samples(&self) -> u64 {
        self.threads.iter().map(|thread| thread.at_us.len() as u64).sum()
    }

    fn ticks(&self) -> Vec<u64> {
        let mut ticks: Vec<u64> = self.threads.iter().flat_map(|thread| &thread.at_us).copied().collect();
        // Threads one behind the other, each in order: runs that a merge sort takes as they are.
        #[allow(clippy::stable_sort_primitive, reason = "it takes the runs as they are")]
        ticks.sort();
        ticks.dedup();
        ticks
    }

    /// The section; `None`: too large to be kept.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::default();
        writer.number(self.threads.len() as u64);
        // Threads are sampled at the same ticks: each tick is written once, and of a thread how many ticks on each sample is.
        let ticks = self.ticks();
        writer.number(ticks.len() as u64);
        encode_times(&ticks, &mut writer);
        for thread in &self.threads {
            writer.number(thread.at_us.len() as u64);
            // Both are in order: how many ticks lie before a sample's.
            let mut rest = ticks.iter().peekable();
            let on = |at_us: &u64| iter::from_fn(|| rest.next_if(|tick| *tick < at_us)).count() as u64;
            let steps: Vec<u64> = thread.at_us.iter().map(on).collect();
            writer.column(steps.iter().copied());
            writer.column(thread.nodes.iter().map(|node| u64::from(*node)));
            encode_runs(&thread.states, &mut writer);
        }
        writer.pack()
    }

    /// Reads the section that belongs to symbols with so many threads, nodes and states.
    pub fn decode(section: &[u8], threads: usize, nodes: usize, states: usize) -> Result<Self, Broken> {
        let bytes = unpack(section)?;
        let mut reader = Reader::new(&bytes);
        if reader.count(threads, "threads")? != threads {
            return Err(Broken::Reference("a thread"));
        }
        let ticks = reader.count(SAMPLES_MAX, "ticks")?;
        let ticks = decode_times(&mut reader, ticks)?;
        let mut left = SAMPLES_MAX;
        let mut read = || {
            let count = reader.count(left, "samples")?;
            left = left.saturating_sub(count);
            let at_us = on_ticks(&reader.column32(count)?, &ticks)?;
            let of_nodes = reader.column32(count)?;
            if of_nodes.iter().max().is_some_and(|most| *most as usize > nodes) {
                return Err(Broken::Reference("a stack"));
            }
            let states = decode_runs(&mut reader, count, states)?;
            Ok(ThreadSamples { at_us, nodes: of_nodes, states })
        };
        let decoded = (0..threads).map(|_| read()).collect::<Result<Vec<_>, _>>()?;
        reader.end()?;
        Ok(Self { threads: decoded })
    }
}

/// The times of samples that are so many ticks on each.
fn on_ticks(steps: &[u32], ticks: &[u64]) -> Result<Vec<u64>, Broken> {
    let mut at = 0_usize;
    let tick = |step: &u32| {
        at = at.saturating_add(*step as usize);
        ticks.get(at).copied().ok_or(Broken::Reference("a tick"))
    };
    steps.iter().map(tick).collect()
}

/// First time, the usual step, and how far each step is from it. Steps of a sampler stray around a mean: their distance
/// from it is smaller than that from the step before. Steps of other kinds fare no worse.
fn encode_times(times: &[u64], writer: &mut Writer) {
    let Some(first) = times.first() else { return };
    let mut steps: Vec<u64> = times.windows(2).map(step).collect();
    writer.number(*first);
    let mut sorted = steps.clone();
    let middle = sorted.len() / 2;
    let usual = if sorted.is_empty() { 0 } else { *sorted.select_nth_unstable(middle).1 };
    writer.number(usual);
    for one in &mut steps {
        *one = zigzag(one.cast_signed().wrapping_sub(usual.cast_signed()));
    }
    writer.column(steps.iter().copied());
}

fn step(pair: &[u64]) -> u64 {
    match pair {
        [before, after] => after.wrapping_sub(*before),
        _ => 0,
    }
}

fn decode_times(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u64>, Broken> {
    let Some(steps) = count.checked_sub(1) else { return Ok(Vec::new()) };
    let mut at = reader.number()?;
    let usual = reader.number()?;
    let mut times = Vec::with_capacity(count);
    times.push(at);
    for stray in reader.column(steps)? {
        let step = usual.cast_signed().wrapping_add(unzigzag(stray)).cast_unsigned();
        // Checked: samples are in order of time, and no time is beyond all times.
        at = at.checked_add(step).ok_or(Broken::Number)?;
        times.push(at);
    }
    Ok(times)
}

fn encode_runs(states: &[u32], writer: &mut Writer) {
    let runs: Vec<&[u32]> = states.chunk_by(|before, after| before == after).collect();
    writer.number(runs.len() as u64);
    writer.column(runs.iter().map(|run| run.first().copied().map_or(0, u64::from)));
    writer.column(runs.iter().map(|run| run.len() as u64));
}

fn decode_runs(reader: &mut Reader<'_>, count: usize, states: usize) -> Result<Vec<u32>, Broken> {
    let runs = reader.count(count, "states")?;
    let of_runs = reader.column32(runs)?;
    let lengths = reader.column32(runs)?;
    let mut all = Vec::with_capacity(count);
    for (state, length) in of_runs.into_iter().zip(lengths) {
        if state as usize > states {
            return Err(Broken::Reference("a state"));
        }
        if length as usize > count.saturating_sub(all.len()) {
            return Err(Broken::TooMany("states"));
        }
        all.resize(all.len().saturating_add(length as usize), state);
    }
    if all.len() == count { Ok(all) } else { Err(Broken::Short) }
}

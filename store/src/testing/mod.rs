//! Profiles made up for tests and benches: what their numbers say is to be like real processes, and the same each time.

pub mod conformance;
pub mod naive;
pub mod sdk;

use std::{collections::BTreeMap, sync::Arc};

use profile::received::{Frame, Head, Measurement, Received, Sample, Thread};
use uuid::Uuid;

/// A made-up process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Which; all its profiles have it in their profiler id.
    pub seed: u64,
    /// Threads, each with samples all the time.
    pub threads: usize,
    /// Distinct stacks of a profile.
    pub stacks: usize,
    /// Distinct frames of the process.
    pub frames: usize,
    /// Samples a second and thread.
    pub rate_hz: u64,
    /// Length of a profile, microseconds.
    pub chunk_us: u64,
    /// Whether samples have states.
    pub states: bool,
}

impl Process {
    /// What the limits are measured with: 10 threads, 2,500 stacks of 1,500 frames a minute, at 101 Hz.
    pub fn large(seed: u64) -> Self {
        Self { seed, threads: 10, stacks: 2500, frames: 1500, rate_hz: 101, chunk_us: 60_000_000, states: true }
    }

    /// A few samples.
    pub fn small(seed: u64) -> Self {
        Self { seed, threads: 3, stacks: 12, frames: 9, rate_hz: 10, chunk_us: 3_000_000, states: true }
    }

    /// Its profiler id.
    pub fn profiler_id(&self) -> Uuid {
        Uuid::from_u128(0x5e47_0000_0000_4000_8000_0000_0000_0000 | u128::from(self.seed))
    }

    /// The profile that begins at `start_us`. Its stacks are partly those of the one before, as in a program that goes on
    /// with what it does.
    pub fn chunk(&self, start_us: u64) -> Received {
        let mut random = Random(self.seed ^ start_us.rotate_left(20));
        let stacks = self.stacks(start_us);
        let names: Vec<Arc<str>> = STATES.iter().map(|name| Arc::from(*name)).collect();
        let threads: Vec<Thread> = (0..self.threads).map(|at| self.thread(at, start_us, &mut random)).collect();
        let times = || threads.iter().flat_map(|thread| thread.samples.iter().map(|sample| sample.at_us));
        let (first, last) = (times().min().unwrap_or(start_us), times().max().unwrap_or(start_us));
        let head = Head {
            profiler_id: self.profiler_id(),
            chunk_id: Uuid::from_u64_pair(self.seed, start_us),
            start_us: first,
            end_us: last,
            platform: "python".to_owned(),
            environment: Some("production".to_owned()),
            release: (!self.seed.is_multiple_of(3)).then(|| format!("shop@1.{}", self.seed % 3)),
            sdk: ("sentry.python".to_owned(), "2.75.0".to_owned()),
            transaction: None,
            agent: None,
        };
        Received {
            head,
            frames: self.frames(),
            stacks,
            threads,
            states: if self.states { names } else { Vec::new() },
            measurements: measurements(first, last),
        }
    }

    fn frames(&self) -> Vec<Frame> {
        let text = |text: String| Some(Arc::<str>::from(text));
        let paths: Vec<Arc<str>> =
            (0..=self.frames / 6).map(|file| Arc::from(format!("/srv/shop/app/part_{file}/module.py"))).collect();
        (0..self.frames)
            .map(|at| Frame {
                function: text(format!("function_{}", at / 3 * 2)),
                module: text(format!("app.part_{}.module", at / 6)),
                filename: text(format!("app/part_{}/module.py", at / 6)),
                abs_path: paths.get(at / 6).cloned(),
                line: u32::try_from(10 + at * 7).ok(),
                in_app: Some(!at.is_multiple_of(4)),
                ..Frame::default()
            })
            .collect()
    }

    /// Leaf first, about 20 deep, with common roots; the last is empty.
    fn stacks(&self, start_us: u64) -> Vec<Vec<u32>> {
        let frames = self.frames.max(1) as u64;
        let chunk = start_us / self.chunk_us.max(1);
        let mut stacks: Vec<Vec<u32>> = (0..self.stacks.saturating_sub(1) as u64)
            .map(|at| {
                // Four of five stacks are in every chunk.
                let mut random =
                    Random(self.seed.wrapping_mul(31) ^ at << 8 ^ if at % 5 == 0 { chunk << 32 } else { 0 });
                let depth = 5 + random.below(30);
                let mut stack = Vec::new();
                let mut path = at % 7;
                for level in 0..depth {
                    let choices = if level < depth / 2 { 2 } else { 6 };
                    path = path.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(level * 3 + random.below(choices));
                    stack.push(u32::try_from((path >> 20) % frames).unwrap_or(0));
                }
                stack.reverse();
                stack
            })
            .collect();
        stacks.push(Vec::new());
        stacks
    }

    fn thread(&self, at: usize, start_us: u64, random: &mut Random) -> Thread {
        let mut samples = Vec::new();
        let (end, stacks) = (start_us + self.chunk_us, self.stacks.max(1) as u64);
        let (mut now, mut stack, mut state) = (start_us, 0, 0);
        let period = 1_000_000 / self.rate_hz.max(1);
        while now < end {
            if random.below(3) > 0 {
                stack = random.below(stacks) * random.below(stacks) / stacks;
                state = random.below(STATES.len() as u64);
            }
            let state = self.states.then_some((state & 0xff) as u16);
            samples.push(Sample { at_us: now, stack: u32::try_from(stack).unwrap_or(0), state });
            // All threads are sampled at the same ticks.
            now += period + Random(self.seed ^ now).below(200);
        }
        Thread { id: format!("{}", 1000 + at), name: (at > 0).then(|| format!("worker-{at}")), samples }
    }
}

const STATES: [&str; 5] =
    ["on_cpu", "on_cpu, gil held", "runnable", "sleeping: futex, gil awaited", "sleeping: epoll_wait"];

fn measurements(first: u64, last: u64) -> BTreeMap<String, Measurement> {
    let values = (first..=last).step_by(1_000_000).map(|at| (at, (at / 1_000_000 % 90) as f64)).collect();
    BTreeMap::from([("cpu_usage".to_owned(), Measurement { unit: "percent".to_owned(), values })])
}

/// Numbers that look random and are the same each time (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// The next, below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }
}

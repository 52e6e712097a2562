//! Whatever happens to threads and wherever chunks are cut: what a receiver computes from the chunks is what was seen,
//! to the microsecond. The oracle walks every thread at every tick; the code under test never does.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    record::{Recorded, Recording},
    thread::{Filter, Gil},
    wire,
};

/// What happens to a thread at a tick.
#[derive(Clone, Copy, Debug)]
enum Act {
    Nothing,
    Sample(u32, State),
    Unread,
    Ended,
}

/// A tick, what happens to each thread, and whether the chunk is closed before the next.
#[derive(Clone, Debug)]
struct Step {
    /// Half microseconds are too fine for the wire; so is a thread that lives for a single one. Hence all are even.
    half_gap_us: u64,
    /// Below a microsecond: cut off on the wire.
    extra_ns: u64,
    acts: Vec<Act>,
    /// How far into the gap after this tick, in eighths.
    close: Option<u64>,
}

const THREADS: usize = 4;
const STACKS: [&[u64]; 6] = [&[0x1010], &[0x1017, 0x1010], &[0x1020, 0x1010], &[0x8010, 0x1010], &[0x1020], &[]];

fn states() -> impl Strategy<Value = State> {
    use ThreadState::{Blocked, OnCpu, Runnable, Sleeping, Stopped};
    let all = vec![OnCpu, OnCpu, Runnable, Sleeping(202), Sleeping(202), Sleeping(232), Blocked, Stopped];
    let gil = prop::option::of(prop::sample::select(vec![Gil::Held, Gil::Awaited, Gil::Free]));
    (prop::sample::select(all), gil).prop_map(|(thread, gil)| State { thread, gil })
}

fn filters() -> impl Strategy<Value = Filter> {
    prop::sample::select(vec![Filter::All, Filter::All, Filter::Active, Filter::OnCpu, Filter::Gil])
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => Just(Act::Nothing),
        6 => (0..STACKS.len(), states()).prop_map(|(stack, state)| Act::Sample(u32::try_from(stack).unwrap(), state)),
        1 => Just(Act::Unread),
        1 => Just(Act::Ended),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let gap = prop_oneof![Just(4950_u64), 8..300_000_u64];
    let step = (gap, 0..1000_u64, vec(acts(), THREADS), prop::option::weighted(0.08, 0..8_u64));
    let step = step.prop_map(|(half_gap_us, extra_ns, acts, close)| Step { half_gap_us, extra_ns, acts, close });
    vec(step, 1..100)
}

/// (thread, stack) to microseconds.
type Weights = BTreeMap<(String, String), u64>;
/// (thread, stack, state) to ticks.
type Ticks = BTreeMap<(String, String, String), u64>;

/// Knows of each thread what it was last seen to do.
#[derive(Default)]
struct Oracle {
    filter: Filter,
    at_us: u64,
    last: BTreeMap<usize, (u32, State)>,
    weights: Weights,
    ticks: Ticks,
}

impl Oracle {
    fn pass(&mut self, at_us: u64) {
        for (thread, (stack, _)) in self.last.iter().filter(|(_, (_, state))| self.filter.keeps(*state)) {
            let key = (thread.to_string(), stack_text(*stack));
            if !key.1.is_empty() && at_us > self.at_us {
                *self.weights.entry(key).or_default() += at_us - self.at_us;
            }
        }
        self.at_us = at_us;
    }

    fn act(&mut self, thread: usize, act: Act) {
        match act {
            Act::Sample(stack, state) => {
                self.last.insert(thread, (stack, state));
            }
            Act::Ended => {
                self.last.remove(&thread);
            }
            Act::Nothing | Act::Unread => (),
        }
        let last = self.last.get(&thread).filter(|(_, state)| self.filter.keeps(*state));
        if let Some((stack, state)) = last.filter(|_| !matches!(act, Act::Unread)) {
            *self.ticks.entry((thread.to_string(), stack_text(*stack), state.to_string())).or_default() += 1;
        }
    }
}

/// As the receiver's side shows it: names, leaf first, the address where there is no name.
fn stack_text(stack: u32) -> String {
    let names = STACKS[stack as usize].iter().map(|pc| match pc {
        0x8000.. => format!("{pc:#x}"),
        0x1017 => "inlined f1017".to_owned(),
        pc => format!("f{pc:x}"),
    });
    names.collect::<Vec<_>>().join(" ")
}

fn events_of(step: &Step) -> impl Iterator<Item = Event> + '_ {
    step.acts.iter().enumerate().filter_map(|(thread, act)| {
        let tid = i32::try_from(thread).unwrap();
        match *act {
            Act::Nothing => None,
            Act::Sample(stack, state) => Some(sample(tid, stack, state)),
            Act::Unread => Some(unread(tid)),
            Act::Ended => Some(ended(tid)),
        }
    })
}

/// Plays the steps to all three: the builder's chunks, the recording, and the oracle.
fn play(steps: &[Step], filter: Filter) -> (Vec<Chunk>, Recorded, Oracle) {
    let mut builder = builder(SessionInfo { filter, ..info() }, []);
    let mut recording = Recording::new(SessionInfo { filter, ..info() });
    let mut oracle = Oracle { filter, at_us: START_US, ..Oracle::default() };
    let mut both = |builder: &mut ChunkBuilder, event: &Event| {
        builder.apply(event);
        recording.apply(event);
    };
    for (id, pcs) in (0..).zip(STACKS) {
        both(&mut builder, &stack(id, pcs, StackEnd::Complete));
    }
    let (mut chunks, mut at_us) = (Vec::new(), 0);
    for step in steps {
        let at_ns = ns(at_us) + step.extra_ns;
        both(&mut builder, &Event::Tick { at_ns });
        oracle.pass(START_US + at_us);
        events_of(step).for_each(|event| both(&mut builder, &event));
        step.acts.iter().enumerate().for_each(|(thread, act)| oracle.act(thread, *act));
        if let Some(eighths) = step.close {
            chunks.extend(builder.close(ns(at_us + step.half_gap_us * eighths / 8 * 2), &mut name));
        }
        at_us += step.half_gap_us * 2;
    }
    oracle.pass(START_US + at_us);
    chunks.extend(builder.close(ns(at_us), &mut name));
    (chunks, recording.finish(ns(at_us), &mut name), oracle)
}

fn recorded_sums(recorded: &Recorded) -> (Weights, Ticks) {
    let (mut sums, mut ticks) = (Weights::new(), Ticks::new());
    for thread in &recorded.threads {
        for run in &thread.runs {
            let shown = |frame: &Frame, pc: RemoteAddr| frame.function.as_deref().map_or(pc.to_string(), str::to_owned);
            let stack: Vec<_> =
                recorded.frames(run.stack).map(|(frame, place)| shown(frame, place.raw.native().unwrap().pc)).collect();
            let (tid, stack) = (thread.tid.to_string(), stack.join(" "));
            *ticks.entry((tid.clone(), stack.clone(), run.state.to_string())).or_default() += run.ticks;
            if !stack.is_empty() && run.end_us > run.start_us {
                *sums.entry((tid, stack)).or_default() += run.end_us - run.start_us;
            }
        }
    }
    (sums, ticks)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Check that durations at a receiver, durations of a recording, and counts of ticks are those that were seen; that
    /// no chunk holds anything a receiver would refuse; and that each chunk begins where the one before ended or later.
    #[test]
    fn exact(steps in steps(), filter in filters()) {
        let (chunks, recorded, oracle) = play(&steps, filter);
        let mut sums = Weights::new();
        for chunk in &chunks {
            prop_assert_eq!(wire::check(&chunk.payload, Some("native")), []);
            prop_assert!(chunk.counters.dropped.is_empty());
            weights(chunk, &mut sums);
        }
        prop_assert_eq!(&sums, &oracle.weights);
        prop_assert!(chunks.windows(2).all(|pair| pair[0].end_unix_ns <= pair[1].start_unix_ns && pair[0].id != pair[1].id));
        let (sums, ticks) = recorded_sums(&recorded);
        prop_assert_eq!(&sums, &oracle.weights);
        prop_assert_eq!(&ticks, &oracle.ticks);
    }
}

//! The agent as it is deployed: three minutes on real programs, shipping to servers that fail meanwhile in every way that
//! servers fail. One run for all tests of this program (`run`); each test asks one thing of what arrived.

/// What arrived, as a reader of chunks understands it.
mod reading;
/// The run: targets, agents, and what their servers do when.
mod run;
/// Sentry's own processing of what arrived, and of what `record` writes.
mod vroomrs;

use std::{collections::BTreeSet, path::PathBuf};

use profile::counters::Counters;

use reading::{Life, Session, micros};
use run::{Outcome, run};

/// What a chunk of a minute may span: it closes at the first tick that is due. A process in which nothing runs is told of
/// at the first tick after a second (1.1 s at 10 Hz), and its chunk is due at one such telling and closes at the next.
const MINUTE_S: std::ops::Range<f64> = 60.0..62.5;

/// What a session may be shorter or longer than the time between its agent's start and end.
const START_AND_END_S: f64 = 2.5;

/// The first samples come once the modules are read.
const FIRST_SAMPLES_US: i64 = 500_000;

/// A kill, the end of a process, and the start of another, on a busy machine.
const RESTART_MAX_US: i64 = 3_000_000;

/// A thread is joined a little before the kernel has taken it down; longer, when it is not let run meanwhile.
const EXIT_US: i64 = 10_000;

/// Every outcome, by the name of its schedule.
fn outcomes() -> impl Iterator<Item = &'static Outcome> {
    run().iter()
}

/// Every session of every outcome, with the name of its schedule.
fn sessions() -> impl Iterator<Item = (&'static str, &'static Session)> {
    outcomes().flat_map(|outcome| outcome.sessions.iter().map(|session| (outcome.name, session)))
}

/// Check that every fault was met, that every agent ended well, and that nothing is left on disk or was refused.
#[test]
fn nothing_is_left() {
    for outcome in outcomes() {
        let name = outcome.name;
        for agent in &outcome.ended {
            assert_eq!(agent.code, 0, "{name}: {}", agent.stderr);
            assert!(!agent.stderr.contains("wait for the next start"), "{name}: {}", agent.stderr);
        }
        assert_eq!(outcome.unmet, 0, "{name}: faults that nobody met");
        assert_eq!(outcome.left, [] as [PathBuf; 0], "{name}");
        let refusals: Vec<_> = outcome.chunks.iter().flat_map(|chunk| &chunk.refusals).collect();
        assert!(refusals.is_empty(), "{name}: {refusals:?}");
        assert_eq!(outcome.reported, Vec::<String>::new(), "{name}: chunks were thrown away");
    }
}

/// Check that chunks came in order of their time, and that a fault made some come twice (with the same bytes, or the
/// receiver would have failed).
#[test]
fn in_order() {
    for outcome in outcomes() {
        let starts: Vec<f64> =
            outcome.chunks.iter().map(|chunk| reading::payload(chunk).sentry_profiled.start).collect();
        assert!(starts.is_sorted(), "{}: {starts:?}", outcome.name);
        let again = outcome.arrivals.iter().filter(|times| **times > 1).count();
        assert!(again >= outcome.again_min, "{}: {:?}", outcome.name, outcome.arrivals);
    }
}

/// Check the ids and the spans: one profiler id a session, a chunk id of its own for each chunk; the first chunk shorter
/// than a minute, those that follow a minute, and all of them together as long as the session.
#[test]
fn ids_and_spans() {
    let mut ids = BTreeSet::new();
    let mut profilers = BTreeSet::new();
    for (name, session) in sessions() {
        assert!(profilers.insert(session.profiler_id.clone()), "{name}");
        let spans: Vec<f64> =
            session.chunks.iter().map(|chunk| chunk.sentry_profiled.end - chunk.sentry_profiled.start).collect();
        let (first, rest) = spans.split_first().unwrap();
        assert!(spans.len() >= 2 && (30.0..61.0).contains(first), "{name}: {spans:?}");
        let (last, whole) = rest.split_last().unwrap();
        assert!(whole.iter().all(|span| MINUTE_S.contains(span)) && *last < MINUTE_S.end, "{name}: {spans:?}");
        let all: f64 = spans.iter().sum();
        let lasted = session.lasted.as_secs_f64();
        assert!((all - lasted).abs() < START_AND_END_S, "{name}: {all} s of {lasted}");
        for chunk in &session.chunks {
            assert!(ids.insert(chunk.chunk_id.clone()), "{name}: {} twice", chunk.chunk_id);
            assert_eq!(chunk.profiler_id, session.profiler_id, "{name}");
        }
    }
}

/// Check that a chunk begins where the one before it ended, with the same threads on the same stacks; and that the
/// samples of each thread follow each other strictly in time.
#[test]
fn borders_meet() {
    for (name, session) in sessions() {
        for chunk in &session.chunks {
            let times: Vec<f64> = chunk.profile.samples.iter().map(|sample| sample.timestamp).collect();
            assert!(times.is_sorted(), "{name}: {} is out of order", chunk.chunk_id);
            for (thread, points) in chunk.threads() {
                assert!(points.is_sorted_by(|a, b| a.at_us < b.at_us), "{name}: thread {thread} of {}", chunk.chunk_id);
            }
        }
        for pair in session.chunks.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            assert_eq!(before.sentry_profiled.end.to_string(), after.sentry_profiled.start.to_string(), "{name}");
            let border = micros(before.sentry_profiled.end);
            let (closing, opening) = (before.standing_at(border), after.standing_at(border));
            assert!(!closing.is_empty(), "{name}: nobody lives at {border}");
            assert_eq!(closing, opening, "{name}");
            let last_not_idle = before.threads().into_iter().filter_map(|(thread, points)| {
                let last = points.last()?;
                (last.at_us < border && !last.frames.is_empty()).then_some(thread)
            });
            assert_eq!(
                last_not_idle.collect::<Vec<_>>(),
                Vec::<String>::new(),
                "{name}: threads that stop in mid-chunk"
            );
        }
    }
}

/// Check that each thread has as much time, over all chunks, as it lived, within a tick at each of its ends; that
/// threads that were there all the time have all of it; and that there are no others.
#[test]
fn every_thread_has_its_time() {
    for (name, session) in sessions() {
        let lives = session.lives();
        let gaps: Vec<&Life> = lives.iter().filter(|life| life.total_us != life.end_us - life.start_us).collect();
        assert!(gaps.is_empty(), "{name}: {gaps:#?}");
        let (soon_us, end_us) = (session.start_us() + FIRST_SAMPLES_US, session.end_us());
        let (stay, passing): (Vec<_>, Vec<_>) =
            lives.iter().partition(|life| life.start_us < soon_us && life.end_us == end_us);
        assert_eq!(stay.len(), session.threads_that_stay, "{name}: {stay:#?}");
        let wrong: Vec<String> =
            session.short_lives.iter().filter_map(|life| wrong_life(life, &lives, session).err()).collect();
        assert!(wrong.is_empty(), "{name}: {} of {}\n{}", wrong.len(), session.short_lives.len(), wrong.join("\n"));
        // What is missing at the beginning of a thread was counted: nobody knows its stack before it was first read.
        let missing: u64 = session.short_lives.iter().filter_map(|life| wrong_life(life, &lives, session).ok()).sum();
        let unread: u64 = session.chunks.iter().map(|chunk| unread(&chunk.sentry_profiled.counters)).sum();
        assert!(missing <= unread, "{name}: {missing} ticks are missing, {unread} are counted");
        let known = |life: &&Life| session.all_lives.iter().any(|true_life| true_life.is_of(&life.thread));
        let unknown: Vec<&Life> = passing.into_iter().filter(|life| !known(life)).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:#?}");
    }
}

/// Thread-samples that were not taken, for whatever reason.
fn unread(counters: &Counters) -> u64 {
    counters.late + Counters::total(&counters.skipped) + Counters::total(&counters.lost)
}

/// How many ticks are missing at the beginning of a thread, or what is wrong with its time.
fn wrong_life(true_life: &run::TrueLife, lives: &[Life], session: &Session) -> Result<u64, String> {
    let (earliest_us, latest_us) = (true_life.created_us, true_life.joined_us + FIRST_SAMPLES_US);
    let is_it = |life: &&Life| true_life.is_of(&life.thread) && life.start_us < latest_us && life.end_us > earliest_us;
    let found: Vec<&Life> = lives.iter().filter(is_it).collect();
    let [life] = found.as_slice() else { return Err(format!("{true_life:?}: {} lives in the chunks", found.len())) };
    // Seen at the first tick at which it was there, and gone at the first at which it was not.
    let tick = |at_us| session.ticks_around(at_us);
    let ends = tick(true_life.ended_us).0..=tick(true_life.joined_us + EXIT_US).1;
    if life.start_us < tick(true_life.created_us).0 || !ends.contains(&life.end_us) {
        return Err(format!("{true_life:?}: in the chunks {} to {}; {ends:?}", life.start_us, life.end_us));
    }
    Ok(session.ticks_between(tick(true_life.begun_us).1, life.start_us))
}

/// Check that what the chunks say about how far they may be trusted adds up to what the agent said at its end.
#[test]
fn counters_are_told() {
    for outcome in outcomes().filter(|outcome| outcome.ended.len() == 1) {
        let (name, session) = (outcome.name, &outcome.sessions.last().unwrap());
        let mut sum = Counters::default();
        session.chunks.iter().for_each(|chunk| sum.merge(&chunk.sentry_profiled.counters));
        let ours =
            |field: fn(&reading::Ours) -> u64| session.chunks.iter().map(move |chunk| field(&chunk.sentry_profiled));
        let (stopped_us, ticks): (u64, u64) = (ours(|ours| ours.stopped_us).sum(), ours(|ours| ours.ticks).sum());
        let stop_max_us = ours(|ours| ours.stop_max_us).max().unwrap();
        let told = reading::told(&outcome.ended[0].stderr);
        assert_eq!(told, reading::Told::of(&sum, stopped_us, stop_max_us), "{name}: {}", outcome.ended[0].stderr);
        assert!(sum.samples > 100 && ticks > 1000, "{name}: {sum:?}, {ticks} ticks");
        assert_eq!((&sum.dropped.len(), sum.lost.get("stack_undefined")), (&0, None), "{name}: {sum:?}");
    }
}

/// Check that of an agent that was killed everything arrives that it had sampled up to a second before, and that the next
/// samples at once, not only when that is built.
#[test]
fn killed_in_mid_run() {
    let outcome = outcomes().find(|outcome| outcome.killed_us.is_some()).unwrap();
    assert_eq!(outcome.sessions.len(), 2);
    let killed_us = outcome.killed_us.unwrap();
    let lost_us = killed_us - outcome.sessions[0].end_us();
    assert!((0..1_000_000).contains(&lost_us), "{lost_us} us were lost");
    let later_us = outcome.sessions[1].start_us() - killed_us;
    assert!((0..RESTART_MAX_US).contains(&later_us), "the next session began {later_us} us later");
}

//! From the runs of a thread to its samples on the wire, so that a receiver, which gives each sample the time until the
//! thread's next one, arrives at the durations that were seen. Touches no names.

use crate::{
    chunk::marks::Span,
    stack::StackEnd,
    stacks::{Interned, Slot, Stacks},
    thread::State,
    timeline::{Doing, Line, Run},
};

/// A sample of a thread. `None`: the thread is gone, its last stack ends here. Without a slot: its stack was left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    pub(crate) at_us: u64,
    pub(crate) doing: Option<(Option<Slot>, State)>,
}

/// The samples of a thread within a span.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct LineSamples {
    /// Strictly in order of time. Empty if a receiver would drop the thread.
    pub(crate) points: Vec<Point>,
    /// Ticks that lie beyond its end.
    pub(crate) beyond: u64,
    /// Ticks of a thread that a receiver would drop although it has a duration.
    pub(crate) insufficient: u64,
}

/// The samples of `line` within `span`: of a run of a thread that sleeps the first two ticks and the last, of other runs
/// each tick; and what stands at its end once more there, to give the one before its width.
pub(crate) fn of_line(line: &Line, ticks: &[u64], span: Span, stacks: &Stacks) -> LineSamples {
    let mut out = within(line, ticks, span);
    repair(&mut out, stacks);
    out
}

/// The same within each of `spans` alone: at the end of each the thread is as if gone.
pub(crate) fn of_spans(line: &Line, ticks: &[u64], spans: &[Span], stacks: &Stacks) -> LineSamples {
    let mut out = LineSamples::default();
    for span in spans {
        let mut part = within(line, ticks, *span);
        if let Some(last) = part.points.last_mut() {
            last.doing = None;
        }
        let told = out.points.last().map_or(0, |last| last.at_us);
        out.points.extend(part.points.into_iter().filter(|point| point.at_us > told));
    }
    repair(&mut out, stacks);
    out
}

fn within(line: &Line, ticks: &[u64], span: Span) -> LineSamples {
    let now = u32::try_from(ticks.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let mut out = LineSamples::default();
    for run in line.runs(now) {
        push_run(&mut out, run, ticks, span);
    }
    let end_us = span.until_us;
    if let Some(last) = out.points.last().filter(|last| last.doing.is_some() && last.at_us < end_us).copied() {
        out.points.push(Point { at_us: end_us, ..last });
    }
    out
}

fn push_run(out: &mut LineSamples, run: Run, ticks: &[u64], span: Span) {
    let doing = match run.doing {
        Doing::Stack(slot, state) => Some((slot, state)),
        Doing::Gone => None,
    };
    let seen = ticks.get(run.first as usize..=run.last as usize).unwrap_or_default();
    let seen = seen.get(seen.partition_point(|at| *at < span.from_us)..).unwrap_or_default();
    let (within, beyond) = seen.split_at(seen.partition_point(|at| *at <= span.until_us));
    if doing.is_some() {
        out.beyond += beyond.len() as u64;
    }
    let is_blocked = doing.is_none_or(|(_, state)| state.is_blocked());
    // The last tick of a run that goes on is made by the closing sample.
    let has_last = !run.open && beyond.is_empty();
    for (place, at_us) in within.iter().enumerate() {
        if !is_blocked || place < 2 || (has_last && place + 1 == within.len()) {
            out.points.push(Point { at_us: *at_us, doing });
        }
        if is_blocked && place == 1 && !has_last {
            break;
        }
    }
}

/// Relay drops a thread with fewer than two samples that are not idle. Where there is one, it is said twice, the second
/// time in the middle of its own span: that changes no duration.
fn repair(out: &mut LineSamples, stacks: &Stacks) {
    let is_idle = |point: &Point| point.doing.and_then(|(slot, _)| stacks.get(slot?)).is_none_or(is_empty);
    let mut busy = out.points.iter().enumerate().filter(|(_, point)| !is_idle(point));
    let Some((place, only)) = busy.next() else {
        return out.points.clear();
    };
    if busy.next().is_some() {
        return;
    }
    let only = *only;
    let width = out.points.get(place + 1).map_or(0, |next| next.at_us - only.at_us);
    if width >= 2 {
        out.points.insert(place + 1, Point { at_us: only.at_us + width / 2, ..only });
    } else {
        out.points.clear();
        out.insufficient = u64::from(width > 0);
    }
}

/// Whether the stack is written as the empty one.
fn is_empty(stack: &Interned) -> bool {
    stack.frames.is_empty() && !matches!(stack.end, StackEnd::Truncated(_))
}

//! What a person sees: the status line while it runs, the hottest functions at the end. Standard error for the one,
//! standard output for the other.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use profile::{counters::Counters, export::Hot};

use crate::{
    family::Children,
    pipeline::Progress,
    report::{LockUse, Report, Summary},
    run::Done,
    ship::Status as Shipped,
};

/// Functions listed at the end.
const HOTTEST: usize = 20;
/// Processes listed at the end.
const PROCESSES: usize = 20;

/// The line that is written over itself, on a terminal only.
#[derive(Debug)]
pub struct Status {
    enabled: bool,
    rate_hz: f64,
    shown: Option<Instant>,
}

impl Status {
    /// For a run at a rate.
    pub fn new(rate_hz: f64) -> Self {
        Self { enabled: std::io::stderr().is_terminal(), rate_hz, shown: None }
    }

    /// Shows where we are, at most twice a second.
    pub fn show(&mut self, progress: &Progress, shipped: Option<&Shipped>, elapsed: Duration) {
        let fresh = self.shown.is_some_and(|shown| shown.elapsed() < Duration::from_millis(500));
        if !self.enabled || fresh || progress.ticks == 0 {
            return;
        }
        self.shown = Some(Instant::now());
        let shipped = shipped.map(shipping).unwrap_or_default();
        write_stderr(&format!("\r\x1b[2K{}{shipped}", line(progress, self.rate_hz, elapsed)));
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if self.shown.is_some() {
            write_stderr("\r\x1b[2K");
        }
    }
}

/// Where it can be seen, on standard error.
pub fn print_page(page: &str) {
    write_stderr(&format!("The page: {page}\n"));
}

/// Whether a person looks on: then the page stays when everything has ended.
pub fn is_watched() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

/// The page goes on.
pub fn print_stays(page: &str) {
    write_stderr(&format!("The page stays at {page} until ^C\n"));
}

fn write_stderr(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // With stderr gone there is nobody to tell.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// `12 s  101.0 of 101 Hz  3 processes:  2 running, 14 sleeping  24,031 samples  late 0 ...  stopped 0.5 ms/s  own CPU 0.6 %`
#[allow(clippy::cast_precision_loss, reason = "for people, three digits")]
fn line(progress: &Progress, rate_hz: f64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let mut text = format!("{:.0} s  {:.1} of {rate_hz:.0} Hz", seconds, progress.ticks as f64 / seconds);
    if progress.processes > 1 {
        let _ = write!(text, "  {} processes:", progress.processes);
    }
    let _ = write!(text, "  {} running, {} sleeping", progress.running, progress.sleeping);
    let _ = write!(text, "  {} samples{}", progress.counters.samples, trouble(&progress.counters));
    let _ = write!(text, "  stopped {:.2} ms/s", progress.stopped_us as f64 / 1000.0 / seconds);
    let _ = write!(text, "  own CPU {:.1} %", progress.agent_cpu_us as f64 / 1e4 / seconds);
    text
}

fn shipping(shipped: &Shipped) -> String {
    format!("  chunks {} sent, {} waiting", shipped.sent, shipped.waiting)
}

/// What the sessions came to, and what became of their chunks, on standard error.
pub fn print_shipped(done: &Done, shipped: &Shipped) {
    let mut text = lines(done);
    let _ = write!(text, "chunks: {} sent", shipped.sent);
    for (name, count) in [
        ("wait for the next start", shipped.waiting as u64),
        ("refused by the server, kept beside the spool", shipped.refused),
        ("given up", shipped.given_up),
    ] {
        if count > 0 {
            let _ = write!(text, "; {count} {name}");
        }
    }
    if let Some(error) = &shipped.last_error {
        let _ = write!(text, "; last error: {error}");
    }
    text.push('\n');
    write_stderr(&text);
}

/// The counters that are not zero.
pub(crate) fn trouble(counters: &Counters) -> String {
    let mut text = String::new();
    for (name, count) in [
        ("late", counters.late),
        ("skipped", Counters::total(&counters.skipped)),
        ("lost", Counters::total(&counters.lost)),
        ("truncated", Counters::total(&counters.truncated)),
        ("guessed", counters.guessed),
        ("dropped", Counters::total(&counters.dropped)),
    ] {
        if count > 0 {
            let _ = write!(text, "  {name} {count}");
        }
    }
    text
}

/// The list at the end.
pub fn print_hottest(done: &Done, kept: Option<&Path>) {
    let mut text = String::new();
    if let Some(sum) = &done.report.sum {
        all(&mut text, &done.report, sum, &done.children);
    }
    for hint in &done.hints {
        let _ = writeln!(text, "hint: {hint}");
    }
    if let Some(kept) = kept {
        let _ = writeln!(text, "See it again: sentry-profiled serve --store {}", kept.display());
    }
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

#[allow(clippy::cast_precision_loss, reason = "for people, three digits")]
fn all(text: &mut String, report: &Report, sum: &Summary, children: &Children) {
    let of = report.hottest.counted();
    let _ = match report.sessions {
        1 => write!(text, "{} (pid {})", sum.exe.as_deref().unwrap_or("?"), sum.pid),
        many => write!(text, "{many} processes"),
    };
    // Where chunks are sent and no recording is kept, nobody counts states and functions.
    let on_cpu = sum.on_cpu.map(|_| format!(", {} on a CPU", report.hottest.on_cpu())).unwrap_or_default();
    let _ = writeln!(
        text,
        ": {:.1} s, {:.1} Hz reached, {} samples{on_cpu}{}",
        sum.span_us as f64 / 1e6,
        sum.rate_reached(),
        sum.counters.samples,
        trouble(&sum.counters)
    );
    let _ = writeln!(
        text,
        "cost: stopped {:.2} ms, longest {} us; own CPU {:.1} ms",
        sum.stopped_us as f64 / 1000.0,
        sum.stop_max_us,
        sum.agent_cpu_us as f64 / 1000.0
    );
    if let Some(LockUse { held_us, awaited_us, span_us }) = sum.lock {
        let share = |us: u64| us as f64 / span_us.max(1) as f64;
        let held = (share(held_us) * 100.0).min(100.0);
        let each = if report.sessions > 1 { ", on average over the processes" } else { "" };
        let _ = writeln!(text, "gil: held {held:.1} % of the time, {:.2} threads wait for it{each}", share(awaited_us));
    }
    if report.sessions > 1 {
        processes(text, report);
    }
    text.push_str(&of_children(children));
    if sum.on_cpu.is_none() {
        return;
    }
    text.push_str("\n   self   total  function\n");
    let percent = |ticks: u64| ticks as f64 * 100.0 / of.max(1) as f64;
    for Hot { function, module, self_ticks, total_ticks } in report.hottest.top(HOTTEST) {
        let module = module.map(|module| format!("  [{module}]")).unwrap_or_default();
        let _ = writeln!(text, "{:6.1}% {:6.1}%  {function}{module}", percent(self_ticks), percent(total_ticks));
    }
    text.push('\n');
}

#[allow(clippy::cast_precision_loss, reason = "for people, three digits")]
fn processes(text: &mut String, report: &Report) {
    text.push_str("\n      pid  seconds     Hz  samples   on CPU  program\n");
    for row in report.busiest(PROCESSES) {
        let _ = writeln!(
            text,
            "{:>9} {:8.1} {:6.1} {:8} {:8}  {}{}",
            row.pid,
            row.span_us as f64 / 1e6,
            row.rate_reached(),
            row.counters.samples,
            row.on_cpu.map_or_else(|| "-".to_owned(), |on_cpu| on_cpu.to_string()),
            row.exe.as_deref().unwrap_or("?"),
            trouble(&row.counters)
        );
    }
    more(text, report);
}

fn more(text: &mut String, report: &Report) {
    let more = report.sessions.saturating_sub(PROCESSES);
    if more > 0 {
        let _ = writeln!(text, "and {more} more, that were less busy");
    }
}

/// What became of children, if there were any.
fn of_children(children: &Children) -> String {
    if *children == Children::default() {
        return String::new();
    }
    let mut text = format!("children: {} followed", children.followed);
    for (count, what) in [(children.left_out, "ended before they could be"), (children.refused, "cannot be")] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text.push('\n');
    text
}

/// One line a target on standard error, after a recording.
pub fn summary(done: &Done) {
    write_stderr(&lines(done));
}

fn lines(done: &Done) -> String {
    let mut text = String::new();
    for row in done.report.busiest(PROCESSES) {
        one_line(&mut text, row);
    }
    more(&mut text, &done.report);
    text.push_str(&of_children(&done.children));
    text
}

#[allow(clippy::cast_precision_loss, reason = "for people, three digits")]
fn one_line(text: &mut String, summary: &Summary) {
    let _ = writeln!(
        text,
        "pid {}: {:.1} s, {:.1} Hz, {} samples{}; stopped {} us in all, {} us at most; own CPU {} ms",
        summary.pid,
        summary.span_us as f64 / 1e6,
        summary.rate_reached(),
        summary.counters.samples,
        trouble(&summary.counters),
        summary.stopped_us,
        summary.stop_max_us,
        summary.agent_cpu_us / 1000
    );
}

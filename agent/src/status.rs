//! What a person sees: the status line while it runs, the hottest functions at the end. Standard error for the one,
//! standard output for the other.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use profile::{
    counters::Counters,
    export::{Hot, hottest},
    record::Recorded,
};

use crate::{pipeline::Progress, run::Done, session::Summary, ship::Status as Shipped};

/// Functions listed at the end.
const HOTTEST: usize = 20;

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

fn write_stderr(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // With stderr gone there is nobody to tell.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// `12 s  101.0 of 101 Hz  2 running, 14 sleeping  24,031 samples  late 0 ...  stopped 0.5 ms/s  own CPU 0.6 %`
#[allow(clippy::cast_precision_loss, reason = "for people, three digits")]
fn line(progress: &Progress, rate_hz: f64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let mut text = format!("{:.0} s  {:.1} of {rate_hz:.0} Hz", seconds, progress.ticks as f64 / seconds);
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
pub fn print_shipped(summaries: &[Summary], shipped: &Shipped) {
    let mut text = String::new();
    for summary in summaries {
        one_line(&mut text, summary);
    }
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
fn trouble(counters: &Counters) -> String {
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
    for recorded in &done.recorded {
        one(&mut text, recorded);
    }
    for hint in &done.hints {
        let _ = writeln!(text, "hint: {hint}");
    }
    if let Some(kept) = kept {
        let _ = writeln!(text, "Chunks are kept in {}", kept.display());
    }
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

#[allow(clippy::cast_precision_loss, reason = "for people, three digits")]
fn one(text: &mut String, recorded: &Recorded) {
    let rows = hottest(recorded, HOTTEST);
    let on_cpu: u64 = ticks(recorded, true);
    let of = if on_cpu > 0 { on_cpu } else { ticks(recorded, false) };
    let exe = recorded.info.exe.as_deref().unwrap_or("?");
    let seconds = recorded.end_us.saturating_sub(recorded.start_us) as f64 / 1e6;
    let _ = writeln!(
        text,
        "{} (pid {}): {seconds:.1} s, {:.1} Hz reached, {} samples, {of} on a CPU{}",
        exe,
        recorded.info.pid,
        recorded.rate_reached(),
        recorded.counters.samples,
        trouble(&recorded.counters)
    );
    let _ = writeln!(
        text,
        "cost: stopped {:.2} ms, longest {} us; own CPU {:.1} ms\n\n   self   total  function",
        recorded.stopped_us as f64 / 1000.0,
        recorded.stop_max_us,
        recorded.agent_cpu_us as f64 / 1000.0
    );
    let percent = |ticks: u64| ticks as f64 * 100.0 / of.max(1) as f64;
    for Hot { function, module, self_ticks, total_ticks } in rows {
        let module = module.map(|module| format!("  [{module}]")).unwrap_or_default();
        let _ = writeln!(text, "{:6.1}% {:6.1}%  {function}{module}", percent(self_ticks), percent(total_ticks));
    }
    text.push('\n');
}

fn ticks(recorded: &Recorded, on_cpu: bool) -> u64 {
    let runs = recorded.threads.iter().flat_map(|thread| &thread.runs);
    runs.filter(|run| !on_cpu || run.state.is_on_cpu()).map(|run| run.ticks).sum()
}

/// One line a target on standard error, after a recording.
pub fn summary(done: &Done) {
    let mut text = String::new();
    for recorded in &done.recorded {
        let summary = Summary {
            pid: recorded.info.pid,
            span_us: recorded.end_us.saturating_sub(recorded.start_us),
            ticks: recorded.ticks,
            counters: recorded.counters.clone(),
            stopped_us: recorded.stopped_us,
            stop_max_us: recorded.stop_max_us,
            agent_cpu_us: recorded.agent_cpu_us,
        };
        one_line(&mut text, &summary);
    }
    write_stderr(&text);
}

#[allow(clippy::cast_precision_loss, reason = "for people, three digits")]
fn one_line(text: &mut String, summary: &Summary) {
    let seconds = summary.span_us as f64 / 1e6;
    let _ = writeln!(
        text,
        "pid {}: {seconds:.1} s, {:.1} Hz, {} samples{}; stopped {} us in all, {} us at most; own CPU {} ms",
        summary.pid,
        summary.ticks as f64 / seconds.max(1e-6),
        summary.counters.samples,
        trouble(&summary.counters),
        summary.stopped_us,
        summary.stop_max_us,
        summary.agent_cpu_us / 1000
    );
}

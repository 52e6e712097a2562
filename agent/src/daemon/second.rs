//! What is done once a second: what we cost, who is read less for it, what is told to systemd, and the figures for `status` and
//! Prometheus.

use std::{collections::BTreeMap, fmt::Write as _, sync::atomic::Ordering};

use sampler::{
    TargetId,
    sys::{process_cpu_ns, thread_cpu_ns},
};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{
    Daemon,
    budget::{Second, Turn},
};
use crate::pipeline::SessionProgress;

/// The hours of the month are written this often.
const SAVE_EVERY: u32 = 60;

/// What was seen a second ago.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    at_ns: u64,
    cpu: Cpu,
    /// The profile hours of the month allowed to begin.
    pub(super) may_begin: bool,
    seconds: u32,
    sessions: BTreeMap<TargetId, SessionProgress>,
    /// Counters of sessions that have ended are in these.
    status: String,
}

/// Our CPU time so far, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Cpu {
    /// All of it, but for names: they have a pace of their own, and come in bursts that reading less would not help.
    host: u64,
    /// Of it what no target costs by being read: finding processes, first looks at them, answering.
    other: u64,
}

impl Daemon {
    pub(super) fn second(&mut self) {
        let now_ns = sampler::sys::monotonic_ns();
        let cpu = Cpu {
            host: process_cpu_ns().saturating_sub(self.naming.cpu_ns()),
            other: thread_cpu_ns() + self.sampler.attach_cpu_ns() + self.control_cpu.load(Ordering::Relaxed),
        };
        let sessions = self.pipeline.sessions();
        let span_ns = now_ns.saturating_sub(self.accounts.at_ns).max(1);
        #[allow(clippy::cast_precision_loss, reason = "shares of a second")]
        let share = |ns: u64| ns as f64 / span_ns as f64;
        if self.accounts.at_ns > 0 {
            let host = share(cpu.host.saturating_sub(self.accounts.cpu.host));
            let other = share(cpu.other.saturating_sub(self.accounts.cpu.other));
            // What sessions are told to cost adds up to all that we use, names too.
            let since = |id: &TargetId, now: &SessionProgress, of: fn(&SessionProgress) -> u64| {
                let before = self.accounts.sessions.get(id).map_or(0, of);
                share(of(now).saturating_sub(before) * 1000)
            };
            let agent_cpu = |id: &TargetId, now: &SessionProgress| since(id, now, |of| of.agent_cpu_us);
            let told: f64 = sessions.iter().map(|(id, now)| agent_cpu(id, now)).sum();
            let by_targets = if told > 0.0 { ((host - other).max(0.0) / told).min(1.0) } else { 0.0 };
            let cost = |(id, now): (&TargetId, &SessionProgress)| {
                let stopped = since(id, now, |of| of.stopped_us);
                (*id, Second { cpu: agent_cpu(id, now) * by_targets, stopped })
            };
            let costs: BTreeMap<TargetId, Second> = sessions.iter().map(cost).collect();
            for (id, turn) in self.budget.second(host, &costs) {
                self.take_turn(id, turn);
            }
        }
        let seconds = self.accounts.seconds.wrapping_add(1);
        if seconds.is_multiple_of(SAVE_EVERY) {
            self.hours.save();
        }
        self.fleet.forget_dead();
        self.hours_allow();
        self.hold_back(rss_bytes());
        let status = self.line();
        if status != self.accounts.status {
            self.manager.status(&status);
        }
        self.accounts.at_ns = now_ns;
        self.accounts.cpu = cpu;
        self.accounts.seconds = seconds;
        self.accounts.sessions = sessions;
        self.accounts.status = status;
    }

    fn take_turn(&mut self, id: TargetId, turn: Turn) {
        let pid = self.fleet.of_target(id).map(|process| process.pid.0);
        let now = sampler::sys::monotonic_ns();
        match turn {
            Turn::Every(every) => {
                self.sampler.every(id, every);
                self.pipeline.suspend(id, false, now);
                info!(pid, every, "To stay within the budget, a target is read at every so many-th tick.");
            }
            Turn::Paused => {
                self.sampler.every(id, u32::MAX);
                self.pipeline.suspend(id, true, now);
                warn!(pid, "To stay within the budget, a target is not read for now.");
            }
        }
    }

    pub(super) fn turn_text(&self, id: TargetId) -> Value {
        match self.budget.turn(id) {
            Turn::Every(every) => json!(every),
            Turn::Paused => json!("paused"),
        }
    }

    /// For `systemctl status`.
    fn line(&self) -> String {
        let all = self.fleet.processes.len();
        let attached = self.fleet.at_work();
        let running = self.accounts.sessions.values().filter(|session| session.running.is_some()).count();
        format!("{all} processes of targets, {attached} attached, {running} running")
    }

    pub(super) fn status(&self) -> Value {
        let (progress, ship, month) = (self.pipeline.progress(), self.outlets.status(), self.hours.month());
        let profiles = self.shelf.figures();
        let dropped: BTreeMap<&str, u64> = profiles.dropped.iter().map(|(why, many)| (why.as_ref(), *many)).collect();
        let reduced = self.accounts.sessions.keys().filter(|id| self.budget.turn(**id) != Turn::Every(1)).count();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_s": self.started.elapsed().as_secs(),
            "status": self.line(),
            "page": self.outlets.page(),
            "targets": self.fleet.processes.len(),
            "cost": {
                "naming_cpu_ms": self.naming.cpu_ns() / 1_000_000,
                "cpu_share": (self.budget.measured() * 10_000.0).round() / 10_000.0,
                "cpu_share_limit": self.budget.limits.host_cpu,
                "target_stop_share_limit": self.budget.limits.target_stop,
                "cpu_ms": process_cpu_ns() / 1_000_000,
                "rss_bytes": rss_bytes(),
                "rss_bytes_limit": self.loaded.settings.budget.memory.0,
                "stopped_us": progress.stopped_us,
                "targets_read_less": reduced,
            },
            "counters": progress.counters,
            "windows_lost": progress.windows_lost,
            "transactions": {
                "profiles": profiles.made,
                "dropped": dropped,
                "waiting_bytes": profiles.bytes,
            },
            "chunks": progress.chunks,
            "shipping": {
                "sent": ship.sent,
                "waiting": ship.waiting,
                "waiting_bytes": ship.waiting_bytes,
                "refused": ship.refused,
                "given_up": ship.given_up,
                "last_error": ship.last_error,
                "limited": self.outlets.limited(),
            },
            "hours": {
                "this_month": hours(month.billed_us()),
                "idle": hours(month.idle_us),
                "skipped_idle": hours(month.skipped_us),
                "limit": self.loaded.settings.budget.hours_per_month,
            },
        })
    }

    /// In Prometheus' text format, version 0.0.4.
    pub(super) fn metrics(&self) -> String {
        let (progress, ship, month) = (self.pipeline.progress(), self.outlets.status(), self.hours.month());
        let counters = &progress.counters;
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, rows: &[(String, f64)]| {
            let _ = writeln!(text, "# HELP sentry_profiled_{name} {help}\n# TYPE sentry_profiled_{name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(text, "sentry_profiled_{name}{labels} {value}");
            }
        };
        #[allow(clippy::cast_precision_loss, reason = "figures for a chart")]
        let of = |value: u64| vec![(String::new(), value as f64)];
        put("samples_total", "counter", "Thread-samples taken, or proved to stand.", &of(counters.samples));
        put("late_total", "counter", "Stops that did not come in time.", &of(counters.late));
        put("skipped_total", "counter", "Thread-samples not taken on purpose.", &by_reason(&counters.skipped));
        put("lost_total", "counter", "Thread-samples begun, but not proved consistent.", &by_reason(&counters.lost));
        put("truncated_total", "counter", "Stacks that do not reach their root.", &by_reason(&counters.truncated));
        put(
            "dropped_total",
            "counter",
            "Thread-samples thrown away after they were taken.",
            &by_reason(&counters.dropped),
        );
        #[allow(clippy::cast_precision_loss, reason = "figures for a chart")]
        let seconds = |us: u64| vec![(String::new(), us as f64 / 1e6)];
        put(
            "stopped_seconds_total",
            "counter",
            "Time that threads of targets were held stopped.",
            &seconds(progress.stopped_us),
        );
        put(
            "windows_lost_total",
            "counter",
            "Runs, transactions, functions and blocks that a board had no place for.",
            &of(progress.windows_lost),
        );
        let profiles = self.shelf.figures();
        put("transaction_profiles_total", "counter", "Profiles of transactions that were built.", &of(profiles.made));
        put(
            "transaction_profiles_dropped_total",
            "counter",
            "Profiles of transactions that nobody will have.",
            &by_reason(&profiles.dropped),
        );
        put(
            "transaction_profiles_bytes",
            "gauge",
            "Bytes of the profiles of transactions that wait.",
            &of(profiles.bytes),
        );
        put("cpu_seconds_total", "counter", "CPU time of the agent.", &seconds(process_cpu_ns() / 1000));
        put(
            "naming_cpu_seconds_total",
            "counter",
            "CPU time of the agent for the names of frames.",
            &seconds(self.naming.cpu_ns() / 1000),
        );
        put("resident_memory_bytes", "gauge", "Resident memory of the agent.", &of(rss_bytes()));
        put("targets", "gauge", "Processes that the settings name.", &of(self.fleet.processes.len() as u64));
        put("chunks_total", "counter", "Chunks closed.", &of(progress.chunks as u64));
        put("shipped_total", "counter", "Chunks that a server has taken.", &of(ship.sent));
        put("refused_total", "counter", "Chunks that a server has refused.", &of(ship.refused));
        put("given_up_total", "counter", "Chunks thrown away unsent.", &of(ship.given_up));
        put("spool_chunks", "gauge", "Chunks that wait to be sent.", &of(ship.waiting as u64));
        put("spool_bytes", "gauge", "Bytes of the chunks that wait.", &of(ship.waiting_bytes));
        put(
            "profile_seconds_this_month",
            "gauge",
            "What a Sentry server bills of this month.",
            &seconds(month.billed_us()),
        );
        put(
            "skipped_idle_seconds_this_month",
            "gauge",
            "Of this month, not sent since nothing ran.",
            &seconds(month.skipped_us),
        );
        text
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for a chart")]
fn by_reason(counts: &BTreeMap<impl AsRef<str>, u64>) -> Vec<(String, f64)> {
    let rows = counts.iter().map(|(reason, count)| (format!("{{reason=\"{}\"}}", reason.as_ref()), *count as f64));
    rows.collect()
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn hours(us: u64) -> f64 {
    (us as f64 / 3.6e6).round() / 1000.0
}

/// Our resident memory.
pub(super) fn rss_bytes() -> u64 {
    let own = std::process::id()
        .try_into()
        .map_or(0, |own| sampler::procfs::process_stat(profile::id::Pid(own)).map_or(0, |stat| stat.rss_pages));
    own.saturating_mul(sampler::memory::PAGE)
}

//! What a daemon answers, for people. What is not there is left out: it may be of another version.

use std::fmt::Write as _;

use profile::counters::Counters;
use serde::Deserialize as _;
use serde_json::Value;

/// `status`.
pub(super) fn status(of: &Value) -> String {
    let text = |path: &str| of.pointer(path).map(plain).unwrap_or_default();
    let number = |path: &str| of.pointer(path).and_then(Value::as_f64).unwrap_or_default();
    let mut out = String::new();
    let _ = writeln!(
        out,
        "sentry-profiled {}, pid {}, up {} s: {}",
        text("/version"),
        text("/pid"),
        text("/uptime_s"),
        text("/status")
    );
    let _ = writeln!(
        out,
        "cost: {:.2} % of a core (limit {:.2} %), {:.0} MB (limit {:.0} MB), targets held {:.1} ms in all; {} read less often",
        number("/cost/cpu_share") * 100.0,
        number("/cost/cpu_share_limit") * 100.0,
        number("/cost/rss_bytes") / 1e6,
        number("/cost/rss_bytes_limit") / 1e6,
        number("/cost/stopped_us") / 1000.0,
        text("/cost/targets_read_less"),
    );
    let _ =
        writeln!(out, "samples: {}{}{}", text("/counters/samples"), trouble(of.pointer("/counters")), windows_lost(of));
    let _ = writeln!(
        out,
        "chunks: {} closed, {} sent, {} wait ({:.1} MB), {} refused, {} given up",
        text("/chunks"),
        text("/shipping/sent"),
        text("/shipping/waiting"),
        number("/shipping/waiting_bytes") / 1e6,
        text("/shipping/refused"),
        text("/shipping/given_up"),
    );
    let limit =
        of.pointer("/hours/limit").and_then(Value::as_u64).map(|limit| format!(" of {limit}")).unwrap_or_default();
    let _ = writeln!(
        out,
        "profile hours this month: {}{limit}, in {} of them nothing ran; {} more were not sent for that",
        text("/hours/this_month"),
        text("/hours/idle"),
        text("/hours/skipped_idle"),
    );
    if number("/shipping/limited") > 0.0 {
        let _ = writeln!(
            out,
            "the server limits {} of the DSNs for long: what would go there is thrown away, and its targets rest",
            text("/shipping/limited")
        );
    }
    for (path, what) in [("/shipping/last_error", "last error"), ("/page", "page")] {
        if let Some(said) = of.pointer(path).and_then(Value::as_str) {
            let _ = writeln!(out, "{what}: {said}");
        }
    }
    out
}

/// `targets`.
pub(super) fn targets(of: &Value) -> String {
    let rows = of.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "No process is meant by the settings' targets.\n".to_owned();
    }
    let mut out = format!(
        "{:>8} {:16} {:11} {:9} {:6} {:>5} {:>7}  {}\n",
        "pid", "target", "mode", "state", "client", "every", "chunks", ""
    );
    for row in rows {
        let text = |key: &str| row.get(key).map(plain).unwrap_or_default();
        let state = match (row.get("profiler_id").and_then(Value::as_str), row.get("sampled").and_then(Value::as_bool))
        {
            (Some(_), _) => "runs".to_owned(),
            (None, Some(false)) => "unsampled".to_owned(),
            _ => text("state"),
        };
        let client = if row.get("registered").and_then(Value::as_bool) == Some(true) { "yes" } else { "no" };
        let says = row
            .get("profiler_id")
            .filter(|id| !id.is_null())
            .or_else(|| row.get("reason"))
            .map(plain)
            .unwrap_or_default();
        let (pid, target, mode, every, chunks) =
            (text("pid"), text("target"), text("mode"), text("every"), text("chunks"));
        let _ = writeln!(
            out,
            "{pid:>8} {target:16} {mode:11} {state:9} {client:6} {every:>5} {chunks:>7}  {says}{}{}",
            trouble(row.get("counters")),
            windows_lost(row)
        );
        for warning in row.get("warnings").and_then(Value::as_array).into_iter().flatten() {
            let _ = writeln!(out, "{:>8} warning: {}", "", plain(warning));
        }
    }
    out
}

/// The counters that are not zero.
fn trouble(counters: Option<&Value>) -> String {
    let counters: Option<Counters> = counters.and_then(|counters| Counters::deserialize(counters).ok());
    counters.map(|counters| crate::status::trouble(&counters)).unwrap_or_default()
}

fn windows_lost(of: &Value) -> String {
    let lost = of.get("windows_lost").and_then(Value::as_u64).filter(|lost| *lost > 0);
    lost.map(|lost| format!("  windows_lost {lost}")).unwrap_or_default()
}

/// Text without its quotes, and nothing for null. What comes from a target goes to a terminal: no control characters.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Check what a person reads of two targets: one that runs, one that was not chosen.
    #[test]
    fn of_targets() {
        let rows = json!([
            {"pid": 71, "target": "shop", "mode": "continuous", "sampled": true, "reason": null, "state": "attached",
             "profiler_id": "5f0c1a7e9b3d4c62a81e7d40b6f2937c", "registered": true, "every": 2, "chunks": 12,
             "counters": {"samples": 900, "late": 1, "skipped": {"budget": 40, "traced": 2}}, "warnings": []},
            {"pid": 72, "target": "shop", "mode": "continuous", "sampled": false, "state": "off",
             "reason": "not chosen\u{1b}[2J", "warnings": ["the program's DSN does not count"]},
        ]);
        let shown = targets(&rows);
        let shown: Vec<&str> = shown.lines().map(str::trim).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        pid target           mode        state     client every  chunks
        71 shop             continuous  runs      yes        2      12  5f0c1a7e9b3d4c62a81e7d40b6f2937c  late 1  skipped 42
        72 shop             continuous  unsampled no                    not chosen [2J
        warning: the program's DSN does not count
        ");
        assert_eq!(targets(&json!([])), "No process is meant by the settings' targets.\n");
    }
}

//! Whether a process is profiled, and how: by what holds for it and by its one throw of the dice. Pure.

use config::{Effective, Lifecycle, Mode};
use profile::id::Pid;

/// What was decided.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Verdict {
    /// Which of Sentry's modes.
    pub(crate) mode: &'static str,
    /// Its session, or its transactions, may be profiled.
    pub(crate) sampled: bool,
    /// Why it may not be, or when it will be.
    pub(crate) reason: Option<String>,
}

/// A number from 0 up to, but not, 1: the same for a process as long as it lives, whoever asks; another for each.
pub(crate) fn roll(boot: &str, pid: Pid, start_time: u64) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in boot.bytes().chain(pid.0.to_le_bytes()).chain(start_time.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    // Neighbours differ in few bits only: the finaliser of murmur3.
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    #[allow(clippy::cast_precision_loss, reason = "53 bits")]
    let share = (hash >> 11) as f64 / (1_u64 << 53) as f64;
    share
}

/// What a machine calls this boot.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// By what holds for a process. `decided`: what was decided of its session before; `has_board`: its client notes what it
/// wants; `may_begin`: the profile hours of the month are not used up.
pub(crate) fn judge(of: &Effective, roll: f64, decided: Option<bool>, has_board: bool, may_begin: bool) -> Verdict {
    let not = |mode, reason: String| Verdict { mode, sampled: false, reason: Some(reason) };
    match of.mode() {
        Mode::Off { reason } => not("off", reason),
        Mode::Transaction if has_board => Verdict { mode: "transaction", sampled: true, reason: None },
        Mode::Transaction => not(
            "transaction",
            "transactions are profiled through the client package alone, and this process has none".to_owned(),
        ),
        Mode::Continuous => {
            let rate = of.profile_session_sample_rate.value.get();
            let sampled = decided.unwrap_or(roll < rate && may_begin);
            let reason = match (sampled, of.profile_lifecycle.value) {
                (false, _) if decided.is_none() && !may_begin => {
                    Some("the profile hours of this month (budget.hours_per_month) are used up".to_owned())
                }
                (false, _) => Some(format!(
                    "profile_session_sample_rate is {rate} (set by: {}), and this process was not chosen; that is decided once, until it restarts",
                    of.profile_session_sample_rate.origin
                )),
                (true, Lifecycle::Trace) if !has_board => Some(
                    "profile_lifecycle is trace, and without the client package nobody knows of its traces".to_owned(),
                ),
                (true, Lifecycle::Manual) if !has_board && !of.start_on_attach.value => {
                    Some("not started: profile_lifecycle is manual, and start_on_attach is off".to_owned())
                }
                (true, _) => None,
            };
            Verdict { mode: "continuous", sampled, reason }
        }
    }
}

#[cfg(test)]
mod tests {
    use config::{Layer, Origin, SampleRate, TargetOptions};

    use super::*;

    /// Check that rolls are spread evenly over processes that are neighbours, and do not change.
    #[test]
    fn rolls() {
        assert_eq!(roll("b", Pid(7), 9).to_bits(), roll("b", Pid(7), 9).to_bits());
        let mut tenths = [0_i32; 10];
        let mut together = 0.0;
        for pid in 0..20_000 {
            let [one, next] = [roll("b", Pid(pid), 5), roll("b", Pid(pid + 1), 5)];
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 9")]
            let tenth = (one * 10.0) as usize;
            tenths[tenth] += 1;
            together += (one - 0.5) * (next - 0.5);
        }
        assert!(tenths.iter().all(|count| (count - 2000).abs() < 3 * 43), "{tenths:?}");
        assert!((together / 20_000.0).abs() < 0.002, "{together}");
    }

    fn effective(options: &TargetOptions) -> Effective {
        Effective::new([Layer { origin: Origin::Entry, options }])
    }

    fn rate(share: f64) -> Option<SampleRate> {
        SampleRate::new(share).ok()
    }

    /// Check the decision for each mode, that it stays as it was made, and that every refusal says why.
    #[test]
    fn decisions() {
        let told = |options: TargetOptions, roll, decided, has_board, may_begin| {
            let verdict = judge(&effective(&options), roll, decided, has_board, may_begin);
            format!("{} {} {}", verdict.mode, verdict.sampled, verdict.reason.as_deref().unwrap_or("-"))
        };
        let session = || TargetOptions { profile_session_sample_rate: rate(0.5), ..TargetOptions::default() };
        let transactions = || TargetOptions { profiles_sample_rate: rate(0.5), ..session() };
        let shown = [
            told(TargetOptions::default(), 0.0, None, true, true),
            told(session(), 0.4, None, true, true),
            told(session(), 0.5, None, true, true),
            told(session(), 0.9, Some(true), true, false),
            told(session(), 0.1, Some(false), true, true),
            told(session(), 0.1, None, true, false),
            told(session(), 0.1, None, false, true),
            told(TargetOptions { start_on_attach: Some(true), ..session() }, 0.1, None, false, true),
            told(TargetOptions { profile_lifecycle: Some(Lifecycle::Trace), ..session() }, 0.1, None, false, true),
            told(transactions(), 0.9, None, true, true),
            told(transactions(), 0.1, None, false, true),
        ]
        .join("\n");
        insta::assert_snapshot!(shown, @r"
        off false no rate is set: profile_session_sample_rate is 0 where neither the program nor the agent's settings say otherwise
        continuous true -
        continuous false profile_session_sample_rate is 0.5 (set by: entry), and this process was not chosen; that is decided once, until it restarts
        continuous true -
        continuous false profile_session_sample_rate is 0.5 (set by: entry), and this process was not chosen; that is decided once, until it restarts
        continuous false the profile hours of this month (budget.hours_per_month) are used up
        continuous true not started: profile_lifecycle is manual, and start_on_attach is off
        continuous true -
        continuous true profile_lifecycle is trace, and without the client package nobody knows of its traces
        transaction true -
        transaction false transactions are profiled through the client package alone, and this process has none
        ");
    }
}

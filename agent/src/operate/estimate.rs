//! `sentry-profiled estimate`: the profile hours that a month of the settings comes to, and what this machine has used.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;
use config::{Lifecycle, Loaded, Mode, TargetOptions};

use crate::{
    exit::Failure,
    hours::{Hours, Month},
    settings,
};

/// Hours of a month, as Sentry counts them for an instance that is always profiled.
const MONTH_H: f64 = 730.0;

/// `sentry-profiled estimate`.
#[derive(Debug, Args)]
pub struct EstimateArguments {
    /// How many processes a target has, all machines together, as shop=10; or of each target, as 10 [default: 1]
    #[arg(long, short = 'n', value_name = "[TARGET=]N", value_parser = instances)]
    pub instances: Vec<(Option<String>, u32)>,
    /// Settings file (TOML) [default: /etc/sentry-profiled/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

fn instances(text: &str) -> Result<(Option<String>, u32), String> {
    let (name, number) = text.rsplit_once('=').map_or((None, text), |(name, number)| (Some(name.to_owned()), number));
    let number = number.parse().map_err(|_| format!("`{text}` is no number of processes: write 10, or shop=10"))?;
    Ok((name, number))
}

/// Prints the sum for each target and for all.
pub fn estimate(arguments: &EstimateArguments) -> Result<u8, Failure> {
    let loaded = settings::load_all(arguments.config.as_deref(), config::Overrides::default())?;
    let names: Vec<&str> = loaded.settings.targets.iter().map(|target| target.name.as_str()).collect();
    let unknown = arguments.instances.iter().filter_map(|(name, _)| name.as_deref()).find(|name| !names.contains(name));
    if let Some(unknown) = unknown {
        return Err(Failure::Usage(format!("no target `{unknown}` in the settings; there are: {}", names.join(", "))));
    }
    let month = Hours::open(&settings::state_folder(&loaded.settings)).month();
    io::stdout().lock().write_all(text(&loaded, &arguments.instances, month).as_bytes())?;
    Ok(0)
}

fn text(loaded: &Loaded, instances: &[(Option<String>, u32)], month: Month) -> String {
    let mut out = String::new();
    let mut sum = 0.0;
    for target in &loaded.settings.targets {
        let of_name = instances.iter().find(|(name, _)| name.as_deref() == Some(target.name.as_str()));
        let of_all = || instances.iter().find(|(name, _)| name.is_none());
        let many = of_name.or_else(of_all).map_or(1, |(_, many)| *many);
        let nothing = TargetOptions::default();
        let effective = loaded.of_target(target, &nothing, &nothing);
        let rate = effective.profile_session_sample_rate.value.get();
        let hours = f64::from(many) * MONTH_H * rate;
        let name = &target.name;
        let _ = match effective.mode() {
            Mode::Off { reason } => writeln!(out, "{name}: nothing; {reason}"),
            Mode::Transaction => {
                writeln!(
                    out,
                    "{name}: by the length of the transactions that are profiled, {many} x {MONTH_H} h at most"
                )
            }
            Mode::Continuous => {
                sum += hours;
                let most = match effective.profile_lifecycle.value {
                    Lifecycle::Trace => " at most: only while root spans are open",
                    Lifecycle::Manual if !effective.start_on_attach.value => " at most: only from start to stop",
                    Lifecycle::Manual => "",
                };
                writeln!(out, "{name}: {many} instances x {MONTH_H} h x {rate} = {hours:.0} h a month{most}")
            }
        };
    }
    let _ = writeln!(out, "all: {sum:.0} h a month");
    so_far(&mut out, month, loaded.settings.budget.hours_per_month);
    out
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn so_far(out: &mut String, month: Month, limit: Option<u32>) {
    let hours = |us: u64| us as f64 / 3.6e9;
    let limit = limit.map(|limit| format!(" of {limit} (budget.hours_per_month)")).unwrap_or_default();
    let _ = writeln!(out, "this machine, this month so far: {:.1} h{limit}", hours(month.billed_us()));
    let _ = writeln!(
        out,
        "skip_idle: {:.1} h saved; {:.1} h more of chunks in which nothing ran were sent, which it would have saved",
        hours(month.skipped_us),
        hours(month.idle_us)
    );
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use config::Overrides;

    use super::*;

    /// Check the sums that Sentry's documents give: 5 and 10 instances come to 10,950 hours, one of each to 1,460.
    #[test]
    fn sums() {
        let file = "[options]\nprofile_session_sample_rate = 1.0\n[[target]]\nname = 'shop'\nmatch.comm = 'shop'\nstart_on_attach = true\n\
                    [[target]]\nname = 'worker'\nmatch.comm = 'worker'\nprofile_lifecycle = 'trace'\n\
                    [[target]]\nname = 'half'\nmatch.comm = 'half'\nprofile_session_sample_rate = 0.5\n\
                    [[target]]\nname = 'none'\nmatch.comm = 'none'\nprofile_session_sample_rate = 0.0\n";
        let loaded = config::resolve(Some((Path::new("c.toml"), file)), |_| None, Overrides::default()).unwrap();
        let month = Month { number: 0, busy_us: 3_600_000_000, idle_us: 1_800_000_000, skipped_us: 7_200_000_000 };
        let many = ["shop=5", "worker=10", "0"].map(|text| instances(text).unwrap());
        insta::assert_snapshot!(text(&loaded, &many, month), @r"
        shop: 5 instances x 730 h x 1 = 3650 h a month
        worker: 10 instances x 730 h x 1 = 7300 h a month at most: only while root spans are open
        half: 0 instances x 730 h x 0.5 = 0 h a month at most: only from start to stop
        none: nothing; profile_session_sample_rate is 0 (set by: entry)
        all: 10950 h a month
        this machine, this month so far: 1.5 h
        skip_idle: 2.0 h saved; 0.5 h more of chunks in which nothing ran were sent, which it would have saved
        ");
        let one = text(&loaded, &[], Month::default());
        assert!(one.contains("all: 1825 h a month"), "{one}");
        assert!(instances("many").is_err() && instances("shop=-1").is_err());
    }
}

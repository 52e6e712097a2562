//! The command line as settings, over environment, file and defaults.

use std::path::{Path, PathBuf};

use config::{Effective, Loaded, Overrides, Rate, Secret, Settings, States, TargetOptions};
use profile::{chunk::Platform, in_app::InAppRules, session::Naming, thread::Filter};
use reqwest::Url;

use crate::{
    cli::{DaemonArguments, DumpArguments, RunArguments, ServeArguments, TargetArguments, ViewArguments},
    debuginfod,
    exit::Failure,
    ship::{Bounds, Dsn, DsnError, ShipSettings},
};

/// Of the top-level command.
pub fn of_run(arguments: &RunArguments) -> Result<Loaded, Failure> {
    let of_target = of_target(&arguments.target);
    let options = TargetOptions {
        dsn: arguments.dsn.clone().map(Secret::new),
        platform: arguments.platform.clone(),
        release: arguments.release.clone(),
        environment: arguments.environment.clone(),
        ..of_target.options
    };
    let flags = Overrides { options, spool: arguments.spool.clone(), listen: arguments.listen, ..of_target };
    load_all(arguments.config.as_deref(), flags)
}

/// Of the verbs that only sample.
pub fn of_sampling(arguments: &TargetArguments) -> Result<Loaded, Failure> {
    load_all(None, of_target(arguments))
}

/// Of `dump`.
pub fn of_dump(arguments: &DumpArguments) -> Result<Settings, Failure> {
    let stop_for_rbp = arguments.stop_for_rbp.then_some(true);
    Ok(load_all(None, Overrides { stop_for_rbp, ..of_view(&arguments.view) })?.settings)
}

/// Of `serve`.
pub fn of_serve(arguments: &ServeArguments) -> Result<Settings, Failure> {
    let flags = Overrides { listen: arguments.listen, store: arguments.store.clone(), ..Overrides::default() };
    Ok(load_all(arguments.config.as_deref(), flags)?.settings)
}

/// Of the daemon: what its flags say.
pub fn of_daemon(arguments: &DaemonArguments) -> Overrides {
    Overrides {
        control: arguments.control.clone(),
        spool: arguments.spool.clone(),
        listen: arguments.listen,
        metrics: arguments.metrics,
        ..Overrides::default()
    }
}

/// The folder of the store.
pub fn store_folder(settings: &Settings) -> PathBuf {
    settings.store.folder.clone().unwrap_or_else(|| state_folder(settings).join("store"))
}

fn of_target(arguments: &TargetArguments) -> Overrides {
    Overrides {
        rate_hz: arguments.rate.and_then(|rate| Rate::new(rate).ok()),
        stop_for_rbp: arguments.stop_for_rbp.then_some(true),
        ..of_view(&arguments.view)
    }
}

fn of_view(arguments: &ViewArguments) -> Overrides {
    let given = [(arguments.no_idle, States::Active), (arguments.on_cpu, States::OnCpu), (arguments.gil, States::Gil)];
    Overrides {
        states: given.into_iter().find_map(|(given, states)| given.then_some(states)),
        native: arguments.native,
        keep_interpreter_frames: arguments.keep_interpreter_frames.then_some(true),
        options: TargetOptions { project_root: arguments.project_root.clone(), ..TargetOptions::default() },
        ..Overrides::default()
    }
}

/// All sources, with what the flags say.
pub fn load_all(file: Option<&Path>, flags: Overrides) -> Result<Loaded, Failure> {
    const HINT: &str = "config/config.toml in the documentation lists every setting with its default";
    config::load(file, flags).map_err(|error| Failure::Config(error.into(), HINT))
}

/// Every DSN of the settings must be one.
pub fn dsns(loaded: &Loaded) -> Result<(), Failure> {
    for of in each_effective(loaded) {
        let Some(dsn) = &of.dsn.value else { continue };
        let parsed: Result<Dsn, DsnError> = dsn.reveal().parse();
        parsed.map_err(|error| Failure::Config(error.into(), DsnError::HINT))?;
    }
    Ok(())
}

/// What holds for processes that no entry has, and for those of each, as far as they say nothing themselves.
pub fn each_effective(loaded: &Loaded) -> impl Iterator<Item = Effective> {
    let nothing = TargetOptions::default();
    let of_targets = loaded.settings.targets.iter().map(move |target| loaded.of_target(target, &nothing, &nothing));
    std::iter::once(loaded.of_all()).chain(of_targets)
}

/// What is likely not meant.
pub fn warnings(loaded: &Loaded) -> Vec<String> {
    config::warnings(loaded, &|name| matches!(nix::unistd::User::from_name(name), Ok(Some(_))))
}

/// The folder for all that outlives us.
pub fn state_folder(settings: &Settings) -> PathBuf {
    settings.shipping.spool.clone().unwrap_or_else(config::state_folder)
}

/// The folder in the state folder for journals of what goes to a DSN; without one, of what is kept here.
pub fn journals(settings: &Settings, dsn: Option<&Dsn>) -> PathBuf {
    state_folder(settings).join("journals").join(dsn.map_or_else(|| "local".to_owned(), Dsn::folder_name))
}

/// What the shipper needs, if there is a DSN.
pub fn shipping(settings: &Settings, of: &Effective) -> Result<Option<ShipSettings>, Failure> {
    let Some(dsn) = &of.dsn.value else { return Ok(None) };
    let dsn: Dsn = dsn.reveal().parse().map_err(|error: DsnError| Failure::Config(error.into(), DsnError::HINT))?;
    Ok(Some(ShipSettings { client_reports: of.send_client_reports.value, ..ship(settings, dsn) }))
}

/// How chunks are shipped to a DSN.
pub fn ship(settings: &Settings, dsn: Dsn) -> ShipSettings {
    let bounds = Bounds {
        bytes: settings.shipping.spool_max.0,
        age: settings.shipping.spool_age_max.0,
        refused_bytes: settings.shipping.refused_max.0,
    };
    let wait_out_max = settings.shipping.rate_limit_wait.0;
    let journals = Some(journals(settings, Some(&dsn)));
    ShipSettings { journals, bounds, wait_out_max, ..ShipSettings::new(dsn, state_folder(settings).join("spool")) }
}

/// How to sample.
pub fn sampling(settings: &Settings) -> sampler::Settings {
    sampler::Settings {
        rate_hz: settings.sampling.rate_hz.get(),
        stop_for_rbp: settings.sampling.stop_for_rbp,
        native: match settings.python.native {
            config::Native::Merged => sampler::Native::Merged,
            config::Native::Off => sampler::Native::Off,
            config::Native::Only => sampler::Native::Only,
        },
    }
}

/// Which states of threads are shown.
pub fn filter(settings: &Settings) -> Filter {
    match settings.sampling.states {
        States::All => Filter::All,
        States::Active => Filter::Active,
        States::OnCpu => Filter::OnCpu,
        States::Gil => Filter::Gil,
    }
}

/// The platform that was asked for.
pub fn platform(of: &Effective) -> Result<Option<Platform>, Failure> {
    const HINT: &str = "a platform is a lower-case word such as native, rust or python";
    let Some(name) = &of.platform.value else { return Ok(None) };
    let wrong = || Failure::Config(anyhow::anyhow!("`{name}` is no platform for this profiler"), HINT);
    Platform::new(name).map(Some).ok_or_else(wrong)
}

/// Which frames are the application's own.
pub fn in_app(of: &Effective) -> InAppRules {
    InAppRules { include: of.in_app_include.value.clone(), exclude: of.in_app_exclude.value.clone() }
}

/// Who names frames.
pub fn naming(settings: &Settings) -> Naming {
    if settings.naming.raw_for_server { Naming::RawForServer } else { Naming::Here }
}

/// Whom to ask for debug files, if anybody.
pub fn debuginfod(settings: &Settings) -> Result<Option<debuginfod::Settings>, Failure> {
    const HINT: &str = "set naming.debuginfod_urls in the settings file or DEBUGINFOD_URLS to http or https URLs, or \
                        naming.debuginfod to false";
    if !settings.naming.debuginfod || settings.naming.raw_for_server {
        return Ok(None);
    }
    // elfutils allows for words between its URLs (`ima:enforcing`).
    let urls = settings.naming.debuginfod_urls.iter().filter(|url| !url.reveal().starts_with("ima:"));
    let parsed = urls.enumerate().map(|(index, url)| {
        let url = url.reveal().parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https"));
        // Without the URL itself: it may hold a password.
        url.ok_or_else(|| Failure::Config(anyhow::anyhow!("debuginfod server {} has no http URL", index + 1), HINT))
    });
    let servers = parsed.collect::<Result<Vec<Url>, _>>()?;
    if servers.is_empty() {
        return Err(Failure::Config(anyhow::anyhow!("debuginfod is on, but no server is named"), HINT));
    }
    Ok(Some(debuginfod::Settings::new(servers, state_folder(settings).join("debuginfod"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that debuginfod is off by default, whatever the environment names; and what is said of wrong servers.
    #[test]
    fn debuginfod_servers() {
        let of = |on, urls: &[&str]| {
            let mut settings = Settings::default();
            settings.naming.debuginfod = on;
            settings.naming.debuginfod_urls = urls.iter().map(|url| Secret::new(*url)).collect();
            debuginfod(&settings).map(|found| found.map(|found| format!("{:?}", found.servers.len()))).map_err(
                |error| {
                    let Failure::Config(error, _) = error else { unreachable!("{error:?}") };
                    error.to_string()
                },
            )
        };
        assert_eq!(of(false, &["http://a"]), Ok(None));
        assert_eq!(of(true, &["ima:permissive", "http://me:secret@a", "https://b/x/"]), Ok(Some("2".to_owned())));
        assert_eq!(of(true, &["ima:permissive"]), Err("debuginfod is on, but no server is named".to_owned()));
        for wrong in ["file:///etc", "a.example", "ftp://me:secret@a"] {
            let said = Err("debuginfod server 2 has no http URL".to_owned());
            assert_eq!(of(true, &["http://a", wrong]), said, "{wrong}");
        }
    }
}

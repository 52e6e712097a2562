//! What outranks the file: flags, and the variables of the environment that mirror them.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, str::FromStr};

use crate::{
    error::ConfigError,
    glob::Glob,
    layers::Origin,
    options::TargetOptions,
    rates::Rate,
    resolve::Loaded,
    secret::Secret,
    text::{listed, stripped},
    units::{Bytes, Percent},
    words::{Native, States},
};

/// Values that were given outside the file. `None`: not given.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Overrides {
    /// What belongs to targets: `--dsn`, `--release`, `--environment`, `--platform`, `--project-root`; `SENTRY_DSN`,
    /// `SENTRY_RELEASE`, `SENTRY_ENVIRONMENT`, and `SENTRY_PROFILED_` with the key in capitals for the others but
    /// `profiles_sampler`. Lists have commas, `SENTRY_PROFILED_TAGS` is as `team=shop,zone=eu`.
    pub options: TargetOptions,
    /// `--rate`, `SENTRY_PROFILED_RATE_HZ`.
    pub rate_hz: Option<Rate>,
    /// `--stop-for-rbp`, `SENTRY_PROFILED_STOP_FOR_RBP`.
    pub stop_for_rbp: Option<bool>,
    /// `--no-idle`, `--on-cpu`, `--gil`, `SENTRY_PROFILED_STATES`.
    pub states: Option<States>,
    /// `--native`, `SENTRY_PROFILED_NATIVE`.
    pub native: Option<Native>,
    /// `--keep-interpreter-frames`, `SENTRY_PROFILED_KEEP_INTERPRETER_FRAMES`.
    pub keep_interpreter_frames: Option<bool>,
    /// `--spool`, `SENTRY_PROFILED_SPOOL`.
    pub spool: Option<PathBuf>,
    /// `--listen`, `SENTRY_PROFILED_LISTEN`.
    pub listen: Option<SocketAddr>,
    /// `SENTRY_PROFILED_TOKEN`. No flag: `ps` would show it.
    pub token: Option<Secret>,
    /// `--store`, `SENTRY_PROFILED_STORE`.
    pub store: Option<PathBuf>,
    /// `SENTRY_PROFILED_STORE_URL`. No flag: it may hold a password.
    pub store_url: Option<Secret>,
    /// `DEBUGINFOD_URLS`, separated by spaces, as elfutils has it. Says whom to ask, not that one may.
    pub debuginfod_urls: Option<Vec<Secret>>,
    /// `SENTRY_PROFILED_CONTROL`.
    pub control: Option<PathBuf>,
    /// `SENTRY_PROFILED_METRICS`.
    pub metrics: Option<SocketAddr>,
    /// `SENTRY_PROFILED_DSN_HOSTS`, with commas.
    pub dsn_hosts: Option<Vec<Glob>>,
    /// `SENTRY_PROFILED_POD_INFO`.
    pub pod_info: Option<PathBuf>,
    /// `SENTRY_PROFILED_HOST_CPU`.
    pub host_cpu: Option<Percent>,
    /// `SENTRY_PROFILED_TARGET_STOP`.
    pub target_stop: Option<Percent>,
    /// `SENTRY_PROFILED_MEMORY`.
    pub memory: Option<Bytes>,
    /// `SENTRY_PROFILED_HOURS_PER_MONTH`.
    pub hours_per_month: Option<u32>,
}

impl Overrides {
    /// What the environment says. An empty variable is an unset one.
    pub(crate) fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let given = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let from = Environment(&given);
        Ok(Self {
            options: from.options()?,
            rate_hz: from.parsed("SENTRY_PROFILED_RATE_HZ")?,
            stop_for_rbp: from.switch("SENTRY_PROFILED_STOP_FOR_RBP")?,
            states: from.parsed("SENTRY_PROFILED_STATES")?,
            native: from.parsed("SENTRY_PROFILED_NATIVE")?,
            keep_interpreter_frames: from.switch("SENTRY_PROFILED_KEEP_INTERPRETER_FRAMES")?,
            spool: given("SENTRY_PROFILED_SPOOL").map(PathBuf::from),
            listen: from.address("SENTRY_PROFILED_LISTEN")?,
            token: given("SENTRY_PROFILED_TOKEN").map(Secret::new),
            store_url: given("SENTRY_PROFILED_STORE_URL").map(Secret::new),
            store: given("SENTRY_PROFILED_STORE").map(PathBuf::from),
            debuginfod_urls: given("DEBUGINFOD_URLS").map(|urls| urls.split_whitespace().map(Secret::new).collect()),
            control: given("SENTRY_PROFILED_CONTROL").map(PathBuf::from),
            metrics: from.address("SENTRY_PROFILED_METRICS")?,
            dsn_hosts: from
                .with("SENTRY_PROFILED_DSN_HOSTS", |text| listed(text).iter().map(|host| host.parse()).collect())?,
            pod_info: given("SENTRY_PROFILED_POD_INFO").map(PathBuf::from),
            host_cpu: from.parsed("SENTRY_PROFILED_HOST_CPU")?,
            target_stop: from.parsed("SENTRY_PROFILED_TARGET_STOP")?,
            memory: from.parsed("SENTRY_PROFILED_MEMORY")?,
            hours_per_month: from.with("SENTRY_PROFILED_HOURS_PER_MONTH", |text| {
                text.parse().map_err(|_| "no number of hours".to_owned())
            })?,
        })
    }

    /// Puts what was given for the agent over what is there. What was given for targets stays a layer of its own.
    pub(crate) fn apply(self, origin: Origin, loaded: &mut Loaded) {
        let Loaded { settings, origins, .. } = loaded;
        let mut put = Put { origin, origins };
        put.over("sampling.rate_hz", &mut settings.sampling.rate_hz, self.rate_hz);
        put.over("sampling.stop_for_rbp", &mut settings.sampling.stop_for_rbp, self.stop_for_rbp);
        put.over("sampling.states", &mut settings.sampling.states, self.states);
        put.over("python.native", &mut settings.python.native, self.native);
        let keep = &mut settings.python.keep_interpreter_frames;
        put.over("python.keep_interpreter_frames", keep, self.keep_interpreter_frames);
        put.over("naming.debuginfod_urls", &mut settings.naming.debuginfod_urls, self.debuginfod_urls);
        put.over("server.listen", &mut settings.server.listen, self.listen);
        put.some("server.token", &mut settings.server.token, self.token);
        put.some("store.url", &mut settings.store.url, self.store_url);
        if self.store.is_some() {
            // Who says a folder means it.
            put.over("store.url", &mut settings.store.url, Some(None));
        }
        put.some("store.folder", &mut settings.store.folder, self.store);
        put.some("shipping.spool", &mut settings.shipping.spool, self.spool);
        put.some("daemon.control", &mut settings.daemon.control, self.control);
        put.some("daemon.metrics", &mut settings.daemon.metrics, self.metrics);
        put.over("daemon.dsn_hosts", &mut settings.daemon.dsn_hosts, self.dsn_hosts);
        put.over("daemon.pod_info", &mut settings.daemon.pod_info, self.pod_info);
        put.over("budget.host_cpu", &mut settings.budget.host_cpu, self.host_cpu);
        put.over("budget.target_stop", &mut settings.budget.target_stop, self.target_stop);
        put.over("budget.memory", &mut settings.budget.memory, self.memory);
        put.some("budget.hours_per_month", &mut settings.budget.hours_per_month, self.hours_per_month);
    }
}

/// Puts values in their places, and notes where they come from.
struct Put<'o> {
    origin: Origin,
    origins: &'o mut BTreeMap<String, Origin>,
}

impl Put<'_> {
    fn over<T>(&mut self, key: &str, to: &mut T, given: Option<T>) {
        if let Some(value) = given {
            *to = value;
            self.origins.insert(key.to_owned(), self.origin);
        }
    }

    fn some<T>(&mut self, key: &str, to: &mut Option<T>, given: Option<T>) {
        self.over(key, to, given.map(Some));
    }
}

/// Variables that are neither empty nor surrounded by blanks.
struct Environment<'v>(&'v dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn options(&self) -> Result<TargetOptions, ConfigError> {
        let text = |name: &str| (self.0)(name).as_deref().and_then(stripped);
        let list = |name: &str| (self.0)(name).as_deref().map(listed);
        Ok(TargetOptions {
            dsn: (self.0)("SENTRY_DSN").map(Secret::new),
            environment: text("SENTRY_ENVIRONMENT"),
            release: text("SENTRY_RELEASE"),
            dist: text("SENTRY_PROFILED_DIST"),
            traces_sample_rate: self.parsed("SENTRY_PROFILED_TRACES_SAMPLE_RATE")?,
            profile_session_sample_rate: self.parsed("SENTRY_PROFILED_PROFILE_SESSION_SAMPLE_RATE")?,
            profile_lifecycle: self.parsed("SENTRY_PROFILED_PROFILE_LIFECYCLE")?,
            profiles_sample_rate: self.parsed("SENTRY_PROFILED_PROFILES_SAMPLE_RATE")?,
            // Rules are no text for a variable.
            profiles_sampler: None,
            in_app_include: list("SENTRY_PROFILED_IN_APP_INCLUDE"),
            in_app_exclude: list("SENTRY_PROFILED_IN_APP_EXCLUDE"),
            project_root: text("SENTRY_PROFILED_PROJECT_ROOT"),
            send_client_reports: self.switch("SENTRY_PROFILED_SEND_CLIENT_REPORTS")?,
            platform: text("SENTRY_PROFILED_PLATFORM"),
            start_on_attach: self.switch("SENTRY_PROFILED_START_ON_ATTACH")?,
            skip_idle: self.switch("SENTRY_PROFILED_SKIP_IDLE")?,
            forked_decision: self.parsed("SENTRY_PROFILED_FORKED_DECISION")?,
            tags: self.with("SENTRY_PROFILED_TAGS", tags)?,
        })
    }

    fn with<T>(&self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, ConfigError> {
        (self.0)(name).map(|value| parse(&value).map_err(|what| ConfigError::Environment { name, what })).transpose()
    }

    fn parsed<T: FromStr<Err = String>>(&self, name: &'static str) -> Result<Option<T>, ConfigError> {
        self.with(name, str::parse)
    }

    fn switch(&self, name: &'static str) -> Result<Option<bool>, ConfigError> {
        self.with(name, |text| match text {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err(format!("`{text}` is neither true nor false")),
        })
    }

    fn address(&self, name: &'static str) -> Result<Option<SocketAddr>, ConfigError> {
        self.with(name, |text| {
            text.parse().map_err(|_| format!("`{text}` is no address with a port, as 127.0.0.1:4141"))
        })
    }
}

/// `team=shop,zone=eu`.
fn tags(text: &str) -> Result<BTreeMap<String, String>, String> {
    let pairs = listed(text).into_iter().map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((stripped(key)?, value.trim().to_owned()))
    });
    pairs.collect::<Option<_>>().ok_or_else(|| "no tags: write team=shop,zone=eu".to_owned())
}

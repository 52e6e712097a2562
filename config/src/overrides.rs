//! What outranks the file: flags, and the variables of the environment that mirror them.

use std::{net::SocketAddr, path::PathBuf};

use crate::{
    error::ConfigError,
    settings::Settings,
    units::{Native, Rate, Secret, States},
};

/// Values that were given outside the file. `None`: not given.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Overrides {
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
    /// `--project-root`, `SENTRY_PROFILED_PROJECT_ROOT`.
    pub project_root: Option<String>,
    /// `--dsn`, `SENTRY_DSN`.
    pub dsn: Option<Secret>,
    /// `--spool`, `SENTRY_PROFILED_SPOOL`.
    pub spool: Option<PathBuf>,
    /// `--platform`, `SENTRY_PROFILED_PLATFORM`.
    pub platform: Option<String>,
    /// `--release`, `SENTRY_RELEASE`.
    pub release: Option<String>,
    /// `--environment`, `SENTRY_ENVIRONMENT`.
    pub environment: Option<String>,
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
}

impl Overrides {
    /// What the environment says. An empty variable is an unset one.
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let given = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        Ok(Self {
            rate_hz: parsed("SENTRY_PROFILED_RATE_HZ", given, str::parse)?,
            stop_for_rbp: parsed("SENTRY_PROFILED_STOP_FOR_RBP", given, switch)?,
            states: parsed("SENTRY_PROFILED_STATES", given, str::parse)?,
            native: parsed("SENTRY_PROFILED_NATIVE", given, str::parse)?,
            keep_interpreter_frames: parsed("SENTRY_PROFILED_KEEP_INTERPRETER_FRAMES", given, switch)?,
            project_root: given("SENTRY_PROFILED_PROJECT_ROOT"),
            dsn: given("SENTRY_DSN").map(Secret::new),
            spool: given("SENTRY_PROFILED_SPOOL").map(PathBuf::from),
            platform: given("SENTRY_PROFILED_PLATFORM"),
            release: given("SENTRY_RELEASE"),
            environment: given("SENTRY_ENVIRONMENT"),
            listen: parsed("SENTRY_PROFILED_LISTEN", given, |text| {
                text.parse().map_err(|_| format!("`{text}` is no address with a port, as 127.0.0.1:4141"))
            })?,
            token: given("SENTRY_PROFILED_TOKEN").map(Secret::new),
            store_url: given("SENTRY_PROFILED_STORE_URL").map(Secret::new),
            store: given("SENTRY_PROFILED_STORE").map(PathBuf::from),
            debuginfod_urls: given("DEBUGINFOD_URLS").map(|urls| urls.split_whitespace().map(Secret::new).collect()),
        })
    }

    /// Puts what was given over what is there.
    pub(crate) fn apply(self, settings: &mut Settings) {
        put(&mut settings.sampling.rate_hz, self.rate_hz);
        put(&mut settings.sampling.stop_for_rbp, self.stop_for_rbp);
        put(&mut settings.sampling.states, self.states);
        put(&mut settings.python.native, self.native);
        put(&mut settings.python.keep_interpreter_frames, self.keep_interpreter_frames);
        put(&mut settings.naming.debuginfod_urls, self.debuginfod_urls);
        put(&mut settings.server.listen, self.listen);
        put_some(&mut settings.server.token, self.token);
        put_some(&mut settings.store.url, self.store_url);
        if self.store.is_some() {
            settings.store.folder = self.store;
            // Who says a folder means it.
            settings.store.url = None;
        }
        put_some(&mut settings.python.project_root, self.project_root);
        put_some(&mut settings.shipping.dsn, self.dsn);
        put_some(&mut settings.shipping.spool, self.spool);
        put_some(&mut settings.output.platform, self.platform);
        put_some(&mut settings.output.release, self.release);
        put_some(&mut settings.output.environment, self.environment);
    }
}

fn put<T>(to: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *to = value;
    }
}

fn put_some<T>(to: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *to = given;
    }
}

fn parsed<T>(
    name: &'static str,
    given: impl Fn(&str) -> Option<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    given(name).map(|value| parse(&value).map_err(|what| ConfigError::Environment { name, what })).transpose()
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

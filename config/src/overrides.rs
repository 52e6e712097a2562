//! What outranks the file: flags, and the variables of the environment that mirror them.

use std::path::PathBuf;

use crate::{
    error::ConfigError,
    settings::Settings,
    units::{Rate, Secret},
};

/// Values that were given outside the file. `None`: not given.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Overrides {
    /// `--rate`, `SENTRY_PROFILED_RATE_HZ`.
    pub rate_hz: Option<Rate>,
    /// `--stop-for-rbp`, `SENTRY_PROFILED_STOP_FOR_RBP`.
    pub stop_for_rbp: Option<bool>,
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
            dsn: given("SENTRY_DSN").map(Secret::new),
            spool: given("SENTRY_PROFILED_SPOOL").map(PathBuf::from),
            platform: given("SENTRY_PROFILED_PLATFORM"),
            release: given("SENTRY_RELEASE"),
            environment: given("SENTRY_ENVIRONMENT"),
            debuginfod_urls: given("DEBUGINFOD_URLS").map(|urls| urls.split_whitespace().map(Secret::new).collect()),
        })
    }

    /// Puts what was given over what is there.
    pub(crate) fn apply(self, settings: &mut Settings) {
        let Self { rate_hz, stop_for_rbp, dsn, spool, platform, release, environment, debuginfod_urls } = self;
        put(&mut settings.sampling.rate_hz, rate_hz);
        put(&mut settings.sampling.stop_for_rbp, stop_for_rbp);
        put(&mut settings.naming.debuginfod_urls, debuginfod_urls);
        settings.shipping.dsn = dsn.or(settings.shipping.dsn.take());
        settings.shipping.spool = spool.or(settings.shipping.spool.take());
        settings.output.platform = platform.or(settings.output.platform.take());
        settings.output.release = release.or(settings.output.release.take());
        settings.output.environment = environment.or(settings.output.environment.take());
    }
}

fn put<T>(to: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *to = value;
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

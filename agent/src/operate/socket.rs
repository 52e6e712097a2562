//! The control socket from the operator's side.

use std::{path::PathBuf, time::Duration};

use anyhow::anyhow;
use reqwest::{Client, Method, redirect::Policy};
use serde::Deserialize;
use serde_json::Value;

use super::ControlArguments;
use crate::{exit::Failure, settings};

/// The daemon answers within milliseconds; a start may have to open its target.
const ANSWER_MAX: Duration = Duration::from_secs(20);
const HINT: &str = "is the daemon running? `systemctl status sentry-profiled`, or `sentry-profiled daemon`; that of root is asked as root (sudo), or by \
                    its socket: --control /run/sentry-profiled/control.sock";

/// A daemon.
pub(super) struct Control {
    path: PathBuf,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    hint: String,
}

impl Control {
    /// Where the settings have it. A daemon goes on with the old ones when the file is wrong, and is to be asked all the same.
    pub(super) fn new(arguments: &ControlArguments) -> Result<Self, Failure> {
        if let Some(path) = &arguments.control {
            return Ok(Self { path: path.clone() });
        }
        let loaded = match settings::load_all(arguments.config.as_deref(), config::Overrides::default()) {
            Err(_) if arguments.config.is_none() => config::load_without_file(config::Overrides::default())?,
            loaded => loaded?,
        };
        Ok(Self { path: config::control_socket(&loaded.settings) })
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path)
    }

    pub(super) fn post(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::POST, path)
    }

    fn ask(&self, method: Method, path: &str) -> Result<Value, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.ask_within(method, path))
    }

    async fn ask_within(&self, method: Method, path: &str) -> Result<Value, Failure> {
        let unreachable = |error: reqwest::Error| {
            let error = anyhow::Error::new(error.without_url());
            Failure::Unreachable(error.context(format!("cannot ask the daemon at {}", self.path.display())), HINT)
        };
        // Another part of the program may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().unix_socket(self.path.as_path()).redirect(Policy::none()).timeout(ANSWER_MAX);
        let http = http.tls_certs_only([]).build().map_err(unreachable)?;
        let response = http.request(method, format!("http://localhost{path}")).send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(unreachable)?;
        if status == 200 {
            return Ok(serde_json::from_slice(&bytes)?);
        }
        let said: Option<Refusal> = serde_json::from_slice(&bytes).ok();
        let Refusal { error, hint } = said.unwrap_or_else(|| Refusal {
            error: format!("the daemon answered {status}"),
            hint: "is it an agent of this version?".to_owned(),
        });
        let code = match status {
            400 => 78,
            403 => 77,
            _ => 1,
        };
        Err(Failure::Answered { error: anyhow!(error), hint, code })
    }
}

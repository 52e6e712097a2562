//! One attempt to send one envelope over HTTP, and what its answer means. Neither repeats nor waits.

use std::{error::Error as _, time::Duration};

use reqwest::{Client, StatusCode, header::HeaderValue, redirect::Policy};

use super::{
    dsn::Dsn,
    limits::{self, Headers},
    settings::ShipSettings,
};

/// An answer's text is kept up to here: it says why, in JSON of some hundred bytes.
const ANSWER_BYTES_MAX: usize = 4096;

/// The text comes with the status, or is not worth waiting for.
const TEXT_WITHIN: Duration = Duration::from_secs(5);

/// What came of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// 2xx: the server has it.
    Accepted,
    /// 429: not now.
    Limited,
    /// Another 4xx: it would be refused again.
    Refused(String),
    /// No answer, 5xx, or a redirect (a portal in between, or a wrong DSN): to be sent again, not before what a
    /// `Retry-After` asked for.
    Failed { why: String, not_before: Option<Duration> },
}

/// The connection to one DSN.
#[derive(Debug)]
pub(super) struct Sender {
    http: Client,
    dsn: Dsn,
    url: String,
    auth: HeaderValue,
}

impl Sender {
    pub(super) fn new(settings: &ShipSettings) -> Result<Self, reqwest::Error> {
        let client = settings.client_name();
        // Proxies come from the usual variables by themselves. A redirect would turn our POST into a GET.
        let http = || {
            Client::builder()
                .user_agent(client.clone())
                .redirect(Policy::none())
                .connect_timeout(settings.connect_timeout)
                .timeout(settings.request_timeout)
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(Duration::from_secs(30))
        };
        // A machine without root certificates can still talk to a server that shows none.
        let http = http()
            .build()
            .or_else(|error| if settings.dsn.is_https() { Err(error) } else { http().tls_certs_only([]).build() })?;
        let auth = settings.dsn.auth(&client).unwrap_or_else(|| HeaderValue::from_static(""));
        Ok(Self { http, url: settings.dsn.envelope_url(), dsn: settings.dsn.clone(), auth })
    }

    /// Sends `body`. `learn` sees the headers of whatever answer comes.
    pub(super) async fn send(&self, body: Vec<u8>, learn: impl FnOnce(Headers<'_>)) -> Outcome {
        let request = self
            .http
            .post(&self.url)
            .header("X-Sentry-Auth", self.auth.clone())
            .header("Content-Type", "application/x-sentry-envelope")
            .header("Content-Encoding", "gzip")
            .body(body);
        match request.send().await {
            Ok(answer) => self.judge(answer, learn).await,
            Err(error) => Outcome::Failed { why: describe(error), not_before: None },
        }
    }

    async fn judge(&self, mut answer: reqwest::Response, learn: impl FnOnce(Headers<'_>)) -> Outcome {
        let status = answer.status();
        let joined = |name: &str| {
            let values: Vec<&str> =
                answer.headers().get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        let (rate_limits, retry_after) = (joined("X-Sentry-Rate-Limits"), joined("Retry-After"));
        learn(Headers {
            status: status.as_u16(),
            rate_limits: rate_limits.as_deref(),
            retry_after: retry_after.as_deref(),
        });
        let text = tokio::time::timeout(TEXT_WITHIN, read_some(&mut answer)).await.unwrap_or_default();
        let text = self.dsn.redact(&text);
        if status.is_success() {
            Outcome::Accepted
        } else if status == StatusCode::TOO_MANY_REQUESTS {
            Outcome::Limited
        } else if status.is_client_error() {
            Outcome::Refused(format!("{status}\n{text}"))
        } else {
            let not_before = retry_after.and_then(|text| limits::retry_after(&text, std::time::SystemTime::now()));
            Outcome::Failed { why: format!("the server answered {status}"), not_before }
        }
    }
}

/// The beginning of an answer's text; what can't be read is left out: the status is the answer.
async fn read_some(answer: &mut reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(part)) = answer.chunk().await {
        bytes.extend_from_slice(&part);
        if bytes.len() >= ANSWER_BYTES_MAX {
            bytes.truncate(ANSWER_BYTES_MAX);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The causes of a failure in one line, without the URL.
fn describe(error: reqwest::Error) -> String {
    let what = if error.is_timeout() { "no answer in time" } else { "no answer" };
    let error = error.without_url();
    let mut cause = error.source();
    let mut last = None;
    while let Some(error) = cause {
        last = Some(error.to_string());
        cause = error.source();
    }
    last.map_or_else(|| format!("{what}: {error}"), |last| format!("{what}: {last}"))
}

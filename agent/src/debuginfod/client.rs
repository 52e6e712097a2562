//! One question to the servers, one after the other, and what their answers mean. Keeps nothing but who is silent.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    time::{Duration, Instant},
};

use profile::{id::BuildId, session::ClientSdk};
use reqwest::{
    Client, StatusCode, Url,
    redirect::{Attempt, Policy},
};
use tracing::warn;

use super::Settings;

/// Servers send on to a mirror, that to its storage.
const REDIRECTS_MAX: usize = 3;
/// A server that gave no answer is left alone for so long.
const SILENT_FOR: Duration = Duration::from_mins(1);

/// What came of a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The file was written, and is the right one.
    Found,
    /// No server has it.
    Missing,
    /// Some server could not be asked, and the others do not have it.
    Failed,
}

/// Why a server's answer is no file.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer")]
    Silent(#[source] reqwest::Error),
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the file is not of that build")]
    OtherBuild,
    #[error("the file cannot be written")]
    Disk(#[from] std::io::Error),
}

pub(super) struct Servers {
    http: Client,
    in_order: Vec<Server>,
    file_max: u64,
    /// How long a silent server is left alone.
    silent_for: Duration,
}

struct Server {
    url: Url,
    silent_since: Option<Instant>,
}

/// The part of a server's URL that may be shown.
pub(super) fn host(url: &Url) -> &str {
    url.host_str().unwrap_or("?")
}

impl Servers {
    pub(super) fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        let client = ClientSdk::default();
        let name = format!("{}/{}", client.name, client.version);
        // Proxies come from the usual variables by themselves.
        let http = || {
            Client::builder()
                .user_agent(name.clone())
                .redirect(Policy::custom(redirect))
                .connect_timeout(settings.connect_timeout)
                .read_timeout(settings.read_timeout)
                .timeout(settings.total_timeout)
                .pool_max_idle_per_host(1)
        };
        // A machine without root certificates can still ask a server that shows none.
        let encrypted = settings.servers.iter().any(|url| url.scheme() == "https");
        let http =
            http().build().or_else(|error| if encrypted { Err(error) } else { http().tls_certs_only([]).build() })?;
        let in_order = settings.servers.iter().map(|url| Server { url: url.clone(), silent_since: None }).collect();
        let silent_for = SILENT_FOR.min(settings.miss_age);
        Ok(Self { http, in_order, file_max: settings.file_max, silent_for })
    }

    /// Asks one server after the other until one has the file, which is written to `file`.
    pub(super) async fn get(&mut self, build_id: &BuildId, file: &mut File) -> Outcome {
        let mut outcome = Outcome::Missing;
        for server in &mut self.in_order {
            if server.silent_since.is_some_and(|since| since.elapsed() < self.silent_for) {
                outcome = Outcome::Failed;
                continue;
            }
            match ask(&self.http, &server.url, build_id, file, self.file_max).await {
                Ok(()) => return Outcome::Found,
                Err(Failure::Status(StatusCode::NOT_FOUND)) => {}
                // The same would come again.
                Err(failure @ (Failure::TooLarge(_) | Failure::OtherBuild)) => {
                    warn!(host = host(&server.url), %build_id, %failure, "A debuginfod server sent no use.");
                }
                Err(failure) => {
                    outcome = Outcome::Failed;
                    server.silent_since = matches!(failure, Failure::Silent(_)).then(Instant::now);
                    let error = anyhow::Error::from(failure);
                    warn!(host = host(&server.url), error = format!("{error:#}"), "A debuginfod server is of no help.");
                }
            }
        }
        outcome
    }
}

async fn ask(http: &Client, url: &Url, build_id: &BuildId, file: &mut File, most: u64) -> Result<(), Failure> {
    file.set_len(0)?;
    file.rewind()?;
    let silent = |error: reqwest::Error| Failure::Silent(error.without_url());
    let mut answer = http.get(question(url, build_id)).send().await.map_err(silent)?;
    if answer.status() != StatusCode::OK {
        return Err(Failure::Status(answer.status()));
    }
    if answer.content_length().is_some_and(|len| len > most) {
        return Err(Failure::TooLarge(most));
    }
    let mut written = 0;
    while let Some(piece) = answer.chunk().await.map_err(silent)? {
        written += piece.len() as u64;
        if written > most {
            return Err(Failure::TooLarge(most));
        }
        file.write_all(&piece)?;
    }
    let stated = symbolizer::build_id_of(file.try_clone()?);
    if stated.as_ref() == Some(build_id) { Ok(()) } else { Err(Failure::OtherBuild) }
}

fn question(url: &Url, build_id: &BuildId) -> Url {
    let mut url = url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["buildid", &build_id.to_string(), "debuginfo"]);
    }
    url
}

/// A few, never to what is not HTTP, and never from an encrypted one to a plain one.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from = attempt.previous().last().map_or("", |url| url.scheme());
    let downgrade = from == "https" && attempt.url().scheme() != "https";
    if attempt.previous().len() > REDIRECTS_MAX {
        attempt.error("too many redirects")
    } else if downgrade || !matches!(attempt.url().scheme(), "http" | "https") {
        attempt.error("a redirect to another scheme")
    } else {
        attempt.follow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the path of a server is kept, with and without a slash at its end.
    #[test]
    fn questions() {
        let id = BuildId::new(&[0xab; 8]).unwrap();
        let ask = |url: &str| question(&url.parse().unwrap(), &id).to_string();
        assert_eq!(ask("http://a:8002"), "http://a:8002/buildid/abababababababab/debuginfo");
        assert_eq!(ask("https://a/debuginfod/"), "https://a/debuginfod/buildid/abababababababab/debuginfo");
    }
}

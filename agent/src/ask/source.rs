//! Whom to ask: a server by HTTP, or a folder, which is asked in this process.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use reqwest::{Client, Url, redirect::Policy};
use serde::Deserialize;
use store::{ChunkStore, StoreError, embedded::Embedded, query::Queries};

use crate::exit::Failure;

/// To a server that is there.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Between two pieces of an answer: a question over weeks takes a while.
const SILENCE_MAX: Duration = Duration::from_mins(2);
/// What is wrong is said in less, bytes.
const ERROR_MAX: usize = 64 * 1024;

/// Whom to ask, and the right to.
#[derive(Debug, Args, Clone)]
pub struct SourceArguments {
    /// Whom.
    #[command(flatten)]
    pub whom: Whom,
    /// The server's token. `ps` shows it to every user: rather set the variable
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SENTRY_PROFILED_TOKEN",
        hide_env_values = true,
        help_heading = "Whom to ask"
    )]
    pub token: Option<String>,
}

/// Whom to ask: one of the two.
#[derive(Debug, Args, Clone)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// Server to ask: http://HOST:PORT
    #[arg(long, value_name = "URL", help_heading = "Whom to ask")]
    pub server: Option<String>,
    /// Folder to ask, also while a server writes to it
    #[arg(long, value_name = "DIR", help_heading = "Whom to ask")]
    pub store: Option<PathBuf>,
}

/// The shape of every error of the API.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    hint: String,
}

impl SourceArguments {
    /// The answer to a path with its query, all of it.
    pub(super) fn ask(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let mut answer = Vec::new();
        self.ask_into(path, &mut answer)?;
        Ok(answer)
    }

    /// The same, written as it comes.
    pub(super) fn ask_into(&self, path: &str, out: &mut dyn Write) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut answer = Answer { out, refusal: Vec::new(), status: 0 };
        match (&self.whom.server, &self.whom.store) {
            (Some(url), _) => runtime.block_on(self.ask_server(url, path, &mut answer))?,
            (None, Some(dir)) => runtime.block_on(ask_folder(dir, path, &mut answer))?,
            (None, None) => return Err(Failure::Usage("neither --server nor --store is given".to_owned())),
        }
        answer.judge()
    }

    async fn ask_server(&self, url: &str, path: &str, answer: &mut Answer<'_>) -> Result<(), Failure> {
        let unreachable = |error: reqwest::Error| {
            let hint = "is `sentry-profiled serve` running there?";
            Failure::Unreachable(
                anyhow::Error::new(error.without_url()).context(format!("cannot ask the server at {url}")),
                hint,
            )
        };
        let base = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base =
            base.ok_or_else(|| Failure::Usage(format!("`{url}` is no URL of a server: write http://HOST:PORT")))?;
        let whole = base.join(path).context("the server's URL cannot be extended")?;
        let mut request = client().map_err(unreachable)?.get(whole);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut response = request.send().await.map_err(unreachable)?;
        answer.status = response.status().as_u16();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            answer.write_all(&piece).context("cannot write the answer")?;
        }
        Ok(())
    }
}

fn client() -> Result<Client, reqwest::Error> {
    // Another part of the program may have done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = || Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_WITHIN).read_timeout(SILENCE_MAX);
    // A machine without root certificates can still talk to a server that shows none.
    http().build().or_else(|_| http().tls_certs_only([]).build())
}

async fn ask_folder(dir: &Path, path: &str, answer: &mut Answer<'_>) -> Result<(), Failure> {
    let store: Arc<dyn ChunkStore> = Arc::new(Embedded::open_read_only(dir).map_err(|error| cannot_open(dir, error))?);
    let local = server::api::Local::new(Queries { store, live: None });
    local.get(path, answer).await.context("cannot write the answer")?;
    Ok(())
}

/// Why a folder is no store.
pub(super) fn cannot_open(dir: &Path, error: StoreError) -> Failure {
    let said = anyhow::Error::new(error).context(format!("cannot open the store in {}", dir.display()));
    Failure::Hinted(said, "give the folder that `sentry-profiled serve --store` writes to")
}

impl server::api::Taker for Answer<'_> {
    fn status(&mut self, status: u16) {
        self.status = status;
    }

    fn piece(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.write_all(piece)
    }
}

/// An answer as it comes: what is good goes out, what says why there is none is kept.
struct Answer<'o> {
    status: u16,
    out: &'o mut dyn Write,
    refusal: Vec<u8>,
}

impl Answer<'_> {
    fn write_all(&mut self, piece: &[u8]) -> std::io::Result<()> {
        if self.status == 200 {
            return self.out.write_all(piece);
        }
        let room = ERROR_MAX.saturating_sub(self.refusal.len());
        self.refusal.extend_from_slice(piece.get(..room).unwrap_or(piece));
        Ok(())
    }

    fn judge(self) -> Result<(), Failure> {
        let said: Option<Refusal> = serde_json::from_slice(&self.refusal).ok();
        let Refusal { error, hint } = said.unwrap_or_else(|| Refusal {
            error: format!("the server answered {}", self.status),
            hint: "is it a server of this program?".to_owned(),
        });
        match self.status {
            200 => Ok(()),
            400 => Err(Failure::Answered { error: anyhow!(error), hint, code: 2 }),
            401 | 403 => Err(Failure::Answered { error: anyhow!(error), hint, code: 77 }),
            _ => Err(Failure::Answered { error: anyhow!(error), hint, code: 1 }),
        }
    }
}

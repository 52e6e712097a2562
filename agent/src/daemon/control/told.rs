//! What is asked over the control socket, and what is answered, as `docs/control.md` has it. Decides nothing.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use super::peer::Peer;

/// The body of `POST /v1/self`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Registration {
    /// Who asks.
    pub(crate) client: Client,
    /// What the program's own code set; each is looked at by itself, so that one that is wrong costs no other.
    pub(crate) options: BTreeMap<String, Value>,
    /// Where it notes what it wants.
    pub(crate) board: Option<BoardAt>,
    /// What its SDK made of it, where the code says nothing.
    pub(crate) resolved: Resolved,
}

/// What an SDK found out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Resolved {
    /// That of its events: by variables of the environment, or by git, which we never run.
    pub(crate) release: Option<String>,
}

/// A client package.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Version of the SDK that it is for.
    pub(crate) sdk: String,
}

/// Where a board is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct BoardAt {
    pub(crate) version: u32,
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// What a process is told of itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) target: String,
    pub(crate) mode: &'static str,
    pub(crate) sampled: bool,
    pub(crate) reason: Option<String>,
    pub(crate) options: Value,
    pub(crate) warnings: Vec<String>,
    pub(crate) running: Option<String>,
    pub(crate) change: u64,
}

/// What starting or stopping came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Started {
    pub(crate) profiler_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Why something is not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    /// An HTTP status.
    pub(crate) status: u16,
    pub(crate) error: String,
    pub(crate) hint: &'static str,
}

impl Refusal {
    pub(crate) fn new(status: u16, error: impl Into<String>, hint: &'static str) -> Self {
        Self { status, error: error.into(), hint }
    }
}

/// An answer, and who tells when it is another.
pub(crate) type Looked = Result<(Answer, Arc<Notify>), Refusal>;

/// What the main thread is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    Register(Peer, Box<Registration>, oneshot::Sender<Looked>),
    Look(Peer, oneshot::Sender<Looked>),
    /// Starts or stops a process: of a process itself, or of another for root.
    Run(Peer, i32, bool, oneshot::Sender<Result<Started, Refusal>>),
    Status(oneshot::Sender<Value>),
    Targets(oneshot::Sender<Value>),
    Reload(oneshot::Sender<Result<Value, Refusal>>),
    Metrics(oneshot::Sender<String>),
}

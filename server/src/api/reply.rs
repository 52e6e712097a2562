//! How an answer goes out: JSON, a file, or a file in pieces.

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::mpsc;

use super::error::ApiError;

/// An answer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// JSON.
    Json(Vec<u8>),
    /// A file.
    File {
        /// Its kind.
        kind: &'static str,
        /// What to call it.
        name: String,
        /// Itself.
        bytes: Vec<u8>,
    },
    /// A file that comes in pieces. It ends early when its making fails: then the connection is cut off, not closed.
    Pieces {
        /// Its kind.
        kind: &'static str,
        /// What to call it.
        name: String,
        /// Themselves.
        pieces: mpsc::Receiver<Result<Bytes, ApiError>>,
    },
}

impl Reply {
    /// Some value as JSON.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        serde_json::to_vec(value).map(Self::Json).map_err(|_| ApiError::Broken)
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let (kind, name, body) = match self {
            Self::Json(bytes) => ("application/json", None, Body::from(bytes)),
            Self::File { kind, name, bytes } => (kind, Some(name), Body::from(bytes)),
            Self::Pieces { kind, name, pieces } => (kind, Some(name), flowing(pieces)),
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        // What is kept grows, and is nobody else's business.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let name = name.and_then(|name| HeaderValue::try_from(format!("attachment; filename=\"{name}\"")).ok());
        if let Some(name) = name {
            headers.insert(header::CONTENT_DISPOSITION, name);
        }
        response
    }
}

/// Who compresses it asks once more after its end.
fn flowing(pieces: mpsc::Receiver<Result<Bytes, ApiError>>) -> Body {
    let pieces = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    Body::from_stream(pieces.fuse())
}

/// The description of the API: the same for as long as the program runs.
pub(crate) fn description(text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "private, max-age=300")];
    (headers, text).into_response()
}

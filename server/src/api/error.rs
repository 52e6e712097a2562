//! What is said when a question is not answered: one JSON shape, `{"error": ..., "hint": ...}`.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use store::StoreError;
use thiserror::Error;
use tracing::error;

/// Why a question is not answered.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    /// A parameter makes no sense.
    #[error("parameter `{name}`: {what}")]
    Parameter {
        /// Which.
        name: String,
        /// What is wrong with it.
        what: String,
        /// What to send instead.
        hint: String,
    },
    /// Nothing of this name is kept.
    #[error("{0} is not kept here")]
    NotKept(String),
    /// No such path.
    #[error("there is no such path")]
    NoRoute,
    /// The path is there, for other methods.
    #[error("only GET and HEAD are answered here")]
    Method,
    /// Too many questions wait.
    #[error("too many questions wait for their turn")]
    Busy,
    /// The store does not do it.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A bug.
    #[error("the answer could not be made")]
    Broken,
}

#[derive(Serialize)]
struct Body<'b> {
    error: &'b str,
    hint: &'b str,
}

/// The one shape of everything that is not an answer; also for who guards these routes.
pub fn refuse(status: StatusCode, error: &str, hint: &str) -> Response {
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, headers, Json(Body { error, hint })).into_response()
}

impl ApiError {
    pub(crate) fn parameter(name: &str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Parameter { name: name.to_owned(), what: what.into(), hint: hint.into() }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Parameter { .. } => StatusCode::BAD_REQUEST,
            Self::NotKept(_) | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn hint(&self) -> String {
        let text = match self {
            Self::Parameter { hint, .. } => return hint.clone(),
            Self::NotKept(_) => "it may be older than what is kept, or of another project",
            Self::NoRoute | Self::Method => "see /api/v1/openapi.json",
            Self::Busy => "ask again in a second",
            Self::Store(_) | Self::Broken => "the server's log says more",
        };
        text.to_owned()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Store(store) = &self {
            error!(error = store as &dyn std::error::Error, "A question could not be answered.");
        }
        let mut response = refuse(self.status(), &self.to_string(), &self.hint());
        let headers = response.headers_mut();
        match self {
            Self::Busy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
            }
            _ => {}
        }
        response
    }
}

//! What a sender is answered, and with which headers: Relay's codes, so that SDKs do what they do with Sentry.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use profile::wire::envelope::EnvelopeError;
use serde_json::json;

/// When a sender may try again after "overloaded", seconds.
const RETRY_AFTER_S: u64 = 5;
/// How long a browser may remember that it may send.
const PREFLIGHT_AGE: &str = "3600";
const RATE_LIMITS: HeaderName = HeaderName::from_static("x-sentry-rate-limits");
const ERROR: HeaderName = HeaderName::from_static("x-sentry-error");

/// What is answered when something was taken, or there was nothing that is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Answer {
    /// The envelope's `event_id`.
    pub(super) id: Option<String>,
    /// Kinds of which no more are taken for now.
    pub(super) limits: Vec<Limit>,
}

/// A category of which no more is taken for now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Limit {
    pub(super) category: &'static str,
    pub(super) seconds: u64,
}

/// Why an envelope is not taken at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NotTaken {
    /// 400: it cannot be understood.
    BadRequest(String),
    /// 401: no credentials, malformed ones, or two of them.
    Unauthorized(&'static str),
    /// 403: no such project, or another key.
    Forbidden,
    /// 408: the rest of the body did not come.
    Slow,
    /// 413.
    TooLarge(String),
    /// 429.
    Limited(Vec<Limit>),
    /// 503: too much is being read already.
    Overloaded,
    /// 503: it cannot be kept.
    StoreFailed,
}

impl NotTaken {
    pub(super) fn of_envelope(error: &EnvelopeError) -> Self {
        match error {
            EnvelopeError::TooLarge(_) | EnvelopeError::TooManyItems => Self::TooLarge(error.to_string()),
            _ => Self::BadRequest(error.to_string()),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::StoreFailed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::BadRequest(why) | Self::TooLarge(why) => why.clone(),
            Self::Unauthorized(why) => (*why).to_owned(),
            Self::Forbidden => "no such project, or not its key".to_owned(),
            Self::Slow => "the body did not come in time".to_owned(),
            Self::Limited(_) => "rate limit exceeded".to_owned(),
            Self::Overloaded => "too many requests are being read".to_owned(),
            Self::StoreFailed => "cannot be kept now".to_owned(),
        }
    }

    pub(super) fn answer(self) -> Response {
        let detail = self.detail();
        let mut answer = (self.status(), Json(json!({ "detail": detail, "causes": [] }))).into_response();
        let headers = answer.headers_mut();
        if let Ok(text) = HeaderValue::from_str(&detail) {
            headers.insert(ERROR, text);
        }
        let retry_after = match &self {
            Self::Limited(limits) => limits.iter().map(|limit| limit.seconds).max(),
            Self::Overloaded | Self::StoreFailed => Some(RETRY_AFTER_S),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Self::Limited(limits) = &self {
            insert_limits(headers, limits);
        }
        // A body that was not read to its end cannot be skipped over.
        if !matches!(self, Self::Limited(_)) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl Answer {
    pub(super) fn answer(self) -> Response {
        let body = self.id.map_or_else(|| json!({}), |id| json!({ "id": id }));
        let mut answer = Json(body).into_response();
        insert_limits(answer.headers_mut(), &self.limits);
        answer
    }
}

/// `37:profile_chunk:project:quota, ...`
fn insert_limits(headers: &mut axum::http::HeaderMap, limits: &[Limit]) {
    let text: Vec<String> =
        limits.iter().map(|limit| format!("{}:{}:project:quota", limit.seconds, limit.category)).collect();
    if let (false, Ok(value)) = (text.is_empty(), HeaderValue::from_str(&text.join(", "))) {
        headers.insert(RATE_LIMITS, value);
    }
}

/// Asked by browsers before they send.
pub(super) fn preflight() -> Response {
    let mut answer = StatusCode::OK.into_response();
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("x-sentry-auth, x-requested-with, x-forwarded-for, origin, accept, content-type, authentication, authorization, content-encoding, transfer-encoding"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE));
    answer
}

/// Scripts of any page may send, as to Sentry: a key is no secret.
pub(super) fn allow_browsers(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("x-sentry-error, x-sentry-rate-limits, retry-after"),
    );
    answer
}

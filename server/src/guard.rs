//! Who may read: whoever shows the token; without one, programs on this machine, but not web pages that make a browser ask
//! (DNS rebinding), so the request's `Host` must be this machine by number or as `localhost`.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};

use crate::api::refuse;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Shown by whoever may read.
    pub(crate) token: Option<String>,
}

/// Lets a request through, or answers for it.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match &guard.token {
        Some(token) if !shows(&request, token) => {
            let mut answer = refuse(
                StatusCode::UNAUTHORIZED,
                "the token is missing or wrong",
                "send `Authorization: Bearer TOKEN`; it is server.token in the settings of the server",
            );
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
            answer
        }
        None if !is_here(&request) => refuse(
            StatusCode::FORBIDDEN,
            "without a token only this machine may read, by its own name",
            "ask for localhost or 127.0.0.1, or set server.token in the settings of the server",
        ),
        _ => next.run(request).await,
    }
}

fn shows(request: &Request, token: &str) -> bool {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    let given = given.and_then(|given| given.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    given.is_some_and(|(_, shown)| equal(shown.trim().as_bytes(), token.as_bytes()))
}

/// In a time that does not tell how far they are equal.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn is_here(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    /// Check who is let through.
    #[test]
    fn who_may_read() {
        let with = |name: &str, value: &str| Request::builder().header(name, value).body(Body::empty()).unwrap();
        let hosts = ["localhost:1", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "127.8.8.8"];
        assert!(hosts.iter().all(|host| is_here(&with("host", host))));
        let others = ["", "evil.example", "localhost.evil.example", "10.0.0.1", "[::2]:1", "["];
        assert!(!others.iter().any(|host| is_here(&with("host", host))));
        assert!(shows(&with("authorization", "Bearer abc"), "abc"));
        assert!(
            shows(&with("authorization", "bearer abc"), "abc") && !shows(&with("authorization", "Basic abc"), "abc")
        );
        assert!(!shows(&with("authorization", "Bearer ab"), "abc") && !shows(&with("cookie", "abc"), "abc"));
    }
}

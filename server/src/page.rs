//! The page: the files of `web/`, which are in the binary. They hold no data, so anybody may have them; what they show they
//! ask of the query API.

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::{EmbeddedFile, RustEmbed};
use tower_http::compression::{CompressionLayer, CompressionLevel};

/// Everything comes from this server, nothing may be put around it or run in it that is not a file of it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "web/"]
#[exclude = "*.d.ts"]
struct Files;

/// What the page shows by their addresses; the file is one and the same.
const PAGES: &[&str] = &["", "profile", "compare", "transactions", "trace", "usage", "refused"];

/// `/`, the other pages, and the files they are made of.
pub fn router() -> Router {
    Router::new()
        .route("/", get(|headers: HeaderMap| async move { serve("", &headers) }))
        .route("/{*file}", get(|Path(file): Path<String>, headers: HeaderMap| async move { serve(&file, &headers) }))
        // A browser keeps what it got: better small than soon.
        .layer(CompressionLayer::new().quality(CompressionLevel::Precise(9)))
}

fn serve(name: &str, headers: &HeaderMap) -> Response {
    let name = if PAGES.contains(&name) { "index.html" } else { name };
    match Files::get(name) {
        Some(file) => answer(name, &file, headers),
        None => (StatusCode::NOT_FOUND, "no such page\n").into_response(),
    }
}

fn answer(name: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    let tag = hash.iter().take(16).fold(String::from("\""), |tag, byte| tag + &format!("{byte:02x}")) + "\"";
    let common: [(HeaderName, String); 6] = [
        (header::CONTENT_TYPE, kind(name).to_owned()),
        // Kept by the browser, but asked for each time: after an update the page is the new one.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, tag.clone()),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    let has = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if has.is_some_and(|has| has.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, Body::from(file.data.clone().into_owned())).into_response()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(name: &str, headers: &HeaderMap) -> u16 {
        serve(name, headers).status().as_u16()
    }

    /// Check that files come with their type and policy, once for each version, and that nothing else is served.
    #[test]
    fn files() {
        let answer = serve("index.html", &HeaderMap::new());
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(answer.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        let mut again = HeaderMap::new();
        again.insert(header::IF_NONE_MATCH, answer.headers()[header::ETAG].clone());
        assert_eq!(["index.html", "", "profile"].map(|name| status_of(name, &again)), [304; 3]);
        assert_eq!(status_of("shell/app.js", &again), 200);
        assert_eq!(
            ["nothing", "../Cargo.toml", "shell", "shell/../../Cargo.toml", "/etc/passwd"]
                .map(|name| status_of(name, &again)),
            [404; 5]
        );
    }
}

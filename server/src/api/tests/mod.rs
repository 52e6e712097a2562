//! The router as a client meets it, over a real store in a temporary folder.

mod described;
mod exports;
mod same;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use serde_json::Value;
use store::{
    ChunkStore,
    embedded::Embedded,
    item::{Batch, ProjectId},
    query::Queries,
    testing::Process,
};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;

/// When the profiles of the tests begin: an hour that begins at a whole hour, microseconds since 1970.
const BEGIN_US: u64 = 1_795_770_000_000_000;
/// A window that holds them all.
const WINDOW: &str = "from=1795770000&to=1795773600";

/// A store with three chunks of two processes in project 1.
fn kept() -> (TempDir, Queries) {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path()).unwrap();
    let (one, other) = (Process::small(1), Process::small(2));
    let chunks = [one.chunk(BEGIN_US), one.chunk(BEGIN_US + 60_000_000), other.chunk(BEGIN_US)];
    let profiles = chunks.into_iter().map(|chunk| (ProjectId(1), chunk)).collect();
    store.append(Batch { profiles, ..Batch::default() }).unwrap();
    let store: Arc<dyn ChunkStore> = Arc::new(store);
    (dir, Queries { store, live: None })
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&self.bytes)))
    }
}

async fn ask(router: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Got {
    let mut request = Request::builder().method(method).uri(format!("{PREFIX}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec();
    Got { status, headers, bytes }
}

async fn get(router: &Router, path: &str) -> Got {
    ask(router, Method::GET, path, &[]).await
}

async fn json(router: &Router, path: &str) -> Value {
    let got = get(router, path).await;
    assert_eq!(got.status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&got.bytes));
    got.json()
}

/// Check what is said of wrong parameters, paths and methods: always one shape, never a failure of the server.
#[tokio::test]
async fn refusals() {
    let (_dir, queries) = kept();
    let router = router(queries, Settings::default());
    let mut said = Vec::new();
    for path in [
        "/tree?fom=-1h",
        "/tree?from=soon",
        "/tree?from=10&to=10",
        "/tree?from=1&from=2",
        "/tree?project=-1",
        "/tree?profiler=xyz",
        "/tree?states=asleep",
        "/tree?lines=1",
        "/cpu?buckets=0",
        "/difference",
        "/export?format=svg",
        "/export?view=flame",
        "/transactions/xyz/tree",
        "/transactions/00000000000000000000000000000001/tree",
        "/nothing",
        "/",
    ] {
        let got = get(&router, path).await;
        let body = got.json();
        said.push(format!(
            "{path} {} {} | {}",
            got.status.as_u16(),
            body["error"].as_str().unwrap(),
            body["hint"].as_str().unwrap()
        ));
    }
    let got = ask(&router, Method::POST, "/tree", &[]).await;
    said.push(format!("POST {} {} allow={:?}", got.status.as_u16(), got.json()["error"], got.headers[header::ALLOW]));
    insta::assert_snapshot!(said.join("\n"), @r#"
    /tree?fom=-1h 400 parameter `fom`: is not known here | known are: project, from, to, profiler, environment, release, thread, mark, states, lines, inverted, split
    /tree?from=soon 400 parameter `from`: is no point in time | write 2026-11-27T10:00:00Z, Unix seconds, `now` or how long ago: -90s, -15m, -1h30m, -7d
    /tree?from=10&to=10 400 parameter `from`: is not before `to` | give a window that has a length
    /tree?from=1&from=2 400 parameter `from`: is given several times | give it once
    /tree?project=-1 400 parameter `project`: is no such number | write a number from 0 to 9223372036854775807
    /tree?profiler=xyz 400 parameter `profiler`: is no id | write 32 hexadecimal digits
    /tree?states=asleep 400 parameter `states`: is not known | write all, active, on_cpu or gil
    /tree?lines=1 400 parameter `lines`: is neither true nor false | write true or false
    /cpu?buckets=0 400 parameter `buckets`: is no such number | write a number from 1 to 10000
    /difference 400 parameter `base_from`: nothing says what to compare with | give base_from and base_to, base_release, base_environment or base_profiler
    /export?format=svg 400 parameter `format`: is not known | write one of collapsed, speedscope, pprof, firefox, sentry
    /export?view=flame 400 parameter `view`: is not known | write tree or timeline
    /transactions/xyz/tree 400 parameter `event_id`: is no id | write 32 hexadecimal digits
    /transactions/00000000000000000000000000000001/tree 404 transaction 00000000000000000000000000000001 is not kept here | it may be older than what is kept, or of another project
    /nothing 404 there is no such path | see /api/v1/openapi.json
    / 404 there is no such path | see /api/v1/openapi.json
    POST 405 "only GET and HEAD are answered here" allow="GET,HEAD"
    "#);
}

/// Check HEAD, compression and caching.
#[tokio::test]
async fn transport() {
    let (_dir, queries) = kept();
    let open = router(queries, Settings::default());
    let path = format!("/tree?{WINDOW}");
    let whole = get(&open, &path).await;
    assert_eq!(whole.headers[header::CACHE_CONTROL], "no-store");
    let head = ask(&open, Method::HEAD, &path, &[]).await;
    assert_eq!((head.status, head.bytes.len()), (StatusCode::OK, 0));
    for encoding in ["gzip", "br", "zstd"] {
        let small = ask(&open, Method::GET, &path, &[("accept-encoding", encoding)]).await;
        assert_eq!(small.headers[header::CONTENT_ENCODING], encoding);
        assert!(
            small.bytes.len() * 2 < whole.bytes.len(),
            "{encoding}: {} of {}",
            small.bytes.len(),
            whole.bytes.len()
        );
    }
    let pprof = format!("/export?{WINDOW}&format=pprof");
    let once = ask(&open, Method::GET, &pprof, &[("accept-encoding", "gzip")]).await;
    assert!(!once.headers.contains_key(header::CONTENT_ENCODING), "is compressed as it is");
}

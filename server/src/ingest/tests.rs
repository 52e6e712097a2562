//! The endpoint without a socket: what SDKs sent, and what else may come.

use std::{fmt::Write as _, io::Read as _, path::Path, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use store::{ChunkStore, item::ProjectId};
use tower::ServiceExt as _;

use crate::{
    Project, Server, Settings,
    testing::{MemoryStore, compressed},
};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const GOOD: &str = r#"{"version":"2","profiler_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c",
"chunk_id":"c3a94e17d0b84f5e9a6b2c81f7e05d34","platform":"rust","client_sdk":{"name":"acme","version":"0.1.0"},
"profile":{"frames":[{"function":"parse"}],"stacks":[[0]],"samples":[{"timestamp":1790000000,"stack_id":0,"thread_id":"7"},
{"timestamp":1790000001,"stack_id":0,"thread_id":"7"}]}}"#;

struct Receiver {
    server: Server,
    store: Arc<MemoryStore>,
}

impl Receiver {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let project = Project { id: 42, key: KEY.to_owned(), name: "shop".to_owned(), items_per_minute: None };
        let mut settings = Settings::new(vec![project]);
        change(&mut settings);
        let store = Arc::new(MemoryStore::default());
        Self { server: Server::new(settings, Arc::clone(&store) as Arc<dyn ChunkStore>), store }
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (StatusCode, String, HeaderMap) {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.server.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, String::from_utf8_lossy(&body).into_owned(), parts.headers)
    }

    /// As SDKs send, in this encoding.
    async fn send_as(&self, encoding: &str, body: Vec<u8>) -> (StatusCode, String, HeaderMap) {
        let auth = format!("Sentry sentry_key={KEY}, sentry_version=7, sentry_client=acme/1");
        self.send("/api/42/envelope/", &[("x-sentry-auth", &auth), ("content-encoding", encoding)], body).await
    }
}

fn receiver() -> Receiver {
    Receiver::new(|_| ())
}

fn envelope(items: &[(&str, &str)]) -> Vec<u8> {
    let mut text = "{}\n".to_owned();
    for (kind, payload) in items {
        writeln!(text, "{{\"type\":\"{kind}\",\"length\":{}}}\n{payload}", payload.len()).unwrap();
    }
    text.into_bytes()
}

/// An envelope that an SDK sent.
fn sent(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profile/tests/data");
    let file = std::fs::File::open(folder.join(format!("{name}.envelope.gz"))).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Check that what SDKs send is kept and linked, in every encoding.
#[tokio::test]
async fn sdks() {
    for encoding in ["", "gzip", "x-gzip", "deflate", "br", "zstd"] {
        let receiver = receiver();
        for name in [
            "python-transaction-0",
            "python-manual-0",
            "python-manual-1",
            "node10-transaction-0",
            "node10-trace-0",
            "node10-trace-1",
            "node11-trace-0",
            "node11-trace-1",
        ] {
            let answer = receiver.send_as(encoding, compressed(encoding, &sent(name))).await;
            assert_eq!(answer.0, StatusCode::OK, "{name} {encoding}: {}", answer.1);
        }
        let (profiles, transactions) = (receiver.store.all(), receiver.store.all_transactions());
        assert_eq!((profiles.len(), transactions.len(), receiver.store.all_spans().len()), (5, 5, 10));
        for transaction in transactions {
            let linked = profiles.iter().filter(|profile| {
                transaction.profile_id == Some(profile.head.chunk_id)
                    || transaction.profiler_id == Some(profile.head.profiler_id)
            });
            assert_eq!(linked.count(), 1, "{transaction:?}");
        }
        assert_eq!(profiles.iter().filter(|profile| profile.head.sdk.0.is_empty()).count(), 0);
    }
}

/// Path, headers, what else the envelope's own headers say, and the answer's status.
type Row<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, u16);

/// Check the ways to say a key, and what is answered to wrong ones.
#[tokio::test]
async fn credentials() {
    let good = |dsn: &str| format!("{{{dsn}}}\n{{\"type\":\"session\"}}\n{{}}\n").into_bytes();
    let sentry = format!("sentry sentry_version=7,sentry_key={}", KEY.to_uppercase());
    let basic = format!("Basic {}", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY6");
    let query = format!("/api/42/envelope/?sentry_version=7&sentry_key={KEY}&sentry_client=a%2Fb");
    let dsn = format!("\"dsn\":\"https://{KEY}:secret@host/prefix/42\"");
    let other = "\"dsn\":\"https://0123456789abcdef0123456789abcde0@host/42\"";
    let path = "/api/42/envelope/";
    let rows: Vec<Row<'_>> = vec![
        (path, vec![("x-sentry-auth", &sentry)], "", 200),
        ("/api/42/envelope", vec![("authorization", &sentry)], "", 200),
        (path, vec![("authorization", &basic)], "", 200),
        (&query, vec![], "", 200),
        (path, vec![], &dsn, 200),
        (path, vec![("x-sentry-auth", &sentry)], &dsn, 200),
        (path, vec![("authorization", "Bearer x"), ("x-sentry-auth", &sentry)], "", 200),
        (path, vec![], "", 401),
        (path, vec![("x-sentry-auth", "Sentry sentry_version=7")], "", 401),
        (path, vec![("x-sentry-auth", &sentry), ("authorization", &basic)], "", 401),
        (&query, vec![("x-sentry-auth", &sentry)], "", 401),
        (path, vec![("x-sentry-auth", "Sentry sentry_key=abc")], "", 400),
        (
            path,
            vec![("x-sentry-auth", "Sentry sentry_version=8, sentry_key=0123456789abcdef0123456789abcdef")],
            "",
            400,
        ),
        (path, vec![("x-sentry-auth", &sentry)], other, 400),
        (path, vec![], "\"dsn\":\"x\"", 400),
        ("/api/shop/envelope/", vec![("x-sentry-auth", &sentry)], "", 400),
        ("/api/43/envelope/", vec![("x-sentry-auth", &sentry)], "", 403),
        (path, vec![], other, 403),
    ];
    let receiver = receiver();
    for (path, headers, dsn, status) in rows {
        let answer = receiver.send(path, &headers, good(dsn)).await;
        assert_eq!(answer.0.as_u16(), status, "{path} {headers:?} {dsn}: {}", answer.1);
        assert_eq!(answer.2["access-control-allow-origin"], "*");
    }
    assert_eq!(receiver.server.counts().tally().dropped["session"], 7);
}

/// Check that a bad item is kept with its reason and costs no good one, and that unknown ones are counted.
#[tokio::test]
async fn items_alone() {
    let receiver = receiver();
    let items = [
        ("profile_chunk", "{\"version\":\"2\"}"),
        ("profile_chunk", GOOD),
        ("transaction", "{}"),
        ("span", "{\"items\":[{}]}"),
        ("profile", "\u{e9}"),
        ("replay_event", "{}"),
        ("whatever", "{}"),
    ];
    let answer = receiver.send_as("", envelope(&items)).await;
    assert_eq!((answer.0.as_u16(), answer.1.as_str()), (200, "{}"));
    assert_eq!(receiver.store.all().len(), 1);
    let refused = receiver.store.refused(ProjectId(42), 10).unwrap();
    let show = |refused: &store::item::Refused| {
        format!("{} {} {} {}", refused.item, refused.reason, refused.client, refused.head)
    };
    insta::assert_snapshot!(refused.iter().map(show).collect::<Vec<_>>().join("\n"), @r#"
    profile profiling_invalid_json acme/1 é
    profile_chunk profiling_invalid_json acme/1 {"version":"2"}
    transaction invalid_transaction acme/1 {}
    "#);
    insta::assert_snapshot!(serde_json::to_string(&receiver.server.counts().tally()).unwrap(),
        @r#"{"taken":{"profile_chunk":1,"span":1},"refused":{"profile":1,"profile_chunk":1,"transaction":1},"dropped":{"other":1,"replay_event":1},"limited":{},"parts_dropped":1,"answers":{"200":1}}"#);
    let with_id = b"{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\"}\n".to_vec();
    assert_eq!(receiver.send_as("", with_id).await.1, r#"{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}"#);
}

/// Check what is answered to bytes that are no envelope, or too many.
#[tokio::test]
async fn garbage() {
    let receiver = Receiver::new(|settings| settings.limits.envelope_bytes = 1 << 20);
    let rows: Vec<(&str, Vec<u8>, u16)> = vec![
        ("", Vec::new(), 400),
        ("", b"hello".to_vec(), 400),
        ("gzip", b"hello".to_vec(), 400),
        ("br", b"hello".to_vec(), 400),
        ("zstd", b"hello".to_vec(), 400),
        ("deflate", b"hello".to_vec(), 400),
        ("gzip", compressed("gzip", &envelope(&[]))[..8].to_vec(), 400),
        ("lzma", envelope(&[]), 400),
        ("identity", envelope(&[]), 200),
        ("utf-8", envelope(&[]), 200),
        ("", vec![b'x'; (1 << 20) + 1], 413),
        ("", envelope(&[("session", ""); 201]), 413),
    ];
    for (encoding, body, status) in rows {
        let answer = receiver.send_as(encoding, body).await;
        assert_eq!(answer.0.as_u16(), status, "{encoding}: {}", answer.1);
    }
    let refused = receiver.store.refused(ProjectId(42), 10).unwrap();
    let show = |refused: &store::item::Refused| format!("{} {}: {}", refused.item, refused.reason, refused.detail);
    assert_eq!(show(refused.last().unwrap()), "envelope invalid_envelope: headers at byte 0 are not a JSON object");
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let bomb = compressed(encoding, &vec![b'x'; 64 << 20]);
        let answer = receiver.send_as(encoding, bomb).await;
        assert_eq!(answer.0.as_u16(), 413, "{encoding}: {}", answer.1);
    }
}

/// Check that what does not fit the memory of all requests is put off, and that its memory comes back.
#[tokio::test]
async fn overloaded() {
    let receiver = Receiver::new(|settings| settings.limits.bytes_in_flight = 1 << 20);
    for _ in 0..3 {
        let large = receiver.send_as("", vec![b'x'; 2 << 20]).await;
        assert_eq!((large.0.as_u16(), large.2["retry-after"].to_str().unwrap()), (503, "5"));
        assert_eq!(receiver.send_as("", envelope(&[("profile_chunk", GOOD)])).await.0.as_u16(), 200);
    }
}

/// Check that a store that fails is no success.
#[tokio::test]
async fn store_fails() {
    let receiver = receiver();
    receiver.store.fail(true);
    let answer = receiver.send_as("", envelope(&[("profile_chunk", GOOD)])).await;
    assert_eq!(answer.0.as_u16(), 503);
    receiver.store.fail(false);
    assert_eq!(receiver.send_as("", envelope(&[("profile_chunk", GOOD)])).await.0.as_u16(), 200);
    assert_eq!(receiver.store.all().len(), 1);
}

/// Check what is said to a project that sends more than its quota.
#[tokio::test]
async fn quotas() {
    let receiver = Receiver::new(|settings| settings.projects[0].items_per_minute = Some(2));
    let mut codes = Vec::new();
    for _ in 0..3 {
        let (status, _, headers) = receiver.send_as("", envelope(&[("profile_chunk", GOOD)])).await;
        codes.push((status.as_u16(), headers.contains_key("retry-after")));
        if status.as_u16() == 429 {
            let limits = headers["x-sentry-rate-limits"].to_str().unwrap();
            let (seconds, rest) = limits.split_once(':').unwrap();
            assert!((1..=60).contains(&seconds.parse::<u64>().unwrap()), "{limits}");
            assert_eq!(rest, "profile_chunk:project:quota");
        }
    }
    // Unless a minute began in between.
    assert!(codes == [(200, false), (200, false), (429, true)] || codes.iter().all(|code| code.0 == 200), "{codes:?}");
    let mixed = receiver.send_as("", envelope(&[("profile_chunk", GOOD), ("span", "{\"items\":[]}")])).await;
    assert_eq!(mixed.0.as_u16(), 200, "what is not limited is taken");
}

/// Check what a browser asks before it sends.
#[tokio::test]
async fn preflight() {
    let request = Request::options("/api/42/envelope/").header("origin", "https://shop.example").body(Body::empty());
    let answer = receiver().server.router().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["access-control-allow-methods"], "POST");
    assert!(answer.headers()["access-control-allow-headers"].to_str().unwrap().contains("x-sentry-auth"));
}

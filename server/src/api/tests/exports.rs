//! Exports say the same as the API.

use std::collections::BTreeSet;

use super::*;

async fn export(router: &Router, query: &str) -> Got {
    let got = get(router, &format!("/export?{WINDOW}&{query}")).await;
    assert_eq!(got.status, StatusCode::OK, "{query}: {}", String::from_utf8_lossy(&got.bytes));
    got
}

/// Check that the time in collapsed stacks, speedscope and Firefox's format is that of the tree, by either view.
#[tokio::test]
async fn totals() {
    let (_dir, queries) = kept();
    let router = router(queries, Settings::default());
    let total = json(&router, &format!("/tree?{WINDOW}")).await["total_us"].as_u64().unwrap();
    for view in ["tree", "timeline"] {
        let collapsed = String::from_utf8(export(&router, &format!("view={view}")).await.bytes).unwrap();
        let counts = collapsed.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
        assert_eq!(counts.sum::<u64>(), total, "{view}");

        let speedscope = export(&router, &format!("view={view}&format=speedscope")).await.json();
        let mut sum = 0;
        for profile in speedscope["profiles"].as_array().unwrap() {
            let samples = profile["samples"].as_array().unwrap().iter().zip(profile["weights"].as_array().unwrap());
            sum += samples
                .filter(|(stack, _)| !stack.as_array().unwrap().is_empty())
                .map(|(_, us)| us.as_u64().unwrap())
                .sum::<u64>();
        }
        assert_eq!(sum, total, "{view}");

        let firefox = export(&router, &format!("view={view}&format=firefox")).await.json();
        let mut sum_ms = 0.0;
        for thread in firefox["threads"].as_array().unwrap() {
            let samples = &thread["samples"];
            let rows = samples["stack"].as_array().unwrap().iter().zip(samples["weight"].as_array().unwrap());
            sum_ms += rows.filter(|(stack, _)| !stack.is_null()).map(|(_, ms)| ms.as_f64().unwrap()).sum::<f64>();
        }
        assert!(
            (sum_ms * 1000.0 - f64::from(u32::try_from(total).unwrap())).abs() < 1.0,
            "{view}: {sum_ms} ms of {total} us"
        );
    }
}

/// Check that raw chunks come out whole, one a line, and are what Relay takes.
#[tokio::test]
async fn chunks() {
    let (_dir, queries) = kept();
    let router = router(queries, Settings::default());
    let got = export(&router, "format=sentry").await;
    assert_eq!(got.headers[header::CONTENT_TYPE], "application/x-ndjson");
    let text = String::from_utf8(got.bytes).unwrap();
    let mut samples = 0;
    for line in text.lines() {
        let chunk: Value = serde_json::from_str(line).unwrap();
        samples += chunk["profile"]["samples"].as_array().unwrap().len();
        let keys: BTreeSet<&str> = chunk.as_object().unwrap().keys().map(String::as_str).collect();
        for key in ["chunk_id", "profiler_id", "platform", "client_sdk", "profile", "version"] {
            assert!(keys.contains(key), "{key}");
        }
    }
    let tree = json(&router, &format!("/tree?{WINDOW}")).await;
    assert_eq!((text.lines().count(), tree["covers"]["samples"].as_u64()), (3, Some(samples as u64)));
}

/// Check that raw chunks come compressed, too, and that a body that has ended may be asked again: who sends it does.
#[tokio::test]
async fn compressed_chunks() {
    use http_body_util::BodyExt as _;
    let (_dir, queries) = kept();
    let router = router(queries, Settings::default());
    for encoding in ["gzip", "zstd", "br", "deflate"] {
        let request = Request::builder().uri(format!("{PREFIX}/export?{WINDOW}&format=sentry"));
        let request = request.header(header::ACCEPT_ENCODING, encoding).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let mut body = response.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().into_data().map_or(0, |data| data.len());
        }
        assert!(bytes > 100, "{encoding}: {bytes}");
        assert!(body.frame().await.is_none(), "{encoding}");
    }
}

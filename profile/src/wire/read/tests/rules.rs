//! Each rule by one change to an item that is taken.

use super::*;

const CHUNK: &str = r#"{"version":"2","profiler_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c",
    "chunk_id":"c3a94e17d0b84f5e9a6b2c81f7e05d34","platform":"rust","client_sdk":{"name":"acme","version":"0.1.0"},
    "profile":{"frames":[{"function":"parse","lineno":0},{"function":""}],"stacks":[[0,1],[]],"samples":[
    {"timestamp":1790000000.02,"stack_id":1,"thread_id":"7"},{"timestamp":1790000000.0,"stack_id":0,"thread_id":"7"},
    {"timestamp":1790000000.01,"stack_id":0,"thread_id":"7"},{"timestamp":1790000000.0,"stack_id":0,"thread_id":"8"}
    ],"thread_metadata":{"7":{"name":"w"},"9":{}}}}"#;

const PROFILE: &str = r#"{"version":"1","event_id":"c3a94e17d0b84f5e9a6b2c81f7e05d34","platform":"python",
    "timestamp":"2026-09-21T15:06:40Z","device":{"architecture":"x"},"os":{"name":"Linux","version":"6"},"release":"",
    "transactions":[{"id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c","name":"GET /","trace_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937d",
    "active_thread_id":"7"}],"profile":{"frames":[{"function":"parse"}],"stacks":[[0],[]],"samples":[
    {"elapsed_since_start_ns":"1000","stack_id":1,"thread_id":"7"},{"elapsed_since_start_ns":2000,"stack_id":0,"thread_id":7},
    {"elapsed_since_start_ns":"3000","stack_id":0,"thread_id":"7"},{"elapsed_since_start_ns":"4000","stack_id":1,"thread_id":"7"},
    {"elapsed_since_start_ns":"4000","stack_id":0,"thread_id":"8"}]}}"#;

const TRANSACTION: &str = r#"{"type":"transaction","event_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c","transaction":"GET /",
    "start_timestamp":1790000000.5,"timestamp":"2026-09-21T15:06:41.250Z","contexts":{"trace":{
    "trace_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937d","span_id":"00000000000000ab","data":{"thread.id":7}}},
    "spans":[{"span_id":"00000000000000ac","start_timestamp":1790000000.6,"timestamp":1790000000.7},{"span_id":"ac"},{}]}"#;

fn change(whole: &str, from: &str, to: &str) -> String {
    assert!(whole.contains(from), "{from}");
    whole.replacen(from, to, 1)
}

fn outcome<T>(read: &Result<T, Refusal>) -> &'static str {
    read.as_ref().err().map_or("taken", |refusal| refusal.outcome().unwrap_or("part"))
}

/// Check what a chunk comes out as: sorted, one thread left out, no line 0, no empty name.
#[test]
fn whole_chunk() {
    let Taken { received, threads_dropped } = chunk(CHUNK.as_bytes(), Some("rust")).unwrap();
    assert_eq!(threads_dropped, 1);
    assert_eq!(received.frames[0], crate::received::Frame { function: Some("parse".into()), ..Default::default() });
    assert_eq!(received.frames[1], crate::received::Frame::default());
    let [thread] = received.threads.as_slice() else { panic!("{received:?}") };
    let samples: Vec<_> =
        thread.samples.iter().map(|sample| (sample.at_us - 1_790_000_000_000_000, sample.stack)).collect();
    assert_eq!((thread.name.as_deref(), samples), (Some("w"), vec![(0, 0), (10_000, 0), (20_000, 1)]));
    assert_eq!((received.head.start_us, received.head.end_us), (1_790_000_000_000_000, 1_790_000_000_020_000));
}

/// Check what becomes of a chunk that breaks a rule. (`check` has the rest of Relay's.)
#[test]
fn chunks() {
    let rows = [
        (r#""thread_id":"7""#, r#""thread_id":7"#, "profiling_invalid_json"),
        ("1790000000.02", "1790000000020", "profiling_invalid_json"),
        ("1790000000.02", "-1", "profiling_invalid_json"),
        (r#""stack_id":1"#, r#""stack_id":18446744073709551615"#, "profiling_malformed_samples"),
        (r#""stack_id":1"#, r#""stack_id":1.0"#, "profiling_invalid_json"),
        ("[[0,1],[]]", "[[0,1],[18446744073709551615]]", "profiling_malformed_stacks"),
        ("[[0,1],[]]", "[[0,1],[],[2]]", "profiling_malformed_stacks"),
        (r#""profile":"#, r#""debug_meta":{"images":[{"type":"jvm"}]},"profile":"#, "taken"),
        (r#""profile":"#, r#""debug_meta":{"images":[{"type":"symbolic"}]},"profile":"#, "profiling_invalid_json"),
        (r#""profile":"#, r#""measurements":null,"profile":"#, "taken"),
        (r#""profile":"#, r#""sentry_profiled":[1],"profile":"#, "taken"),
        (r#""version":"2","#, r#""profile":7,"#, "profiling_platform_not_supported"),
    ];
    for (from, to, expected) in rows {
        assert_eq!(outcome(&chunk(change(CHUNK, from, to).as_bytes(), None)), expected, "{from} -> {to}");
    }
    assert_eq!(outcome(&chunk(CHUNK.as_bytes(), Some("c"))), "profiling_invalid_profile_type");
    assert_eq!(outcome(&chunk(&vec![b' '; (50 << 20) + 1], None)), "profiling_exceed_size_limit");
    assert_eq!(outcome(&chunk(b"\xff", None)), "profiling_invalid_json");
}

/// Check that small bytes cannot become large memory.
#[test]
fn caps() {
    let with = |from: &str, to: String| outcome(&chunk(change(CHUNK, from, &to).as_bytes(), None));
    let frames = format!("\"frames\":[{}", "{},".repeat(1 << 18));
    assert_eq!(with("\"frames\":[", frames), "profiling_exceed_size_limit");
    let stacks = format!("\"stacks\":[{}", "[],".repeat(1 << 19));
    assert_eq!(with("\"stacks\":[", stacks), "profiling_exceed_size_limit");
    let deep = format!("\"stacks\":[[{}0],", "0,".repeat(1 << 22));
    assert_eq!(with("\"stacks\":[", deep), "profiling_exceed_size_limit");
    let mut threads = "\"samples\":[".to_owned();
    for thread in 0..70_000 {
        write!(threads, r#"{{"timestamp":1790000000,"stack_id":0,"thread_id":"{thread}"}},"#).unwrap();
    }
    assert_eq!(with("\"samples\":[", threads), "profiling_exceed_size_limit");
    let nested = format!("{}{}", "{\"a\":".repeat(10_000), "1");
    assert_eq!(outcome(&chunk(nested.as_bytes(), None)), "profiling_invalid_json");
    let long = change(CHUNK, "parse", &"é".repeat(10_000));
    let function = chunk(long.as_bytes(), None).unwrap().received.frames[0].function.clone().unwrap();
    assert_eq!(function.len(), crate::wire::limits::TEXT_MAX);
}

/// Check what a v1 profile comes out as: idle ends cut, the thread with one sample left out.
#[test]
fn whole_profile() {
    let Taken { received, threads_dropped } = profile(PROFILE.as_bytes(), ("s".into(), "1".into())).unwrap();
    let [thread] = received.threads.as_slice() else { panic!("{received:?}") };
    let start = 1_790_003_200_000_000;
    let samples: Vec<_> = thread.samples.iter().map(|sample| (sample.at_us - start, sample.stack)).collect();
    assert_eq!((threads_dropped, thread.id.as_str(), samples), (1, "7", vec![(2, 0), (3, 0)]));
    assert_eq!((received.head.profiler_id, received.head.release.clone()), (received.head.chunk_id, None));
    assert_eq!(received.head.transaction.unwrap().thread_id.as_deref(), Some("7"));
}

/// Check what becomes of a v1 profile that breaks a rule.
#[test]
fn profiles() {
    let rows = [
        (r#""version":"1","#, "", "profiling_platform_not_supported"),
        (r#""1""#, r#""2""#, "profiling_platform_not_supported"),
        (r#""device":{"architecture":"x"},"#, "", "profiling_invalid_json"),
        ("2026-09-21T15:06:40Z", "yesterday", "profiling_invalid_json"),
        ("\"transactions\"", "\"other\"", "profiling_no_transaction_associated"),
        ("GET /", "", "profiling_invalid_transaction_metadata"),
        (
            "5f0c1a7e9b3d4c62a81e7d40b6f2937d",
            "00000000000000000000000000000000",
            "profiling_invalid_transaction_metadata",
        ),
        (r#""3000","stack_id":0"#, r#""3000","stack_id":1"#, "profiling_not_enough_samples"),
        (r#""3000","stack_id":0"#, r#""3000","stack_id":9"#, "profiling_malformed_samples"),
        (r#""3000","stack_id":0"#, r#""30000000001","stack_id":0"#, "profiling_duration_is_too_long"),
        (r#""3000","stack_id":0"#, r#""3.5","stack_id":0"#, "profiling_invalid_json"),
        ("[[0],[]]", "[[0],[1]]", "profiling_malformed_stacks"),
        (r#""release":"""#, r#""measurements":{"x":7}"#, "taken"),
    ];
    for (from, to, expected) in rows {
        let read = profile(change(PROFILE, from, to).as_bytes(), <(String, String)>::default());
        assert_eq!(outcome(&read), expected, "{from} -> {to}");
    }
}

/// Check what is taken of a transaction with spans that are none, and what becomes of one that is none itself.
#[test]
fn transactions() {
    let event = transaction(TRANSACTION.as_bytes(), None).unwrap();
    assert_eq!((event.spans.len(), event.spans_dropped), (2, 2));
    assert_eq!((event.transaction.thread_id.as_deref(), event.transaction.span_id), (Some("7"), 0xab));
    let rows = [
        (r#""contexts""#, r#""other""#, "invalid_transaction"),
        ("1790000000.5", "1890000000", "invalid_transaction"),
        ("1790000000.5", "\"soon\"", "invalid_transaction"),
        ("00000000000000ab", "0000000000000000", "invalid_transaction"),
        (r#""event_id""#, r#""other""#, "invalid_transaction"),
        ("GET /", "", "taken"),
        (r#""spans":["#, r#""spans":[7,"#, "invalid_json"),
    ];
    for (from, to, expected) in rows {
        assert_eq!(outcome(&transaction(change(TRANSACTION, from, to).as_bytes(), None)), expected, "{from} -> {to}");
    }
    let nameless = change(TRANSACTION, r#""event_id""#, r#""other""#);
    assert!(transaction(nameless.as_bytes(), Some(uuid::Uuid::from_u128(1))).is_ok());
}

proptest! {
    /// Check that no cut and no changed byte makes a reader panic, and that what is taken keeps its promises.
    #[test]
    fn never_panics(which in 0_usize..3, at in 0_usize..2000, byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = [CHUNK, PROFILE, TRANSACTION][which].as_bytes().to_vec();
        if at < bytes.len() {
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
        }
        crate::wire::fuzz::received(&bytes);
    }

    /// Check against a naive reading that every sample that Relay keeps is there, in order, at its time.
    #[test]
    fn samples_are_those_sent(sent in prop::collection::vec((0_u64..1000, 0_usize..3, 0_u8..5), 0..60)) {
        let rows: Vec<String> = sent.iter().map(|(ms, stack, thread)| {
            format!(r#"{{"timestamp":{}.{:03},"stack_id":{stack},"thread_id":"{thread}"}}"#, 1_790_000_000, ms)
        }).collect();
        let stacks = change(CHUNK, "[[0,1],[]]", "[[0,1],[],[1]]");
        let start = stacks.find("\"samples\":[").unwrap() + 11;
        let end = stacks.find("],\"thread_metadata\"").unwrap();
        let text = format!("{}{}{}", &stacks[..start], rows.join(","), &stacks[end..]);
        let mut expected = Vec::new();
        for thread in 0..5 {
            let mut own: Vec<_> = sent.iter().filter(|row| row.2 == thread).map(|row| (row.0 * 1000, row.1)).collect();
            own.sort_by_key(|row| row.0);
            if own.iter().filter(|row| row.1 != 1).count() >= 2 {
                expected.push((thread.to_string(), own));
            }
        }
        let mut found: Vec<_> = chunk(text.as_bytes(), None).map(|taken| taken.received.threads).unwrap_or_default()
            .into_iter()
            .map(|thread| {
                let samples = thread.samples.iter();
                (thread.id, samples.map(|s| (s.at_us - 1_790_000_000_000_000, s.stack as usize)).collect::<Vec<_>>())
            })
            .collect();
        found.sort();
        prop_assert_eq!(found, expected);
    }
}

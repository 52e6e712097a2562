//! Envelopes as the SDKs sent them (`tests/data`), and each rule by one change to a payload that is taken.

use std::{fmt::Write as _, io::Read as _, path::Path};

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::wire::{Refusal, envelope, write};

mod own_key;
mod rules;

/// An envelope of `tests/data`, as sent.
fn sent(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("{name}.envelope.gz"));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// What is read of each item, a line each; ids are those that the SDK made, so only whether they are equal is shown.
fn read(names: &[&str]) -> String {
    let mut text = String::new();
    let mut ids = Vec::new();
    for name in names {
        let bytes = sent(name);
        for item in &envelope::parse(&bytes).unwrap().items {
            let payload = item.payload(&bytes);
            match item.kind() {
                "profile_chunk" => show_profile(&mut text, &mut ids, &chunk(payload, item.header("platform")).unwrap()),
                "profile" => {
                    show_profile(&mut text, &mut ids, &profile(payload, <(String, String)>::default()).unwrap());
                }
                "transaction" => {
                    let event = transaction(payload, None).unwrap();
                    show_transaction(&mut text, &mut ids, &event.transaction);
                    show_spans(&mut text, &mut ids, &event.spans);
                    writeln!(text, "sdk {} {}, {} spans dropped", event.sdk.0, event.sdk.1, event.spans_dropped)
                        .unwrap();
                }
                "span" => {
                    let spans = spans(payload).unwrap();
                    spans.transactions.iter().for_each(|of| show_transaction(&mut text, &mut ids, of));
                    show_spans(&mut text, &mut ids, &spans.spans);
                }
                other => writeln!(text, "{other}").unwrap(),
            }
        }
    }
    text
}

/// `#1` for the first id that is seen, and wherever it is seen again.
fn id(ids: &mut Vec<u128>, id: u128) -> String {
    let at = ids.iter().position(|known| *known == id).unwrap_or_else(|| {
        ids.push(id);
        ids.len() - 1
    });
    format!("#{}", at + 1)
}

fn option(ids: &mut Vec<u128>, some: Option<u128>) -> String {
    some.map_or_else(|| "-".to_owned(), |some| id(ids, some))
}

fn thread(ids: &mut Vec<u128>, thread: Option<&str>) -> String {
    option(ids, thread.and_then(|id| id.parse().ok()))
}

fn show_profile(text: &mut String, ids: &mut Vec<u128>, taken: &Taken) {
    let Received { head, frames, stacks, threads, measurements, .. } = &taken.received;
    let ms = (head.end_us - head.start_us) / 100_000;
    let profiler = id(ids, head.profiler_id.as_u128());
    let of = option(ids, head.transaction.as_ref().map(|of| of.event_id.as_u128()));
    let release = head.release.as_deref().unwrap_or("-");
    writeln!(text, "profile by {profiler} of {of}: {} {release} {:?}, 0.{ms} s", head.platform, head.environment)
        .unwrap();
    let of_stack = |samples: &[crate::received::Sample]| {
        let stack =
            samples.iter().map(|sample| &stacks[sample.stack as usize]).max_by_key(|stack| stack.len()).unwrap();
        let name = |index: &u32| frames[*index as usize].function.as_deref().unwrap_or("?").to_owned();
        let end = [stack.last().map(name), stack.iter().rev().nth(1).map(name)];
        end.map(Option::unwrap_or_default).join(";")
    };
    for thread in threads {
        let name = thread.name.as_deref().unwrap_or("-");
        let at = id(ids, thread.id.parse().unwrap());
        writeln!(text, "  thread {at} {name} {} {}", thread.samples.len() > 5, of_stack(&thread.samples)).unwrap();
    }
    for (name, series) in measurements {
        let inside =
            series.values.iter().filter(|(at, _)| (head.start_us..=head.end_us + 100_000).contains(at)).count();
        let all = inside == series.values.len();
        writeln!(text, "  {name} in {}, {} within the profile: {all}", series.unit, series.values.len()).unwrap();
    }
}

fn show_transaction(text: &mut String, ids: &mut Vec<u128>, of: &Transaction) {
    let event = id(ids, of.event_id.as_u128());
    let trace = id(ids, of.trace_id.as_u128());
    let profiler = option(ids, of.profiler_id.map(|id| id.as_u128()));
    let on = thread(ids, of.thread_id.as_deref());
    let [op, status, platform, environment, release, thread_name] =
        [&of.op, &of.status, &of.platform, &of.environment, &of.release, &of.thread_name]
            .map(|text| text.as_deref().unwrap_or("-"));
    let took = (of.end_us - of.start_us) / 100_000;
    writeln!(
        text,
        "transaction {event} in {trace} by {profiler} on {on} {thread_name}: {} {op} {status}, {platform} {environment} {release}, 0.{took} s",
        of.name
    )
    .unwrap();
}

fn show_spans(text: &mut String, ids: &mut Vec<u128>, spans: &[Span]) {
    for span in spans {
        let [own, trace] = [u128::from(span.span_id), span.trace_id.as_u128()].map(|of| id(ids, of));
        let [parent, segment] = [span.parent_id, span.segment_id].map(|of| option(ids, of.map(u128::from)));
        let profiler = option(ids, span.profiler_id.map(|id| id.as_u128()));
        let on = thread(ids, span.thread_id.as_deref());
        let [op, description, status] =
            [&span.op, &span.description, &span.status].map(|text| text.as_deref().unwrap_or("-"));
        let took = (span.end_us - span.start_us) / 100_000;
        writeln!(
            text,
            "  span {own} in {trace} under {parent} of {segment} by {profiler} on {on}: {op} {description} {status}, 0.{took} s"
        )
        .unwrap();
    }
}

/// Check a transaction of Python with its v1 profile.
#[test]
fn python_transaction() {
    assert_snapshot!(read(&["python-transaction-0"]), @r#"
    profile by #1 of #2: python shop@1.2.3 Some("staging"), 0.3 s
      thread #3 sentry.profiler.ThreadScheduler true Thread._bootstrap;Thread._bootstrap_inner
      thread #4 sentry.monitor true Thread._bootstrap;Thread._bootstrap_inner
      thread #5 MainThread true <module>;order
    transaction #2 in #6 by - on #5 MainThread: GET /orders http.server -, python staging shop@1.2.3, 0.4 s
      span #7 in #6 under - of #7 by - on #5: http.server GET /orders -, 0.4 s
      span #8 in #6 under #7 of #7 by - on #5: cart.price price the cart -, 0.4 s
    sdk sentry.python 2.75.0, 0 spans dropped
    "#);
}

/// Check that chunk and transaction of Python name the same session and thread.
#[test]
fn python_continuous() {
    assert_snapshot!(read(&["python-manual-0", "python-manual-1"]), @r#"
    transaction #1 in #2 by #3 on #4 MainThread: GET /orders http.server -, python staging shop@1.2.3, 0.4 s
      span #5 in #2 under - of #5 by #3 on #4: http.server GET /orders -, 0.4 s
      span #6 in #2 under #5 of #5 by #3 on #4: cart.price price the cart -, 0.4 s
    sdk sentry.python 2.75.0, 0 spans dropped
    profile by #3 of -: python shop@1.2.3 Some("staging"), 0.3 s
      thread #7 sentry.profiler.ThreadContinuousScheduler true Thread._bootstrap;Thread._bootstrap_inner
      thread #4 MainThread true <module>;start_profiler
      thread #8 sentry.monitor true Thread._bootstrap;Thread._bootstrap_inner
    "#);
    assert_snapshot!(read(&["python-trace-0", "python-trace-1"]), @r#"
    transaction #1 in #2 by #3 on #4 MainThread: GET /orders http.server -, python staging shop@1.2.3, 0.4 s
      span #5 in #2 under - of #5 by #3 on #4: http.server GET /orders -, 0.4 s
      span #6 in #2 under #5 of #5 by #3 on #4: cart.price price the cart -, 0.4 s
    sdk sentry.python 2.75.0, 0 spans dropped
    profile by #3 of -: python shop@1.2.3 Some("staging"), 0.4 s
      thread #7 sentry.profiler.ThreadContinuousScheduler true Thread._bootstrap;Thread._bootstrap_inner
      thread #8 sentry.monitor true Thread._bootstrap;Thread._bootstrap_inner
      thread #4 MainThread true <module>;Transaction.__exit__
    "#);
}

/// Check spans that come as they end, in several envelopes.
#[test]
fn python_stream() {
    assert_snapshot!(read(&["python-stream-0", "python-stream-1", "python-stream-3"]), @r#"
    transaction #1 in #2 by #3 on #4 MainThread: GET /orders http.server ok, python staging shop@1.2.3, 0.4 s
      span #5 in #2 under #1 of #1 by #3 on #4: cart.price price the cart ok, 0.4 s
      span #1 in #2 under - of #1 by #3 on #4: http.server GET /orders ok, 0.4 s
    profile by #3 of -: python shop@1.2.3 Some("staging"), 0.4 s
      thread #6 sentry.profiler.ThreadContinuousScheduler true Thread._bootstrap;Thread._bootstrap_inner
      thread #7 sentry.monitor true Thread._bootstrap;Thread._bootstrap_inner
      thread #4 MainThread true <module>;start_span
      span #8 in #2 under #1 of #1 by - on #9: http.client POST http://127.0.0.1:9921/api/42/envelope/ ok, 0.0 s
    "#);
}

/// Check a transaction of Node with its v1 profile.
#[test]
fn node_transaction() {
    assert_snapshot!(read(&["node10-transaction-0"]), @r#"
    transaction #1 in #2 by - on - -: GET /orders http.server ok, node staging shop@1.2.3, 0.4 s
      span #3 in #2 under - of #3 by - on -: http.server GET /orders ok, 0.4 s
      span #4 in #2 under #3 of #3 by - on -: cart.price price the cart ok, 0.4 s
    sdk sentry.javascript.node 10.75.3, 0 spans dropped
    profile by #5 of #1: node shop@1.2.3 Some("staging"), 0.4 s
      thread #6 main true (root);?
      cpu_usage in percent, 4 within the profile: true
      memory_footprint in byte, 4 within the profile: true
    "#);
}

/// Check chunks of Node, whose measurements have odd times, and their transactions.
#[test]
fn node_continuous() {
    assert_snapshot!(read(&["node10-manual-0", "node10-manual-1"]), @r#"
    profile by #1 of -: node shop@1.2.3 Some("staging"), 0.4 s
      thread #2 main true (root);?
      cpu_usage in percent, 4 within the profile: true
      memory_footprint in byte, 4 within the profile: true
    transaction #3 in #4 by #1 on #2 main: GET /orders http.server ok, node staging shop@1.2.3, 0.4 s
      span #5 in #4 under - of #5 by #1 on #2: http.server GET /orders ok, 0.4 s
      span #6 in #4 under #5 of #5 by #1 on -: cart.price price the cart ok, 0.4 s
    sdk sentry.javascript.node 10.75.3, 0 spans dropped
    "#);
    assert_snapshot!(read(&["node10-trace-0", "node10-trace-1"]), @r#"
    profile by #1 of -: node shop@1.2.3 Some("staging"), 0.4 s
      thread #2 main true (root);?
      cpu_usage in percent, 4 within the profile: true
      memory_footprint in byte, 4 within the profile: true
    transaction #3 in #4 by #1 on #2 main: GET /orders http.server ok, node staging shop@1.2.3, 0.4 s
      span #5 in #4 under - of #5 by #1 on #2: http.server GET /orders ok, 0.4 s
      span #6 in #4 under #5 of #5 by #1 on -: cart.price price the cart ok, 0.4 s
    sdk sentry.javascript.node 10.75.3, 0 spans dropped
    "#);
}

/// Check spans of Node, whose segment alone says whose profile holds them.
#[test]
fn node_stream() {
    assert_snapshot!(read(&["node10-stream-0", "node10-stream-1"]), @r#"
    profile by #1 of -: node shop@1.2.3 Some("staging"), 0.4 s
      thread #2 main true (root);?
      cpu_usage in percent, 4 within the profile: true
      memory_footprint in byte, 4 within the profile: true
    transaction #3 in #4 by #1 on - -: GET /orders http.server ok, node staging shop@1.2.3, 0.4 s
      span #5 in #4 under #3 of #3 by #1 on -: cart.price price the cart ok, 0.4 s
      span #3 in #4 under - of #3 by #1 on -: http.server GET /orders ok, 0.4 s
    "#);
    assert_snapshot!(read(&["node11-trace-0", "node11-trace-1"]), @r#"
    profile by #1 of -: node shop@1.2.3 Some("staging"), 0.4 s
      thread #2 main true (root);?
      cpu_usage in percent, 4 within the profile: true
      memory_footprint in byte, 4 within the profile: true
    transaction #3 in #4 by #1 on - -: GET /orders http.server ok, node staging shop@1.2.3, 0.4 s
      span #5 in #4 under #3 of #3 by #1 on -: cart.price price the cart ok, 0.4 s
      span #3 in #4 under - of #3 by #1 on -: http.server GET /orders ok, 0.4 s
    "#);
}

/// Check that what is given back as a chunk is read as what it was.
#[test]
fn written_and_read() {
    let mut many = 0;
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".envelope.gz").unwrap();
        let bytes = sent(name);
        for item in envelope::parse(&bytes).unwrap().items.iter().filter(|item| item.kind() == "profile_chunk") {
            let first = chunk(item.payload(&bytes), item.header("platform")).unwrap().received;
            let mut written = Vec::new();
            write(&first, &mut written).unwrap();
            assert_eq!(chunk(&written, None).unwrap().received, first, "{name}");
            many += 1;
        }
    }
    assert!(many >= 10, "{many} chunks");
}

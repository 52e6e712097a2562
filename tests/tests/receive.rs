//! Sentry's own SDKs against our receiver, over a real socket: every profile, chunk, transaction and span arrives and is
//! linked. What is read of each item is `profile::wire::read`'s own test.

#[path = "shared/receiver.rs"]
mod receiver;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use profile::received::{Received, Span, Transaction};
use receiver::Receiver;
use store::{ChunkStore as _, item::ProjectId};
use tests::{compile::build_folder, pythons::with_module};

/// Runs a program to its end; what came meanwhile.
fn receive(from: &Receiver, command: &mut Command) -> (Vec<Received>, Vec<Transaction>, Vec<Span>) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(from.store.refused(ProjectId(42), 10).unwrap(), []);
    (from.store.all(), from.store.all_transactions(), from.store.all_spans())
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/sdks").join(name)
}

/// The request is there once, with its child, and the thread that ran it is in the profile that it names.
fn linked(what: &str, found: &(Vec<Received>, Vec<Transaction>, Vec<Span>), function: &str) {
    let (profiles, transactions, spans) = found;
    let of_name: Vec<_> = transactions.iter().filter(|transaction| transaction.name == "GET /orders").collect();
    let [transaction] = of_name.as_slice() else { panic!("{what}: {transactions:?}") };
    assert_eq!((transaction.op.as_deref(), transaction.release.as_deref()), (Some("http.server"), Some("shop@1.2.3")));
    let child = spans.iter().find(|span| span.description.as_deref() == Some("price the cart")).expect(what);
    assert_eq!((child.trace_id, child.segment_id), (transaction.trace_id, Some(transaction.span_id)), "{what}");
    let by = |profile: &&Received| {
        transaction.profile_id == Some(profile.head.chunk_id)
            || transaction.profiler_id == Some(profile.head.profiler_id)
    };
    let own: Vec<&Received> = profiles.iter().filter(by).collect();
    assert!(!own.is_empty(), "{what}: {transaction:?}");
    let on_its_thread = own
        .iter()
        .flat_map(|profile| profile.threads.iter().map(move |thread| (profile, thread)))
        .filter(|(_, thread)| transaction.thread_id.as_ref().is_none_or(|id| *id == thread.id));
    let seen = on_its_thread.flat_map(|(profile, thread)| {
        let within = thread.samples.iter().filter(|sample| (child.start_us..child.end_us).contains(&sample.at_us));
        within.filter(move |sample| {
            let frames = profile.stacks[sample.stack as usize].iter().map(|frame| &profile.frames[*frame as usize]);
            frames.into_iter().any(|frame| frame.function.as_deref() == Some(function))
        })
    });
    // 0.4 seconds at 100 Hz, on a machine that does other things.
    assert!(seen.count() >= 10, "{what}: {function} is not where the span is");
}

/// Check sentry-sdk in all of its modes.
#[test]
fn python() {
    let Some(python) = with_module("sentry_sdk") else { return };
    for mode in ["transaction", "manual", "trace", "stream"] {
        let receiver = Receiver::start();
        let mut command = python.run();
        let found = receive(&receiver, command.arg(program("shop.py")).args([mode, &receiver.dsn]));
        linked(&format!("python {mode}"), &found, "busy");
    }
}

/// Check @sentry/node before and since it streams spans, in all of their modes.
#[test]
fn node() {
    for version in ["10.75.3", "11.1.0"] {
        let folder = std::env::var_os("SENTRY_PROFILED_SDKS").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| build_folder().parent().unwrap().join("sdks")).join(version);
        if !folder.join("node_modules/@sentry/profiling-node").is_dir() {
            println!("skipped: no @sentry/node {version} in {} (scripts/setup tests installs it)", folder.display());
            continue;
        }
        for mode in ["transaction", "manual", "trace", "stream"] {
            // Since version 11 there are no profiles of transactions.
            if (version, mode) == ("11.1.0", "transaction") {
                continue;
            }
            let receiver = Receiver::start();
            let mut command = Command::new("node");
            let found = receive(&receiver, command.arg(program("shop.js")).args([mode, &receiver.dsn]).arg(&folder));
            linked(&format!("node {version} {mode}"), &found, "busy");
        }
    }
}

//! Rate limits: short ones are waited out, long ones pause everything and cost chunks, and both are told.

use std::time::{Duration, Instant};

use agent::ship::{Reason, ShipSettings, Shipper};
use tests::receiver::{Answer, Receiver};

use super::{hasty, numbers, start, submit, wait_until};

const MEMORY: Duration = Duration::from_millis(950);

/// The time between each request and the next, whole and long enough to be a limit of 1 s.
fn waited(receiver: &Receiver) -> Vec<bool> {
    receiver.requests().windows(2).map(|pair| pair[1].at - pair[0].at >= MEMORY).collect()
}

/// Check that a chunk refused by a short limit waits and is sent again, and that limits on a 200 make the next one wait.
#[test]
fn short_limits_are_waited_out() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let limits = |value: &str| vec![("X-Sentry-Rate-Limits", value.to_owned())];
    receiver.plan([
        Answer::with(429, "Retry-After", "1"),
        Answer::AcceptWith(limits("1:profile_duration:organization:quota")),
        Answer::with(429, "X-Sentry-Rate-Limits", "100:error:key, 0.5::project"),
        Answer::AcceptWith(limits("100:error;transaction:key")),
    ]);
    let shipper = start(&receiver, folder.path());
    (0..3).for_each(|number| submit(&shipper, number));
    receiver.wait_for_chunks(3);
    let status = shipper.drain(Duration::from_secs(5));
    assert_eq!(numbers(&receiver), [0, 1, 2]);
    // 0 refused, 0 again, 1 after the limit and refused, 1 again, 2 at once.
    assert_eq!(receiver.arrivals(), [2, 2, 1]);
    assert_eq!(waited(&receiver), [true, true, true, false]);
    assert_eq!((status.sent, status.given_up), (3, 0));
    assert_eq!(shipper.paused(), None);
    assert_eq!(receiver.reported(), Vec::<String>::new());
}

/// Check that a long limit throws away what waits and what comes, says so to the sampler, and ends.
#[test]
fn long_limits_pause() {
    let (receiver, folder) = (Receiver::start_down(), tempfile::tempdir().unwrap());
    receiver.plan([Answer::with(429, "X-Sentry-Rate-Limits", "2:profile_chunk:organization:quota")]);
    let settings = ShipSettings { wait_out_max: Duration::from_secs(1), ..hasty(&receiver.dsn(), folder.path()) };
    let shipper = Shipper::start(settings).unwrap();
    (0..3).for_each(|number| submit(&shipper, number));
    assert_eq!(shipper.paused(), None);
    receiver.set_up(true);
    wait_until("it pauses", || shipper.paused().is_some());
    let left = shipper.paused().unwrap().until - Instant::now();
    assert!((1500..=2000).contains(&left.as_millis()), "{left:?}");
    submit(&shipper, 3);
    wait_until("all are given up", || shipper.status().given_up == 4);
    assert_eq!(shipper.status().waiting, 0);
    wait_until("the pause ends", || shipper.paused().is_none());
    submit(&shipper, 4);
    receiver.wait_for_chunks(1);
    shipper.drain(Duration::from_secs(5));
    assert_eq!(numbers(&receiver), [4]);
    // The chunk that was answered 429 was counted by the server.
    assert_eq!(receiver.reported(), ["ratelimit_backoff profile_chunk 3"]);
}

/// Check that the stop doesn't wait for a limit longer than its own.
#[test]
fn drain_in_a_limit() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    receiver.plan([Answer::with(429, "Retry-After", "100")]);
    let shipper = start(&receiver, folder.path());
    submit(&shipper, 0);
    receiver.wait_for_requests(1);
    let began = Instant::now();
    assert_eq!(shipper.drain(Duration::from_secs(5)).waiting, 1);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop(shipper);
    let shipper = start(&receiver, folder.path());
    receiver.wait_for_chunks(1);
    assert_eq!(shipper.drain(Duration::from_secs(5)).sent, 1);
}

/// Check that reports go alone when no chunk comes, are not lost by a failure, and can be turned off.
#[test]
fn reports_alone() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    receiver.plan([Answer::status(503)]);
    let shipper = start(&receiver, folder.path());
    shipper.count_lost(Reason::InsufficientData, "native", 2);
    shipper.count_lost(Reason::Invalid, "javascript", 1);
    receiver.wait_for_requests(2);
    drop(shipper);
    assert_eq!(receiver.reported(), ["insufficient_data profile_chunk 2", "invalid profile_chunk_ui 1"]);

    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let settings = ShipSettings { client_reports: false, ..hasty(&receiver.dsn(), folder.path()) };
    let shipper = Shipper::start(settings).unwrap();
    shipper.count_lost(Reason::Invalid, "native", 1);
    submit(&shipper, 0);
    receiver.wait_for_chunks(1);
    shipper.drain(Duration::from_secs(5));
    assert_eq!((receiver.requests().len(), receiver.reported()), (1, Vec::new()));
}

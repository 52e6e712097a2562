//! Servers that fail: every chunk arrives at least once, in order, and with the same bytes when it comes twice.

use std::time::{Duration, Instant};

use agent::ship::{Arrival, Bounds, ShipSettings, Shipper};
use tests::receiver::{Answer, Receiver};

use super::{files, hasty, numbers, start, submit, submit_large, wait_until};

/// Check that chunks arrive once each, in order, over one connection, and that nothing is left on disk.
#[test]
fn all_is_well() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let shipper = start(&receiver, folder.path());
    (0..20).for_each(|number| submit(&shipper, number));
    receiver.wait_for_chunks(20);
    let status = shipper.drain(Duration::from_secs(5));
    assert_eq!(numbers(&receiver), (0..20).collect::<Vec<_>>());
    assert_eq!(receiver.arrivals(), [1; 20]);
    assert_eq!((status.sent, status.waiting, status.refused, status.given_up, status.last_error), (20, 0, 0, 0, None));
    assert_eq!(files(folder.path(), ""), Vec::<String>::new());
    assert_eq!(receiver.connections(), 1);
    let first = &receiver.requests()[0];
    assert_eq!(first.line, "POST /api/42/envelope/");
    assert_eq!(first.header("content-type"), Some("application/x-sentry-envelope"));
    assert_eq!(first.header("content-encoding"), Some("gzip"));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(first.header("user-agent"), Some(format!("sentry-profiled/{version}").as_str()));
    let auth = format!(
        "Sentry sentry_version=7, sentry_client=sentry-profiled/{version}, sentry_key={}",
        tests::receiver::KEY
    );
    assert_eq!(first.header("x-sentry-auth"), Some(auth.as_str()));
}

/// Check that a chunk outlives every way in which a server can fail, and comes with the same bytes each time.
#[test]
fn every_fault() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let faults = [
        Answer::status(503),
        Answer::with(502, "Retry-After", "0"),
        Answer::status(500),
        Answer::with(302, "Location", "http://localhost:1/login"),
        Answer::DieInRequest,
        Answer::DieAfterRequest,
        Answer::DieInAnswer,
        Answer::Silence,
        Answer::Slow(Duration::from_millis(300)),
    ];
    let settings =
        ShipSettings { request_timeout: Duration::from_millis(700), ..hasty(&receiver.dsn(), folder.path()) };
    let shipper = Shipper::start(settings).unwrap();
    for (number, fault) in (0..).zip(faults.clone()) {
        receiver.plan([fault, Answer::status(504)]);
        submit_large(&shipper, number, 1 << 20);
        receiver.wait_for_chunks(usize::try_from(number).unwrap() + 1);
        wait_until("the chunk is answered", || shipper.status().waiting == 0);
    }
    assert_eq!(numbers(&receiver), (0..9).collect::<Vec<_>>());
    // Not a whole chunk arrived where the server died in mid-body; where it was slow, the 504 stays for the next.
    assert_eq!(receiver.arrivals(), [3, 3, 3, 3, 2, 3, 3, 3, 1]);
    assert_eq!(shipper.status().last_error, None);
}

/// Check that no redirect is followed: the key would go to whoever the server, or someone before it, names.
#[test]
fn redirects() {
    let (receiver, other, folder) = (Receiver::start(), Receiver::start(), tempfile::tempdir().unwrap());
    let elsewhere = format!("http://{}/api/42/envelope/", other.address());
    receiver.plan([301, 302, 303, 307, 308].map(|status| Answer::with(status, "Location", &elsewhere)));
    let shipper = start(&receiver, folder.path());
    submit(&shipper, 0);
    receiver.wait_for_chunks(1);
    assert_eq!(shipper.drain(Duration::from_secs(5)).sent, 1);
    assert_eq!((receiver.arrivals(), other.connections()), (vec![6], 0));
}

/// Check that a 200 is a 200 whatever its text is.
#[test]
fn babble() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    receiver.plan([Answer::Babble]);
    let shipper = start(&receiver, folder.path());
    (0..2).for_each(|number| submit(&shipper, number));
    receiver.wait_for_chunks(2);
    let status = shipper.drain(Duration::from_secs(5));
    assert_eq!((status.sent, status.last_error, receiver.arrivals()), (2, None, vec![1, 1]));
}

/// Check that chunks reach a server on IPv6, and one that a proxy has put below a prefix.
#[test]
fn other_addresses() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let shipper = Shipper::start(hasty(&receiver.dsn_with_prefix(), folder.path())).unwrap();
    submit(&shipper, 0);
    receiver.wait_for_chunks(1);
    assert_eq!(receiver.requests()[0].line, "POST /sentry/eu/api/42/envelope/");
    let Some(receiver) = Receiver::start_v6() else { return eprintln!("skipped: no IPv6 here") };
    let shipper = Shipper::start(hasty(&receiver.dsn(), folder.path())).unwrap();
    submit(&shipper, 1);
    receiver.wait_for_chunks(1);
    assert_eq!(receiver.requests()[0].header("host"), Some(receiver.address().to_string().as_str()));
}

/// Check that the last error is forgotten once an attempt succeeds, a refusal too.
#[test]
fn last_error() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    receiver.plan([Answer::status(503), Answer::status(401)]);
    let settings = ShipSettings { client_reports: false, ..hasty(&receiver.dsn(), folder.path()) };
    let shipper = Shipper::start(settings).unwrap();
    submit(&shipper, 0);
    wait_until("the chunk is refused", || shipper.status().refused == 1);
    let refused = Some("the server refused a chunk: 401 Unauthorized".to_owned());
    wait_until("that is told", || shipper.status().last_error == refused);
    submit(&shipper, 1);
    receiver.wait_for_chunks(1);
    assert_eq!(shipper.drain(Duration::from_secs(5)).last_error, None);
}

/// Submits the same chunk every time.
fn submit_same(shipper: &Shipper, start: u64, journal: Option<&str>) {
    let payload = super::payload(0, 0);
    let (chunk_id, span_unix_ns) = (super::chunk_id(0), (start, start + 1));
    shipper.put(Arrival { chunk_id, platform: "native", span_unix_ns, payload: &payload, journal }).unwrap();
}

/// Check that a chunk whose writer died in the midst of writing it can be written again.
#[test]
fn half_written() {
    let (receiver, folder) = (Receiver::start_down(), tempfile::tempdir().unwrap());
    let (shipper, start_ns) = (start(&receiver, folder.path()), super::start_unix_ns(0));
    submit_same(&shipper, start_ns, None);
    let name = files(folder.path(), "").remove(0);
    let whole = find(folder.path(), &name);
    std::fs::rename(&whole, whole.with_extension("part")).unwrap();
    submit_same(&shipper, start_ns, None);
    assert_eq!(files(folder.path(), ""), [name]);
}

/// Check that a spool folder that somebody cleared away is made again.
#[test]
fn folder_is_cleared_away() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let spool = folder.path().join("spool");
    let shipper = start(&receiver, &spool);
    submit(&shipper, 0);
    receiver.wait_for_chunks(1);
    wait_until("the chunk is answered", || shipper.status().waiting == 0);
    std::fs::remove_dir_all(&spool).unwrap();
    submit(&shipper, 1);
    receiver.wait_for_chunks(2);
    assert_eq!(shipper.drain(Duration::from_secs(5)).sent, 2);
}

/// Check that a chunk's journal is deleted before the chunk leaves, also where the one who put it there died first.
#[test]
fn the_journal_goes_first() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let (journals, spool) = (folder.path().join("journal"), folder.path().join("spool"));
    std::fs::create_dir(&journals).unwrap();
    for name in ["1.journal", "2.journal"] {
        std::fs::write(journals.join(name), b"").unwrap();
    }
    receiver.usually(Answer::status(503));
    let settings = ShipSettings { journals: Some(journals.clone()), ..hasty(&receiver.dsn(), &spool) };
    let shipper = Shipper::start(settings).unwrap();
    submit_same(&shipper, super::start_unix_ns(0), Some("1.journal"));
    receiver.wait_for_requests(1);
    let left: Vec<_> = std::fs::read_dir(&journals).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["2.journal"]);
}

/// Check that chunks wait while nothing listens, and arrive in order once something does.
#[test]
fn nobody_there() {
    let (receiver, folder) = (Receiver::start_down(), tempfile::tempdir().unwrap());
    let shipper = start(&receiver, folder.path());
    (0..5).for_each(|number| submit(&shipper, number));
    wait_until("an attempt failed", || shipper.status().last_error.is_some());
    assert_eq!(shipper.status().last_error.unwrap(), "no answer: Connection refused (os error 111)");
    assert_eq!((shipper.status().waiting, shipper.status().sent), (5, 0));
    receiver.set_up(true);
    receiver.wait_for_chunks(5);
    // Down in the middle, with a connection open.
    receiver.set_up(false);
    (5..8).for_each(|number| submit(&shipper, number));
    std::thread::sleep(Duration::from_millis(50));
    receiver.set_up(true);
    receiver.wait_for_chunks(8);
    assert_eq!(numbers(&receiver), (0..8).collect::<Vec<_>>());
}

/// Check that refused chunks are kept with the answer, within a bound, reported, and hold up nothing.
#[test]
fn refused() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let body = format!("{{\"detail\":\"no project for {}\"}}", tests::receiver::KEY);
    let refusal = |status| Answer::Refuse { status, headers: Vec::new(), body: body.clone() };
    receiver.plan([refusal(400), refusal(413), refusal(403), Answer::Accept]);
    let bounds = Bounds { bytes: 1 << 20, age: Duration::from_hours(24), refused_bytes: 1500 };
    let shipper = Shipper::start(ShipSettings { bounds, ..hasty(&receiver.dsn(), folder.path()) }).unwrap();
    (0..4).for_each(|number| submit(&shipper, number));
    receiver.wait_for_chunks(1);
    let status = shipper.drain(Duration::from_secs(5));
    assert_eq!(numbers(&receiver), [3]);
    assert_eq!((status.sent, status.refused, status.waiting, status.given_up), (1, 3, 0, 0));
    assert_eq!(receiver.reported(), ["send_error profile_chunk 3"]);
    // Some 600 bytes each: the first had to go.
    let kept = files(folder.path(), "refused");
    let endings: Vec<&str> = kept.iter().map(|name| &name[name.len() - 10..]).collect();
    assert_eq!(endings, ["001.answer", "0001.chunk", "002.answer", "0002.chunk"]);
    let answer = std::fs::read_to_string(find(folder.path(), &kept[2])).unwrap();
    assert_eq!(answer, "403 Forbidden\n{\"detail\":\"no project for ***\"}");
    let chunk = std::fs::read(find(folder.path(), &kept[3])).unwrap();
    assert!(chunk.ends_with(&super::payload(2, 0)));
}

/// Check that the spool stays within its bound by giving up the oldest, and that this is told.
#[test]
fn spool_is_bounded() {
    let (receiver, folder) = (Receiver::start_down(), tempfile::tempdir().unwrap());
    let bounds = Bounds { bytes: 60_000, age: Duration::from_hours(24), refused_bytes: 0 };
    let settings = ShipSettings { bounds, ..hasty(&receiver.dsn(), folder.path()) };
    let shipper = Shipper::start(settings).unwrap();
    (0..10).for_each(|number| submit_large(&shipper, number, 10_000));
    submit_large(&shipper, 99, 70_000);
    let status = shipper.status();
    assert_eq!((status.waiting, status.given_up), (5, 6));
    assert!(status.waiting_bytes <= 60_000, "{status:?}");
    receiver.set_up(true);
    receiver.wait_for_chunks(5);
    shipper.drain(Duration::from_secs(5));
    // The oldest is 5, or an older one that was under way when room was made.
    let numbers = numbers(&receiver);
    assert_eq!(numbers[1..], [6, 7, 8, 9]);
    assert!(numbers[0] <= 5, "{numbers:?}");
    assert_eq!(receiver.reported(), ["cache_overflow profile_chunk 6"]);
}

/// Check that chunks older than the bound are given up, at the start too.
#[test]
fn spool_forgets_the_old() {
    let (receiver, folder) = (Receiver::start_down(), tempfile::tempdir().unwrap());
    let shipper = start(&receiver, folder.path());
    (0..3).for_each(|number| submit(&shipper, number));
    drop(shipper);
    receiver.set_up(true);
    // The chunks began 60, 59 and 58 minutes ago.
    let bounds = Bounds { bytes: 1 << 20, age: Duration::from_secs(3600 - 90), refused_bytes: 0 };
    let shipper = Shipper::start(ShipSettings { bounds, ..hasty(&receiver.dsn(), folder.path()) }).unwrap();
    receiver.wait_for_chunks(1);
    assert_eq!(shipper.drain(Duration::from_secs(5)).given_up, 2);
    assert_eq!(receiver.reported(), ["network_error profile_chunk 2"]);
    assert_eq!(numbers(&receiver), [2]);
}

/// Check that the stop ends within its limit whatever the server does, and that the next start sends the rest.
#[test]
fn drain_has_a_limit() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    receiver.usually(Answer::Silence);
    let settings = ShipSettings { request_timeout: Duration::from_mins(1), ..hasty(&receiver.dsn(), folder.path()) };
    let shipper = Shipper::start(settings).unwrap();
    (0..3).for_each(|number| submit(&shipper, number));
    let began = Instant::now();
    let status = shipper.drain(Duration::from_millis(300));
    assert!((300..1000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert_eq!((status.sent, status.waiting), (0, 3));
    drop(shipper);
    receiver.usually(Answer::Accept);
    let shipper = start(&receiver, folder.path());
    receiver.wait_for_chunks(3);
    assert_eq!(shipper.drain(Duration::from_secs(5)).waiting, 0);
    assert_eq!(numbers(&receiver), [0, 1, 2]);
}

/// Check that the stop doesn't wait for a long backoff, but tries once more at once.
#[test]
fn drain_tries_at_once() {
    let (receiver, folder) = (Receiver::start_down(), tempfile::tempdir().unwrap());
    let hour = Duration::from_hours(1);
    let settings = ShipSettings { backoff_first: hour, backoff_max: hour, ..hasty(&receiver.dsn(), folder.path()) };
    let shipper = Shipper::start(settings).unwrap();
    submit(&shipper, 0);
    wait_until("an attempt failed", || shipper.status().last_error.is_some());
    receiver.set_up(true);
    assert_eq!(shipper.drain(Duration::from_secs(5)).sent, 1);
}

/// Check that a chunk damaged on disk is never sent, and holds up nothing.
#[test]
fn damaged_on_disk() {
    let (receiver, folder) = (Receiver::start_down(), tempfile::tempdir().unwrap());
    let shipper = start(&receiver, folder.path());
    (0..4).for_each(|number| submit(&shipper, number));
    drop(shipper);
    let path = |at: usize| find(folder.path(), &files(folder.path(), "")[at]);
    let whole = std::fs::read(path(0)).unwrap();
    std::fs::write(path(0), &whole[..whole.len() - 1]).unwrap();
    std::fs::write(path(1), b"").unwrap();
    let mut flipped = std::fs::read(path(2)).unwrap();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(path(2), flipped).unwrap();
    receiver.set_up(true);
    let shipper = start(&receiver, folder.path());
    receiver.wait_for_chunks(1);
    shipper.drain(Duration::from_secs(5));
    assert_eq!(numbers(&receiver), [3]);
    assert_eq!(files(folder.path(), "refused").len(), 6);
}

/// Check that two agents with one folder send every chunk once, together.
#[test]
fn two_agents() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    receiver.usually(Answer::Slow(Duration::from_millis(3)));
    let (one, other) = (start(&receiver, folder.path()), start(&receiver, folder.path()));
    for number in 0..40 {
        submit(if number % 2 == 0 { &one } else { &other }, number);
    }
    receiver.wait_for_chunks(40);
    let sent = [one.drain(Duration::from_secs(5)).sent, other.drain(Duration::from_secs(5)).sent];
    assert_eq!(sent.iter().sum::<u64>(), 40, "{sent:?}");
    assert_eq!(receiver.arrivals(), [1; 40]);
    assert_eq!(files(folder.path(), ""), Vec::<String>::new());
}

/// Check that an agent takes over what another one left.
#[test]
fn takes_over() {
    let (receiver, folder) = (Receiver::start_down(), tempfile::tempdir().unwrap());
    let (dead, alive) = (start(&receiver, folder.path()), start(&receiver, folder.path()));
    submit(&dead, 0);
    drop(dead);
    receiver.set_up(true);
    receiver.wait_for_chunks(1);
    wait_until("the chunk is answered", || alive.status().sent == 1);
}

/// Check that chunks for one DSN never go to another.
#[test]
fn another_dsn() {
    let (one, other, folder) = (Receiver::start_down(), Receiver::start(), tempfile::tempdir().unwrap());
    let shipper = start(&one, folder.path());
    submit(&shipper, 0);
    drop(shipper);
    let shipper = start(&other, folder.path());
    submit(&shipper, 1);
    other.wait_for_chunks(1);
    shipper.drain(Duration::from_secs(5));
    assert_eq!(numbers(&other), [1]);
}

/// Check that an unusable folder is an error that names it.
#[test]
fn no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = Shipper::start(hasty("http://k@localhost/1", &file)).unwrap_err();
    assert!(error.to_string().starts_with("cannot use the spool folder "), "{error}");
}

fn find(folder: &std::path::Path, name: &str) -> std::path::PathBuf {
    let dsn = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    [dsn.join(name), dsn.join("refused").join(name)].into_iter().find(|path| path.exists()).unwrap()
}

//! Agents in processes of their own: killed ones, and ones with another environment. Each test runs this program again.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use agent::ship::Shipper;
use tests::receiver::{Answer, Receiver};

use super::{hasty, numbers, start, submit, submit_large};

/// Starts this program as an agent that does `what`.
pub(super) fn agent(what: &str, dsn: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash::agent_process", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("SHIP_TEST_DO", what).env("SHIP_TEST_DSN", dsn).env("SHIP_TEST_FOLDER", folder);
    command.stdout(Stdio::null());
    command
}

/// What the agents of these tests do.
#[test]
#[ignore = "run by the others, as another process"]
fn agent_process() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (what, dsn, folder) = (variable("SHIP_TEST_DO"), variable("SHIP_TEST_DSN"), variable("SHIP_TEST_FOLDER"));
    let folder = Path::new(&folder);
    match what.as_str() {
        "submit 5" => {
            let shipper = Shipper::start(hasty(&dsn, folder)).unwrap();
            (0..5).for_each(|number| submit(&shipper, number));
            std::fs::write(folder.join("submitted"), b"").unwrap();
            std::thread::sleep(Duration::from_mins(1));
        }
        "submit on" => {
            let shipper = Shipper::start(hasty(&dsn, folder)).unwrap();
            for number in 0.. {
                submit_large(&shipper, number, 20_000);
                // Written after the chunk is durable: whatever is in here must arrive.
                std::fs::write(folder.join("submitted"), number.to_string()).unwrap();
            }
        }
        "send 1" => {
            let shipper = Shipper::start(hasty(&dsn, folder)).unwrap();
            submit(&shipper, 0);
            let status = shipper.drain(Duration::from_secs(2));
            assert_eq!((status.sent, status.last_error), (1, None));
        }
        "journal" => super::journal::write_for_ever(folder),
        "secrets" => super::secrets::talk(&dsn, folder),
        other => panic!("no agent does {other:?}"),
    }
}

pub(super) fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn wait_for(path: &Path) {
    super::wait_until("the agent has submitted", || path.exists());
}

/// Check that chunks of an agent that was killed are sent by the next one.
#[test]
fn killed_with_unsent_chunks() {
    let (receiver, folder) = (Receiver::start_down(), tempfile::tempdir().unwrap());
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let child = agent("submit 5", &receiver.dsn(), &spool).spawn().unwrap();
    wait_for(&spool.join("submitted"));
    kill(child);
    std::fs::remove_file(spool.join("submitted")).unwrap();
    receiver.set_up(true);
    let shipper = start(&receiver, &spool);
    receiver.wait_for_chunks(5);
    assert_eq!(shipper.drain(Duration::from_secs(5)).sent, 5);
    assert_eq!(numbers(&receiver), [0, 1, 2, 3, 4]);
    assert_eq!(receiver.arrivals(), [1; 5]);
}

/// Check that killing an agent at any moment loses no chunk that it had submitted, and never makes one arrive with other bytes.
#[test]
fn killed_while_sending() {
    let mut arrived = 0;
    for round in 0..8 {
        let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
        receiver.usually(Answer::Slow(Duration::from_millis(1)));
        let child = agent("submit on", &receiver.dsn(), folder.path()).spawn().unwrap();
        wait_for(&folder.path().join("submitted"));
        std::thread::sleep(Duration::from_millis(20 + 17 * round));
        kill(child);
        let submitted = std::fs::read_to_string(folder.path().join("submitted")).unwrap();
        std::fs::remove_file(folder.path().join("submitted")).unwrap();
        // The file may have been cut by the kill.
        let submitted: u64 = submitted.parse().unwrap_or(0);
        let shipper = start(&receiver, folder.path());
        receiver.wait_for_chunks(usize::try_from(submitted).unwrap() + 1);
        assert_eq!(shipper.drain(Duration::from_secs(10)).waiting, 0);
        let numbers = numbers(&receiver);
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
        assert!(receiver.arrivals().iter().filter(|times| **times > 1).count() <= 1, "only one was under way");
        arrived += numbers.len();
    }
    assert!(arrived > 16, "only {arrived} chunks in 8 rounds");
}

/// Check that the usual variable leads through a proxy.
#[test]
fn through_a_proxy() {
    let (proxy, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let dsn = format!("http://{}@sentry.invalid:1234/42", tests::receiver::KEY);
    let mut agent = agent("send 1", &dsn, folder.path());
    let status = agent.env("http_proxy", format!("http://{}", proxy.address())).status().unwrap();
    assert!(status.success());
    assert_eq!(proxy.requests()[0].line, "POST http://sentry.invalid:1234/api/42/envelope/");
    assert_eq!(numbers(&proxy), [0]);
}

/// Check that TLS works with the system's trust store, and that a server that is not in it gets nothing.
#[test]
fn over_tls() {
    let (receiver, folder) = (Receiver::start_tls(), tempfile::tempdir().unwrap());
    let output = agent("send 1", &receiver.dsn(), folder.path()).stderr(Stdio::piped()).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains(r#"(0, Some("no answer: invalid peer certificate: "#), "{log}");
    assert!(receiver.requests().is_empty());
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, receiver.certificate()).unwrap();
    let mut agent = agent("send 1", &receiver.dsn(), &folder.path().join("spool"));
    assert!(agent.env("SSL_CERT_FILE", trusted).status().unwrap().success());
    assert_eq!(numbers(&receiver), [0]);
}

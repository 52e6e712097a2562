//! The key is in no log, at no level, and in no file.

use std::{path::Path, process::Stdio, time::Duration};

use agent::ship::{Dsn, ShipSettings, Shipper};
use tests::receiver::{Answer, KEY, Receiver};

use super::{crash, hasty, submit};

/// The secret half of a DSN, and the password of a proxy.
const SECRET: &str = "5ec4e75ec4e7";

/// An agent that logs all that there is to log, and meets every kind of answer.
pub(super) fn talk(dsn: &str, folder: &Path) {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let settings = ShipSettings { request_timeout: Duration::from_millis(500), ..hasty(dsn, folder) };
    tracing::info!(?settings, dsn = %settings.dsn, "Settings.");
    let shipper = Shipper::start(settings.clone()).unwrap();
    (0..8).for_each(|number| submit(&shipper, number));
    super::wait_until("all are answered", || shipper.status().waiting == 0);
    tracing::info!(?shipper, status = ?shipper.drain(Duration::from_secs(1)), "End.");
    // The same over TLS, to a port that speaks none.
    let shipper = Shipper::start(hasty(&dsn.replace("http:", "https:"), folder));
    let shipper = shipper.inspect_err(|error| tracing::error!(?error, "No TLS here."));
    if let Ok(shipper) = shipper {
        submit(&shipper, 9);
        tracing::info!(status = ?shipper.drain(Duration::from_millis(300)), "No TLS there.");
    }
    let wrong = dsn.replace("http:", "htp:").parse::<Dsn>().unwrap_err();
    tracing::error!(error = &wrong as &dyn std::error::Error, "Not a DSN.");
}

/// Check that the key, the secret and a proxy's password are in no log at TRACE and in no file.
#[test]
fn the_key_is_nowhere() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let body = format!("bad key {KEY}, bad secret {SECRET}");
    let echo = |status| Answer::Refuse { status, headers: vec![("x-echo", "1".to_owned())], body: body.clone() };
    receiver.plan([
        Answer::Accept,
        echo(403),
        echo(503),
        Answer::Accept,
        Answer::DieInRequest,
        Answer::DieInAnswer,
        Answer::Silence,
        Answer::with(429, "Retry-After", "1"),
    ]);
    let dsn = receiver.dsn().replace('@', &format!(":{SECRET}@"));
    let mut agent = crash::agent("secrets", &dsn, folder.path());
    agent.env("https_proxy", format!("http://me:{SECRET}@{}", receiver.address())).stderr(Stdio::piped());
    let output = agent.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("TRACE") && log.contains("hyper_util") && log.contains("The server refused a chunk"), "{log}");
    for secret in [KEY, SECRET] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
    let grep =
        std::process::Command::new("grep").args(["-rlE", &format!("{KEY}|{SECRET}")]).arg(folder.path()).output();
    assert_eq!(String::from_utf8_lossy(&grep.unwrap().stdout), "");
    assert_eq!(receiver.chunks().len(), 7);
}

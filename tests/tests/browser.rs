//! The page in a real browser, on profiles of real programs: a web shop on Flask in two releases under Sentry's own SDK, and a
//! Node and a Rust program that our agent profiles. What is looked at stands in `web/browser`, a script a test.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;
use tests::{
    agent::{Agent, Run},
    pythons::with_module,
    serving::{Serving, free_port},
    targets::{Program, turn},
    tools::{npm, run},
};

/// How long each release of the shop has customers.
const SECONDS: u64 = 12;
/// What an agent needs to end.
const END: Duration = Duration::from_mins(1);
/// Does what a gateway does: reads and hashes.
const GATEWAY: &str = r#"
const { createHash } = require("crypto");
function parse(n) { return JSON.parse(JSON.stringify({ a: Array.from({ length: n }, (_, i) => ({ i, s: "x".repeat(i % 50) })) })); }
function sign(of) { return createHash("sha256").update(JSON.stringify(of)).digest("hex"); }
setInterval(() => { for (let i = 0; i < 20; i++) sign(parse(400)); }, 50);
console.log("ready");
"#;

/// A server with profiles, and what is needed to look at it.
struct Shop {
    server: Serving,
    store: TempDir,
    modules: PathBuf,
    from: f64,
    to: f64,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/sdks").join(name)
}

/// `None`: something that is needed is not here, which was said.
fn shop() -> Option<Shop> {
    let (modules, python) = (npm("playwright-core")?, with_module("flask")?);
    if !Path::new("/usr/bin/chromium").exists() {
        eprintln!("skipped: no /usr/bin/chromium (scripts/setup tests installs it)");
        return None;
    }
    let store = tempfile::tempdir().unwrap();
    let mut server = Serving::spawn(&store.path().join("store"), free_port(), &store.path().join("log"));
    let (key, _) = server.ready();
    let dsn = format!("http://{key}@127.0.0.1:{}/1", server.port);
    let from = now() - 5.0;
    // V8 leaves a log in its working directory.
    let mut node = Program::spawn(Command::new("node").current_dir(&store).args(["--perf-basic-prof", "-e", GATEWAY]));
    assert_eq!(node.line(), "ready");
    let duration = (SECONDS * 2).to_string();
    let agent = |pid: String, release: &str, environment: &str| {
        let more = ["--release", release, "--environment", environment, "--duration", &duration];
        Agent::start_with(&[&["--pid", &pid, "--dsn", &dsn][..], &more].concat(), &[])
    };
    let agents = [
        agent(node.pid().to_string(), "gateway@7.2.0", "staging"),
        agent(server.program.pid().to_string(), "receiver@0.1.0", "production"),
    ];
    for release in ["webshop@4.18.1", "webshop@4.18.2"] {
        let port = free_port().to_string();
        let mut shop = Program::spawn(python.run().arg(target("webshop.py")).args([&port, release, &dsn]));
        assert_eq!(shop.line(), "ready");
        let mut customers = python.run();
        customers.arg(target("customers.py")).args([&port, &SECONDS.to_string()]);
        let answered = run(&mut customers, "python").unwrap();
        assert!(answered.trim().parse::<u32>().unwrap() > 20, "{answered}");
        // The SDK sends what it has as soon as no request is left, and asks for no leave.
        thread::sleep(Duration::from_secs(3));
    }
    for agent in agents {
        let Run { code, stderr, .. } = agent.wait(END);
        assert_eq!(code, 0, "{stderr}");
    }
    Some(Shop { server, store, modules, from, to: now() + 5.0 })
}

/// Check every page, view and control; that nobody is kept out of them; that hostile names stay names; and what is said when
/// something is not as it should be.
#[test]
fn pages() {
    let _turn = turn();
    let Some(shop) = shop() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/browser");
    // They wait for pages most of the time. The last one sends what the others would meet in lists of everything.
    for scripts in [&["pages", "axe", "outline", "states"][..], &["hostile"]] {
        let mut node = Command::new("node");
        node.args(["--test", "--test-reporter=spec", "--test-concurrency=2"]);
        node.args(scripts.iter().map(|name| folder.join(format!("{name}.test.mjs"))));
        node.env("SENTRY_PROFILED_PAGE", format!("http://127.0.0.1:{}", shop.server.port));
        node.env("SENTRY_PROFILED_NODE_MODULES", &shop.modules);
        node.env("SENTRY_PROFILED_STORE", shop.store.path().join("store"));
        node.env("SENTRY_PROFILED_BINARY", tests::agent::binary());
        node.env("SENTRY_PROFILED_FROM", format!("{:.3}", shop.from));
        node.env("SENTRY_PROFILED_TO", format!("{:.3}", shop.to));
        println!("{}", run(&mut node, "node").unwrap_or_default());
    }
}

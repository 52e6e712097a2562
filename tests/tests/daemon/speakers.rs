//! What processes say for themselves over the control socket, and what becomes of it when the settings, or they themselves, change. They speak
//! raw HTTP here; what the client package says is `samples`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tests::{daemon::Daemon, targets::turn};

use super::Sleeper;

/// A process that asks what it is told to: `fixtures/asks.py`.
struct Speaker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Speaker {
    /// `None`, said: there is no Python.
    fn start(daemon: &Daemon) -> Option<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/asks.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(program).arg(daemon.socket()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            println!("skipped: no /usr/bin/python3");
            return None;
        };
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { child, input, output })
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn ask(&mut self, line: &str) -> (u16, Value) {
        self.tell(line);
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        let (status, body) = answer.split_once(' ').unwrap_or_else(|| panic!("{line}: {answer:?}"));
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn register(&mut self, release: &str) -> Value {
        let body = json!({"client": {"name": "test", "version": "1"}, "options": {"release": release}});
        let (status, answer) = self.ask(&format!("POST /v1/self {body}"));
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Its row among the targets, when it is as wanted.
    fn row(&self, daemon: &Daemon, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let own = |row: &&Value| row["pid"] == self.pid();
        let rows = daemon.wait_for(what, Duration::from_secs(10), |rows| rows.iter().find(own).is_some_and(&is));
        rows.iter().find(own).unwrap().clone()
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn write(daemon: &Daemon, settings: &str) {
    fs::write(daemon.folder().join("config.toml"), settings).unwrap();
    let (code, said) = daemon.verb(&["reload"]);
    assert_eq!(code, 0, "{said}");
}

/// Check that a process which is a target for its client alone stays one when it starts itself and when the settings are read again.
#[test]
fn client_alone() {
    let _turn = turn();
    let settings = "[[target]]\nname = \"it\"\nmatch.client = true\nprofile_session_sample_rate = 1.0\n";
    let daemon = Daemon::start(settings);
    let Some(mut speaker) = Speaker::start(&daemon) else { return };
    assert_eq!(speaker.ask("POST /v1/self/start").0, 404, "it has not registered");
    speaker.register("a@1");
    let (status, started) = speaker.ask("POST /v1/self/start");
    assert!(status == 200 && started["profiler_id"].is_string(), "{started}");
    speaker.row(&daemon, "running", |row| row["profiler_id"] == started["profiler_id"]);
    write(&daemon, &format!("# Nothing else.\n{settings}"));
    let row = speaker.row(&daemon, "running still", |row| row["profiler_id"] == started["profiler_id"]);
    assert_eq!((&row["registered"], &row["release"]), (&true.into(), &"a@1".into()), "{row:#}");
    let (status, told) = speaker.ask("GET /v1/self");
    assert_eq!((status, &told["running"]), (200, &started["profiler_id"]), "{told}");
    write(&daemon, "");
    assert_eq!(speaker.ask("GET /v1/self").0, 404);
}

/// Check that nothing of what a program said holds for the one that takes its place, and that a child which has its connection
/// cannot speak for it.
#[test]
fn another_program() {
    let _turn = turn();
    let daemon = Daemon::start(
        "[[target]]\nname = \"before\"\nmatch.comm = \"python*\"\nprofile_session_sample_rate = 1.0\n\
         [[target]]\nname = \"after\"\nmatch.comm = \"sleep\"\nprofile_session_sample_rate = 1.0\n",
    );
    let Some(mut speaker) = Speaker::start(&daemon) else { return };
    speaker.register("old@1");
    assert!(speaker.ask("POST /v1/self/start").1["profiler_id"].is_string());
    speaker.row(&daemon, "running", |row| !row["profiler_id"].is_null());
    speaker.tell("leave sleep 60");
    let row = speaker.row(&daemon, "another target", |row| row["target"] == "after" && row["state"] == "off");
    let said = [&row["registered"], &row["client"], &row["release"], &row["profiler_id"]];
    assert_eq!(said, [&false.into(), &Value::Null, &Value::Null, &Value::Null], "{row:#}");
    let (status, refused) = speaker.ask("POST /v1/self/start");
    assert_eq!((status, &refused["error"]), (403, &"the process that asks is not what connected".into()));
}

/// Check that what was stopped stays so when other options come, and that only a start starts it again.
#[test]
fn stopped() {
    let _turn = turn();
    let settings = |environment: &str| {
        format!(
            "[[target]]\nname = \"it\"\nmatch.comm = \"python*\"\nprofile_session_sample_rate = 1.0\nstart_on_attach = true\nenvironment = \"{environment}\"\n"
        )
    };
    let daemon = Daemon::start(&settings("one"));
    let Some(speaker) = Speaker::start(&daemon) else { return };
    let pid = speaker.pid().to_string();
    speaker.row(&daemon, "running", |row| !row["profiler_id"].is_null());
    assert_eq!(daemon.verb(&["stop", "--pid", &pid]).0, 0);
    write(&daemon, &settings("two"));
    std::thread::sleep(Duration::from_millis(500));
    let row = speaker.row(&daemon, "let go", |row| row["environment"] == "two" && row["state"] == "off");
    let reason = "it was stopped; `sentry-profiled start` starts it again";
    assert_eq!((&row["profiler_id"], &row["reason"]), (&Value::Null, &reason.into()), "{row:#}");
    assert_eq!(daemon.verb(&["start", "--pid", &pid]).0, 0);
    let row = speaker.row(&daemon, "running again", |row| !row["profiler_id"].is_null());
    assert_eq!(row["reason"], Value::Null, "{row:#}");
}

/// Check that hours which are used up decide nothing for a process's life.
#[test]
fn hours() {
    let _turn = turn();
    let settings = |hours: u32| {
        format!(
            "[[target]]\nname = \"it\"\nmatch.comm = \"python*\"\nprofile_session_sample_rate = 1.0\n[budget]\nhours_per_month = {hours}\n"
        )
    };
    let daemon = Daemon::start(&settings(0));
    let Some(mut speaker) = Speaker::start(&daemon) else { return };
    let reason = "the profile hours of this month (budget.hours_per_month) are used up";
    for _ in 0..2 {
        let told = speaker.register("a@1");
        assert_eq!((&told["sampled"], &told["reason"]), (&false.into(), &reason.into()), "{told}");
    }
    write(&daemon, &settings(100));
    let told = speaker.ask("GET /v1/self").1;
    assert_eq!(told["sampled"], true, "{told}");
}

/// Check that processes which another profiler holds do not keep others from being profiled, and say so; and that they are taken when
/// it lets go.
#[test]
fn held_by_another() {
    let _turn = turn();
    let sleepers: Vec<Sleeper> = (0..12).map(|_| Sleeper::start()).collect();
    let hold = |sleeper: &Sleeper| {
        let file = fs::File::open(format!("/proc/{}/syscall", sleeper.pid())).unwrap();
        file.try_lock().unwrap();
        file
    };
    let locks: Vec<fs::File> = sleepers.iter().map(hold).collect();
    let options = "profile_session_sample_rate = 1.0\nstart_on_attach = true";
    let daemon = Daemon::start(&super::settings("sleep", options));
    let last = Sleeper::start();
    let state = |rows: &[Value], pid: i32| rows.iter().find(|row| row["pid"] == pid).map(|row| row["state"].clone());
    let rows = daemon
        .wait_for("the last one", Duration::from_secs(5), |rows| state(rows, last.pid()) == Some("attached".into()));
    let row = rows.iter().find(|row| row["pid"] == sleepers[0].pid()).unwrap();
    let reason = format!("process {} is already profiled by another sentry-profiled", sleepers[0].pid());
    assert_eq!((&row["state"], &row["reason"]), (&"waiting".into(), &reason.as_str().into()), "{row:#}");
    drop(locks);
    let all = |rows: &[Value]| sleepers.iter().all(|it| state(rows, it.pid()) == Some("attached".into()));
    daemon.wait_for("all", Duration::from_secs(15), all);
}

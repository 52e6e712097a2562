//! The run: four programs of many threads and one that sleeps, each profiled by an agent of its own for three minutes,
//! each agent with a server that fails in its own way. They share the three minutes, and the machine.

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::{
    agent::{Agent, Run, files},
    receiver::{Answer, Chunk, Receiver},
    targets::{Program, turn},
};

use super::reading::{Session, payload, sessions};

/// How long is profiled: a first chunk of half a minute to a minute, two whole ones, and a last one.
const RUN: Duration = Duration::from_mins(3);

/// What the end may take beyond that: names, and sending what is left.
const END: Duration = Duration::from_secs(40);

/// What came of one agent and its server.
#[derive(Debug)]
pub struct Outcome {
    /// Of the schedule.
    pub name: &'static str,
    /// The chunks that were taken, in order of their first arrival.
    pub chunks: Vec<Chunk>,
    /// How often each of them came, taken or not.
    pub arrivals: Vec<usize>,
    /// How many of them had to come more than once.
    pub again_min: usize,
    /// The same chunks by session, in order of their time.
    pub sessions: Vec<Session>,
    /// Agents that ended by themselves.
    pub ended: Vec<Run>,
    /// When the first agent was killed, if it was, microseconds since 1970.
    pub killed_us: Option<i64>,
    /// Faults that were planned and that nobody met.
    pub unmet: usize,
    /// Files that were left in the agent's folder.
    pub left: Vec<PathBuf>,
    /// The client reports that came.
    pub reported: Vec<String>,
}

/// A thread that lived for a while, as it says itself; microseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct TrueLife {
    pub tid: i64,
    /// It began to be between these two.
    pub created_us: i64,
    pub begun_us: i64,
    /// And ended between these.
    pub ended_us: i64,
    pub joined_us: i64,
}

impl TrueLife {
    /// Whether a thread of the chunks may be it.
    pub fn is_of(&self, thread: &str) -> bool {
        thread == self.tid.to_string()
    }
}

/// What happens when.
struct Schedule {
    name: &'static str,
    target: (&'static str, &'static [&'static str]),
    /// Of the target, from its start to its end.
    threads_that_stay: usize,
    again_min: usize,
    /// More arguments of the agent.
    more: &'static [&'static str],
    steps: Vec<(u64, Step)>,
}

enum Step {
    /// The port is closed, with every connection.
    Down,
    Up,
    /// For the next requests, one each.
    Plan(Vec<Answer>),
    Usually(Answer),
    /// `kill -9`, and another agent with the same folder.
    Kill,
}

/// Runs everything, once.
pub fn run() -> &'static [Outcome] {
    static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| {
        let _turn = turn();
        thread::scope(|scope| {
            let running: Vec<_> = schedules().into_iter().map(|schedule| scope.spawn(|| play(schedule))).collect();
            running.into_iter().map(|schedule| schedule.join().expect("a schedule failed")).collect()
        })
    });
    &OUTCOMES
}

/// Chunks close after 30 to 60, 90 to 120, 150 to 180 and 180 seconds. After some failures in a row a backoff may take a
/// minute, longer than is left: then it is the end that sends, which tries once. So no fault is left by then.
fn schedules() -> Vec<Schedule> {
    let limits = |value: &str| vec![("X-Sentry-Rate-Limits", value.to_owned())];
    let seconds = Duration::from_secs;
    vec![
        Schedule {
            name: "away",
            target: ("coming_and_going", &["100"]),
            threads_that_stay: 9,
            again_min: 1,
            more: &[],
            steps: vec![
                (0, Step::Plan(vec![Answer::status(503), Answer::with(503, "Retry-After", "2")])),
                (75, Step::Down),
                (125, Step::Up),
            ],
        },
        Schedule {
            name: "limited",
            target: ("coming_and_going", &["20", "6", "3"]),
            threads_that_stay: 12,
            again_min: 2,
            more: &[],
            steps: vec![(
                0,
                Step::Plan(vec![
                    Answer::with(429, "Retry-After", "5"),
                    Answer::with(429, "X-Sentry-Rate-Limits", "3:profile_chunk:organization:quota, 900:error:key"),
                    // The second chunk has to wait.
                    Answer::AcceptWith(limits("75:profile_duration:organization")),
                    Answer::with(429, "X-Sentry-Rate-Limits", "4::key"),
                ]),
            )],
        },
        Schedule {
            name: "dying",
            target: ("coming_and_going", &["20", "2"]),
            threads_that_stay: 7,
            again_min: 2,
            more: &[],
            steps: vec![(
                0,
                Step::Plan(vec![
                    Answer::DieInRequest,
                    Answer::DieInAnswer,
                    Answer::DieAfterRequest,
                    Answer::Slow(seconds(2)),
                    Answer::DieAfterRequest,
                    Answer::DieInRequest,
                    Answer::status(500),
                ]),
            )],
        },
        Schedule {
            name: "killed",
            target: ("coming_and_going", &["20"]),
            threads_that_stay: 9,
            again_min: 0,
            more: &[],
            steps: vec![(0, Step::Down), (75, Step::Kill), (80, Step::Up)],
        },
        Schedule {
            name: "idle",
            target: ("sleepers", &["3", "0", "0"]),
            threads_that_stay: 4,
            again_min: 0,
            // No tick of a whole second is worth a message.
            more: &["--rate", "10"],
            steps: vec![(0, Step::Usually(Answer::Slow(seconds(1))))],
        },
    ]
}

/// An agent at work.
struct Work<'r> {
    receiver: &'r Receiver,
    state: &'r Path,
    pid: String,
    more: &'static [&'static str],
    agent: Agent,
    began: Instant,
    killed_us: Option<i64>,
    /// How long the sessions that are over were to last.
    lasted: Vec<Duration>,
}

fn play(schedule: Schedule) -> Outcome {
    let (receiver, state) = (Receiver::start(), tempfile::tempdir().unwrap());
    let target = Program::start(schedule.target.0, schedule.target.1).expect("the target can be built");
    let pid = target.pid().to_string();
    let agent = start(&receiver, state.path(), &pid, RUN, schedule.more);
    let mut work = Work {
        receiver: &receiver,
        state: state.path(),
        pid,
        more: schedule.more,
        agent,
        began: Instant::now(),
        killed_us: None,
        lasted: Vec::new(),
    };
    let began = work.began;
    for (at, step) in schedule.steps {
        thread::sleep(Duration::from_secs(at).saturating_sub(began.elapsed()));
        work.step(step);
    }
    let limit = RUN.saturating_sub(began.elapsed()) + END;
    let Work { agent, killed_us, mut lasted, began: restarted, .. } = work;
    lasted.push(RUN.saturating_sub(restarted - began));
    let ended = agent.wait(limit);
    let lives = true_lives(&target.finish());
    let mut sessions = sessions(&receiver.chunks().iter().map(payload).collect::<Vec<_>>());
    for (session, lasted) in sessions.iter_mut().zip(lasted) {
        session.is_told(lasted, schedule.threads_that_stay, &lives);
    }
    Outcome {
        name: schedule.name,
        chunks: receiver.chunks(),
        arrivals: receiver.arrivals(),
        again_min: schedule.again_min,
        sessions,
        ended: vec![ended],
        killed_us,
        unmet: receiver.planned(),
        left: files(state.path()),
        reported: receiver.reported(),
    }
}

fn start(receiver: &Receiver, state: &Path, pid: &str, lasts: Duration, more: &[&str]) -> Agent {
    let (state, lasts) = (state.to_str().unwrap(), format!("{}ms", lasts.as_millis()));
    let dsn = receiver.dsn();
    let arguments = ["--pid", pid, "--dsn", &dsn, "--spool", state, "--duration", &lasts];
    Agent::start(&[&arguments, more].concat())
}

impl Work<'_> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Down => self.receiver.set_up(false),
            Step::Up => self.receiver.set_up(true),
            Step::Plan(answers) => self.receiver.plan(answers),
            Step::Usually(answer) => self.receiver.usually(answer),
            Step::Kill => {
                let lasted = self.began.elapsed();
                self.killed_us = Some(now_us());
                self.agent.signal(Signal::SIGKILL);
                // On a busy machine a killed process takes its time to be gone, and keeps its locks.
                while self.agent.is_running() {
                    thread::sleep(Duration::from_millis(10));
                }
                self.agent = start(self.receiver, self.state, &self.pid, RUN.saturating_sub(lasted), self.more);
                self.began = Instant::now();
                self.lasted.push(lasted);
            }
        }
    }
}

fn now_us() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// What the target says of its short-lived threads; nothing, if it has none.
fn true_lives(report: &Value) -> Vec<TrueLife> {
    let Some(lives) = report.get("lives").and_then(Value::as_array) else { return Vec::new() };
    let ahead_us = report["wall_us"].as_i64().unwrap();
    let life = |life: &Value| {
        let at = |place: usize| life[place].as_i64().unwrap() + ahead_us;
        TrueLife {
            tid: life[0].as_i64().unwrap(),
            created_us: at(1),
            begun_us: at(2),
            ended_us: at(3),
            joined_us: at(4),
        }
    };
    lives.iter().map(life).collect()
}

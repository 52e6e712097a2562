//! A server that is sent to and killed again and again, and what must hold then: each chunk that it has acknowledged is
//! there exactly once and is what was sent. Knows nothing of how it keeps them.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    agent::run,
    envelopes::{Sums, Template, templates},
    serving::{Connection, Serving, free_port},
};

/// As many processes send at a time.
const CONNECTIONS: usize = 4;
/// So often it is looked whether everything is there.
const ROUNDS_BETWEEN_CHECKS: u32 = 50;
/// One in so many rounds does not wait until the server answers.
const KILLED_AT_START: u64 = 8;
/// The second of 1970 on in which the first chunk begins.
const BEGIN_S: u64 = 1_795_745_835;
/// No chunk is longer: each has a time of its own.
const CHUNK_S: u64 = 70;
/// What is asked for at once: 2,000 rows of a list are a few megabytes.
const ASKED_AT_ONCE: usize = 2000;
/// A server that does not answer for so long hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// The run.
#[derive(Debug)]
pub struct Kills {
    store: PathBuf,
    log: PathBuf,
    port: u16,
    book: Book,
    random: u64,
    outcome: Outcome,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Kills.
    pub rounds: u32,
    /// Of them, while the server started.
    pub at_start: u32,
    /// Distinct chunks that were sent.
    pub sent: usize,
    /// Times that one was sent that had been sent before.
    pub again: usize,
    /// Chunks of which it was said that they are kept.
    pub acknowledged: usize,
    /// Of those, there.
    pub found: usize,
    /// Chunks that are there more than once.
    pub twice: usize,
    /// Chunks that are there although nobody was told so: allowed.
    pub unacknowledged: usize,
    /// The longest start, until it listened.
    pub longest_start: Duration,
    /// All of it.
    pub took: Duration,
    /// What must not be, in words.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// Nothing is lost, twice or otherwise wrong.
    pub fn is_good(&self) -> bool {
        self.found == self.acknowledged && self.twice == 0 && self.wrong.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.longest_start.as_secs_f64() * 1000.0;
        writeln!(f, "kill -9 of serve:     {} times in {:.1} s", self.rounds, self.took.as_secs_f64())?;
        writeln!(f, "while it started:     {}", self.at_start)?;
        writeln!(f, "chunks sent:          {}, and {} times again", self.sent, self.again)?;
        writeln!(f, "acknowledged:         {}", self.acknowledged)?;
        writeln!(f, "of those, found:      {}", self.found)?;
        writeln!(f, "there twice:          {}", self.twice)?;
        writeln!(f, "not acknowledged yet: {}", self.unacknowledged)?;
        write!(f, "longest start:        {ms:.0} ms")?;
        self.wrong.iter().try_for_each(|wrong| write!(f, "\nwrong: {wrong}"))
    }
}

/// What was sent.
#[derive(Debug)]
struct Book {
    templates: Vec<Template>,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// By number: which template, and whether it is acknowledged.
    chunks: Vec<(usize, bool)>,
    /// To be sent a second time: those that were never answered, and some that were.
    again: Vec<usize>,
    sent_again: usize,
    wrong: Vec<String>,
}

impl Book {
    /// What to send next: its number and the envelope. Before anything new, what is to be sent again, if it is so chosen.
    fn next(&self, random: u64) -> (usize, Vec<u8>) {
        let mut pages = self.pages.lock().unwrap();
        let again = if random.is_multiple_of(2) { pages.again.pop() } else { None };
        let number = again.unwrap_or(pages.chunks.len());
        if again.is_some() {
            pages.sent_again += 1;
        } else {
            // The large one now and then; in between it would be all that the server has time for.
            let small = 1 + usize::try_from(random >> 8).unwrap() % (self.templates.len() - 1);
            pages.chunks.push((if (random >> 4).is_multiple_of(64) { 0 } else { small }, false));
        }
        let template = pages.chunks[number].0;
        drop(pages);
        let start_s = BEGIN_S + number as u64 * CHUNK_S;
        // An SDK goes on with its session while the server is away.
        let session = (number % CONNECTIONS) * self.templates.len() + template;
        (number, self.templates[template].envelope(start_s, chunk_id(number), (7 << 64) + session as u128))
    }

    fn acknowledge(&self, number: usize, random: u64) {
        let mut pages = self.pages.lock().unwrap();
        pages.chunks[number].1 = true;
        if (random >> 16).is_multiple_of(8) {
            pages.again.push(number);
        }
    }

    fn unanswered(&self, number: usize) {
        self.pages.lock().unwrap().again.push(number);
    }
}

fn chunk_id(number: usize) -> u128 {
    (0xc0de << 96) + number as u128
}

impl Kills {
    /// With a store and a log in `folder`.
    pub fn new(folder: &Path) -> Self {
        let book = Book { templates: templates(), pages: Mutex::default() };
        let (store, log) = (folder.join("store"), folder.join("log"));
        Self { store, log, port: free_port(), book, random: 0x9e37_79b9_7f4a_7c15, outcome: Outcome::default() }
    }

    /// Kills it so many times, looking now and then whether everything is there.
    pub fn run(mut self, rounds: u32) -> Outcome {
        let began = Instant::now();
        let mut checked = 0;
        for round in 1..=rounds {
            self.round();
            if round % ROUNDS_BETWEEN_CHECKS == 0 && round < rounds {
                checked = self.check(checked);
            }
        }
        self.check(0);
        self.outcome.took = began.elapsed();
        self.outcome
    }

    fn round(&mut self) {
        let random = next(&mut self.random);
        let mut server = Serving::spawn(&self.store, self.port, &self.log);
        self.outcome.rounds += 1;
        if (random >> 8).is_multiple_of(KILLED_AT_START) {
            self.outcome.at_start += 1;
            // It may have come as far as to listen, or not to `main`.
            thread::sleep(Duration::from_micros((random >> 32) % 60_000));
            return;
        }
        let (key, took) = server.ready();
        self.outcome.longest_start = self.outcome.longest_start.max(took);
        thread::scope(|scope| {
            let (answered, first) = channel();
            for number in 0..CONNECTIONS as u64 {
                let (key, book, port, answered) = (&key, &self.book, self.port, answered.clone());
                scope.spawn(move || send(book, port, key, random ^ number << 40, &answered));
            }
            drop(answered);
            let log = || fs::read_to_string(&self.log).unwrap_or_default();
            first.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nothing was acknowledged: {}", log()));
            thread::sleep(Duration::from_micros(5_000 + (random >> 32) % 145_000));
            drop(server);
        });
    }

    /// Looks whether the chunks from number `from` on are there, and says with which the next look begins.
    fn check(&mut self, from: usize) -> usize {
        let mut server = Serving::spawn(&self.store, self.port, &self.log);
        let (_, took) = server.ready();
        self.outcome.longest_start = self.outcome.longest_start.max(took);
        let mut pages = self.book.pages.lock().unwrap();
        let outcome = &mut self.outcome;
        (outcome.sent, outcome.again) = (pages.chunks.len(), pages.sent_again);
        outcome.acknowledged = pages.chunks.iter().filter(|(_, acknowledged)| *acknowledged).count();
        outcome.wrong.append(&mut pages.wrong);
        if from == 0 {
            (outcome.found, outcome.unacknowledged) = (0, 0);
        }
        for start in (from..pages.chunks.len()).step_by(ASKED_AT_ONCE) {
            let end = (start + ASKED_AT_ONCE).min(pages.chunks.len());
            compare(&server, &self.book.templates, &pages.chunks[start..end], start, outcome);
        }
        sound(&self.store, outcome);
        pages.chunks.len()
    }
}

/// Sends as fast as it goes until the server is gone.
fn send(book: &Book, port: u16, key: &str, mut random: u64, answered: &Sender<()>) {
    let Ok(mut connection) = Connection::open(port) else { return };
    loop {
        let random = next(&mut random);
        let (number, envelope) = book.next(random);
        match connection.send(key, &envelope) {
            Ok(200) => {
                book.acknowledge(number, random);
                // Nobody listens any more after the first.
                let _ = answered.send(());
            }
            Ok(status) => {
                book.pages.lock().unwrap().wrong.push(format!("chunk {number} was answered {status}"));
                return;
            }
            Err(_) => return book.unanswered(number),
        }
    }
}

/// Compares what the server has of the time of these chunks, the first of which has the number `first`.
fn compare(server: &Serving, templates: &[Template], chunks: &[(usize, bool)], first: usize, outcome: &mut Outcome) {
    let at = |number: usize| BEGIN_S + number as u64 * CHUNK_S;
    let window = format!("project=1&from={}&to={}", at(first), at(first + chunks.len()));
    let list = server.ask(&format!("/profiles?{window}&limit=100000"));
    let mut there = BTreeMap::<u128, (usize, u64)>::new();
    for row in list["profiles"].as_array().unwrap() {
        let id = row["head"]["chunk_id"].as_str().unwrap().replace('-', "");
        let entry = there.entry(u128::from_str_radix(&id, 16).unwrap()).or_default();
        *entry = (entry.0 + 1, row["samples"].as_u64().unwrap());
    }
    let mut expected = Sums::default();
    for (offset, (template, acknowledged)) in chunks.iter().enumerate() {
        let (number, sums) = (first + offset, templates[*template].sums);
        match (there.remove(&chunk_id(number)), acknowledged) {
            (Some((many, samples)), _) => {
                expected.add(sums);
                outcome.twice += usize::from(many > 1);
                *(if *acknowledged { &mut outcome.found } else { &mut outcome.unacknowledged }) += 1;
                if samples != sums.samples {
                    outcome.wrong.push(format!("chunk {number} has {samples} samples, not {}", sums.samples));
                }
            }
            (None, true) => outcome.wrong.push(format!("chunk {number} is lost")),
            (None, false) => (),
        }
    }
    outcome.wrong.extend(there.keys().map(|id| format!("chunk {id:032x} was never sent")));
    let tree = server.ask(&format!("/tree?{window}"));
    let number = |value: &Value| value.as_u64().unwrap();
    let found = (number(&tree["total_us"]), number(&tree["idle_us"]), number(&tree["covers"]["samples"]));
    if found != (expected.busy_us, expected.idle_us, expected.samples) {
        outcome.wrong.push(format!("{first}..: the sums are {found:?}, not {expected:?}"));
    }
    let damaged = tree["covers"]["damaged"].as_array().unwrap();
    outcome.wrong.extend(damaged.iter().map(|damage| format!("damaged: {damage}")));
}

/// Nothing that is kept is damaged.
fn sound(store: &Path, outcome: &mut Outcome) {
    let check = run(&["store", "check", "--json", "--store", store.to_str().unwrap()], PATIENCE);
    if check.code != 0 {
        outcome.wrong.push(format!("store check: {} {}", check.stdout.trim(), check.stderr.trim()));
    }
}

fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    // The low bits of such a sequence repeat.
    *random >> 16 ^ *random >> 40
}

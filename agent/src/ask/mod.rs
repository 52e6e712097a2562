//! `sentry-profiled top`, `diff`, `export` and `store check`: questions about what is kept, asked of a server or of a folder.
//! Both are asked by the paths of the same API and answer with the same JSON; what is printed is made of that alone.

pub mod check;
pub mod diff;
pub mod export;
mod figures;
mod question;
mod source;
pub mod top;

use std::io::{self, Write as _};

use clap::Args;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use self::question::Question;
pub use self::{question::SelectionArguments, source::SourceArguments};
use crate::exit::Failure;

/// A function, as the API has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Function {
    name: String,
    module: Option<String>,
    file: Option<String>,
    line: Option<u32>,
}

/// Time and samples.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Weight {
    us: u64,
    samples: u64,
}

/// What an answer rests on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Covers {
    profiles: u64,
    samples: u64,
    damaged: Vec<Value>,
}

/// What a function's row says beside its figures.
#[derive(Debug, Args, Clone, Copy)]
pub struct RowArguments {
    /// Tell the lines of a function apart
    #[arg(long)]
    pub lines: bool,
    /// Print so many functions
    #[arg(long, short = 'n', value_name = "ROWS", default_value_t = 30)]
    pub limit: u32,
    /// Print the API's answer: JSON that stays as it is described there
    #[arg(long)]
    pub json: bool,
}

impl Function {
    /// `name  (module file:line)`
    fn title(&self) -> String {
        let place = match (&self.file, self.line) {
            (Some(file), Some(line)) => Some(format!("{file}:{line}")),
            (file, _) => file.clone(),
        };
        let said: Vec<&str> = [self.module.as_deref(), place.as_deref()].into_iter().flatten().collect();
        let name = plain(&self.name);
        if said.is_empty() { name } else { format!("{name}  ({})", plain(&said.join(" "))) }
    }
}

/// Names come from programs that were profiled: what would steer a terminal is not printed.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// An answer of rows for each function.
trait Rows: DeserializeOwned {
    /// For people.
    fn table(&self) -> String;
    /// What it rests on, and the time that it is about, microseconds.
    fn rests_on(&self) -> (&Covers, u64);
}

/// Asks for rows and prints them: as JSON, the answer as it came.
fn print_rows<A: Rows>(mut question: Question, of: &SourceArguments, rows: RowArguments) -> Result<u8, Failure> {
    question.flag("lines", rows.lines);
    question.one("limit", Some(&rows.limit.to_string()));
    let bytes = of.ask(&question.finish())?;
    let mut out = io::stdout().lock();
    if rows.json {
        out.write_all(&bytes)?;
        out.write_all(b"\n")?;
        return Ok(0);
    }
    let answer: A = read(&bytes)?;
    out.write_all(answer.table().as_bytes())?;
    out.flush()?;
    let (covers, total_us) = answer.rests_on();
    tell(covers, total_us);
    Ok(0)
}

/// Says on stderr what an answer rests on; standard output is for the answer alone.
fn tell(covers: &Covers, total_us: u64) {
    let Covers { profiles, samples, damaged } = covers;
    let mut out = io::stderr().lock();
    // With stderr gone there is nobody to tell.
    let _ = writeln!(out, "{} in {profiles} profiles, {samples} samples", figures::time(total_us));
    if !damaged.is_empty() {
        let many = damaged.len();
        let _ = writeln!(out, "warning: {many} damaged parts of the store are left out; see `store check`");
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::Hinted(
            anyhow::Error::new(error).context("the answer is not understood"),
            "is it a server of this version?",
        )
    })
}

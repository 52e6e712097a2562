//! `sentry-profiled diff`: what became more or less of the time between two windows or releases.

use clap::Args;
use serde::Deserialize;

use super::{
    Covers, Function, RowArguments, Rows, SelectionArguments, SourceArguments, figures, print_rows, question::Question,
};
use crate::exit::Failure;

/// `sentry-profiled diff`.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// Whom to ask.
    #[command(flatten)]
    pub source: SourceArguments,
    /// What is compared.
    #[command(flatten)]
    pub about: SelectionArguments,
    /// With what.
    #[command(flatten)]
    pub base: BaseArguments,
    /// How much of it.
    #[command(flatten)]
    pub rows: RowArguments,
}

/// The other side; what is not said is as on this one.
#[derive(Debug, Args, Clone, Default)]
#[group(required = true, multiple = true)]
pub struct BaseArguments {
    /// Compare with the window from then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Compared with")]
    pub base_from: Option<String>,
    /// Until then [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Compared with")]
    pub base_to: Option<String>,
    /// Compare with this session; may be given several times, as all of the following
    #[arg(long, value_name = "ID", help_heading = "Compared with")]
    pub base_profiler: Vec<String>,
    /// Compare with this environment
    #[arg(long, value_name = "NAME", help_heading = "Compared with")]
    pub base_environment: Vec<String>,
    /// Compare with this release
    #[arg(long, value_name = "VERSION", help_heading = "Compared with")]
    pub base_release: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    functions: Vec<Row>,
    base_total_us: u64,
    total_us: u64,
    covers: Covers,
}

#[derive(Debug, Deserialize)]
struct Row {
    function: Function,
    own: Share,
    total: Share,
}

#[derive(Debug, Deserialize)]
struct Share {
    a: f64,
    b: f64,
    difference: f64,
    error_95: f64,
}

/// Asks and prints.
pub fn diff(arguments: &DiffArguments) -> Result<u8, Failure> {
    let mut question = Question::new("/difference", &arguments.about);
    let base = &arguments.base;
    question.one("base_from", base.base_from.as_deref());
    question.one("base_to", base.base_to.as_deref());
    question.many("base_profiler", &base.base_profiler);
    question.many("base_environment", &base.base_environment);
    question.many("base_release", &base.base_release);
    print_rows::<Answer>(question, &arguments.source, arguments.rows)
}

impl Rows for Answer {
    fn table(&self) -> String {
        table(self)
    }

    fn rests_on(&self) -> (&Covers, u64) {
        (&self.covers, self.base_total_us.saturating_add(self.total_us))
    }
}

fn table(answer: &Answer) -> String {
    let row = |row: &Row| {
        // Without a mark: it may well be noise.
        let mark = if row.own.difference.abs() > row.own.error_95 { "*" } else { "" };
        vec![
            figures::percent(row.own.a),
            figures::percent(row.own.b),
            figures::change(row.own.difference),
            figures::percent(row.own.error_95),
            mark.to_owned(),
            figures::change(row.total.difference),
            figures::percent(row.total.error_95),
            row.function.title(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.functions.iter().map(row).collect();
    figures::table(&["before", "after", "self", "+-", "", "total", "+-", "function"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the table: a change that is more than its error is marked.
    #[test]
    fn printed() {
        let share = |a: f64, b: f64| Share { a, b, difference: b - a, error_95: 0.02 };
        let row = |name: &str, a, b| Row {
            function: Function { name: name.to_owned(), ..Function::default() },
            own: share(a, b),
            total: share(a, b),
        };
        let functions = vec![row("parse", 0.25, 0.5), row("write", 0.5, 0.49)];
        let answer = Answer { functions, base_total_us: 1, total_us: 1, covers: Covers::default() };
        insta::assert_snapshot!(table(&answer), @r"
        before   after     self     +-       total     +-  function
        25.0 %  50.0 %  +25.0 %  2.0 %  *  +25.0 %  2.0 %  parse
        50.0 %  49.0 %   -1.0 %  2.0 %      -1.0 %  2.0 %  write
        ");
    }
}

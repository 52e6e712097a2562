//! `sentry-profiled top`: the functions that took most time.

use clap::Args;
use serde::Deserialize;

use super::{
    Covers, Function, RowArguments, Rows, SelectionArguments, SourceArguments, Weight, figures, print_rows,
    question::Question,
};
use crate::exit::Failure;

/// `sentry-profiled top`.
#[derive(Debug, Args)]
pub struct TopArguments {
    /// Whom to ask.
    #[command(flatten)]
    pub source: SourceArguments,
    /// What of it.
    #[command(flatten)]
    pub about: SelectionArguments,
    /// How much of it.
    #[command(flatten)]
    pub rows: RowArguments,
}

#[derive(Debug, Deserialize)]
struct Answer {
    functions: Vec<Row>,
    total_us: u64,
    covers: Covers,
}

#[derive(Debug, Deserialize)]
struct Row {
    function: Function,
    own: Weight,
    total: Weight,
}

/// Asks and prints.
pub fn top(arguments: &TopArguments) -> Result<u8, Failure> {
    let question = Question::new("/functions", &arguments.about);
    print_rows::<Answer>(question, &arguments.source, arguments.rows)
}

impl Rows for Answer {
    fn table(&self) -> String {
        table(self)
    }

    fn rests_on(&self) -> (&Covers, u64) {
        (&self.covers, self.total_us)
    }
}

fn table(answer: &Answer) -> String {
    let row = |row: &Row| {
        vec![
            figures::time(row.own.us),
            figures::share(row.own.us, answer.total_us),
            figures::time(row.total.us),
            figures::share(row.total.us, answer.total_us),
            row.total.samples.to_string(),
            row.function.title(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.functions.iter().map(row).collect();
    figures::table(&["self", "self %", "total", "total %", "samples", "function"], &rows)
}

#[cfg(test)]
mod tests {
    use super::{super::read, *};

    /// Check the table of an answer, and that a name cannot steer the terminal.
    #[test]
    fn printed() {
        let answer = r#"{"from_us":0,"to_us":9,"functions":[
            {"function":{"name":"compare","module":"sorter","package":null,"file":"compare.h","path":null,"line":5,"in_app":true},
             "own":{"us":3000000,"samples":3},"total":{"us":3000000,"samples":3},"frequency":300.0},
            {"function":{"name":"ma\u001b[31min","module":null,"package":null,"file":null,"path":null,"line":null,"in_app":false},
             "own":{"us":1000,"samples":1},"total":{"us":3001000,"samples":4},"frequency":0.1}],
            "count":2,"total_us":3001000,"samples":4,"covers":{"profiles":1,"samples":9,"live":0,"damaged":[]}}"#;
        let answer: Answer = read(answer.as_bytes()).unwrap();
        insta::assert_snapshot!(table(&answer), @r"
          self   self %   total  total %  samples  function
        3.00 s  100.0 %  3.00 s  100.0 %        3  compare  (sorter compare.h:5)
        1.0 ms    0.0 %  3.00 s  100.0 %        4  ma�[31min
        ");
    }
}

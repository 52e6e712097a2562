//! What a question is about, as it is typed and as the API takes it. What the words mean is the API's business: it says
//! which are wrong.

use clap::Args;

/// Window and filters.
#[derive(Debug, Args, Clone, Default)]
pub struct SelectionArguments {
    /// Sentry's project: the number at the end of a DSN [default: 1]
    #[arg(long, value_name = "ID", help_heading = "What of it")]
    pub project: Option<u64>,
    /// The time up to now: 90s, 15m, 1h30m, 7d [default: 1h]
    #[arg(long, value_name = "LENGTH", conflicts_with_all = ["from", "to"], help_heading = "What of it")]
    pub last: Option<String>,
    /// From then: 2026-11-27T10:00:00Z, Unix seconds, or how long ago (-2h)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "What of it")]
    pub from: Option<String>,
    /// Until then [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "What of it")]
    pub to: Option<String>,
    /// Only this session (profiler id); may be given several times, as all of the following
    #[arg(long, value_name = "ID", help_heading = "What of it")]
    pub profiler: Vec<String>,
    /// Only this environment; '' for none
    #[arg(long, value_name = "NAME", help_heading = "What of it")]
    pub environment: Vec<String>,
    /// Only this release; '' for none
    #[arg(long, value_name = "VERSION", help_heading = "What of it")]
    pub release: Vec<String>,
    /// Only this thread, by id
    #[arg(long, value_name = "ID", help_heading = "What of it")]
    pub thread: Vec<String>,
    /// Which time counts: all, active, on_cpu, gil [default: all]
    #[arg(long, value_name = "STATES", help_heading = "What of it")]
    pub states: Option<String>,
}

/// A path with its query, in the making.
pub(super) struct Question {
    path: &'static str,
    query: form_urlencoded::Serializer<'static, String>,
}

impl Question {
    /// A path below the API's prefix, about a selection.
    pub(super) fn new(path: &'static str, about: &SelectionArguments) -> Self {
        let mut question = Self { path, query: form_urlencoded::Serializer::new(String::new()) };
        let from = about.last.as_ref().map(|last| format!("-{last}")).or_else(|| about.from.clone());
        question.one("project", about.project.map(|project| project.to_string()).as_deref());
        question.one("from", from.as_deref());
        question.one("to", about.to.as_deref());
        question.many("profiler", &about.profiler);
        question.many("environment", &about.environment);
        question.many("release", &about.release);
        question.many("thread", &about.thread);
        question.one("states", about.states.as_deref());
        question
    }

    /// Adds a parameter, if it has a value.
    pub(super) fn one(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.query.append_pair(name, value);
        }
    }

    /// Adds a parameter with each of its values.
    pub(super) fn many(&mut self, name: &str, values: &[String]) {
        for value in values {
            self.query.append_pair(name, value);
        }
    }

    /// Adds a parameter that is true or not there.
    pub(super) fn flag(&mut self, name: &str, is_on: bool) {
        self.one(name, is_on.then_some("true"));
    }

    /// What to ask for.
    pub(super) fn finish(mut self) -> String {
        let query = self.query.finish();
        format!("{}{}{}{query}", server::api::PREFIX, self.path, if query.is_empty() { "" } else { "?" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that what was typed arrives as it was.
    #[test]
    fn questions() {
        let about = SelectionArguments {
            last: Some("15m".to_owned()),
            release: vec!["a&b=c +1".to_owned(), String::new()],
            states: Some("gil".to_owned()),
            ..SelectionArguments::default()
        };
        let mut question = Question::new("/tree", &about);
        question.flag("lines", true);
        let asked = question.finish();
        assert_eq!(asked, "/api/v1/tree?from=-15m&release=a%26b%3Dc+%2B1&release=&states=gil&lines=true");
    }
}

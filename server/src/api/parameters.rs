//! The parameters of a question: a name that the route does not know, or a value that makes no sense, is an error that
//! names the parameter.

use std::time::{SystemTime, UNIX_EPOCH};

use store::{
    item::{ProjectId, Selection, States, Window},
    query::TransactionFilter,
    tree::Shape,
};
use uuid::Uuid;

use super::{error::ApiError, time};

/// The window if none is asked for.
const WINDOW: &str = "-1h";
/// The project if none is asked for: a server's first one.
const PROJECT: u64 = 1;
/// Longer ones are no names of anything, characters.
const VALUE_MAX: usize = 1024;
/// More values of one parameter are nothing that a person chose.
const VALUES_MAX: usize = 1000;

/// A parameter that a route knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: &'static str,
    /// It may be given several times.
    pub(crate) repeats: bool,
}

/// What was given.
#[derive(Debug)]
pub(crate) struct Parameters {
    values: Vec<(String, String)>,
    now_us: u64,
}

impl Parameters {
    /// Those of a path and a query string.
    pub(crate) fn parse(known: &[Parameter], path: Vec<(String, String)>, query: &str) -> Result<Self, ApiError> {
        let mut values = path;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
                let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
                let name: String = name.chars().take(100).collect();
                return Err(ApiError::parameter(
                    &name,
                    "is not known here",
                    format!("known are: {}", names.join(", ")),
                ));
            };
            let before = values.iter().filter(|(before, _)| *before == name).count();
            if before > 0 && !parameter.repeats {
                return Err(ApiError::parameter(parameter.name, "is given several times", "give it once"));
            }
            if value.chars().nth(VALUE_MAX).is_some() || before >= VALUES_MAX {
                return Err(ApiError::parameter(parameter.name, "is too long", "ask for less at once"));
            }
            values.push((name.into_owned(), value.into_owned()));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { values, now_us: u64::try_from(now.as_micros()).unwrap_or(u64::MAX) })
    }

    /// The value of a parameter that is given once.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// `project`.
    pub(crate) fn project(&self) -> Result<ProjectId, ApiError> {
        Ok(ProjectId(self.number("project", 0, i64::MAX as u64)?.unwrap_or(PROJECT)))
    }

    /// `project`, if it was given.
    pub(crate) fn some_project(&self) -> Result<Option<ProjectId>, ApiError> {
        Ok(self.number("project", 0, i64::MAX as u64)?.map(ProjectId))
    }

    /// `from` and `to`.
    pub(crate) fn window(&self) -> Result<Window, ApiError> {
        self.window_of("from", "to")
    }

    fn window_of(&self, from: &str, to: &str) -> Result<Window, ApiError> {
        let window = Window { from_us: self.time(from, WINDOW)?, to_us: self.time(to, "now")? };
        if window.from_us >= window.to_us {
            return Err(ApiError::parameter(from, format!("is not before `{to}`"), "give a window that has a length"));
        }
        Ok(window)
    }

    fn time(&self, name: &str, otherwise: &str) -> Result<u64, ApiError> {
        let text = self.get(name).unwrap_or(otherwise);
        time::parse(text, self.now_us).ok_or_else(|| {
            let hint = "write 2026-11-27T10:00:00Z, Unix seconds, `now` or how long ago: -90s, -15m, -1h30m, -7d";
            ApiError::parameter(name, "is no point in time", hint)
        })
    }

    /// What profiles and threads it is about.
    pub(crate) fn selection(&self) -> Result<Selection, ApiError> {
        Ok(Selection {
            profilers: self.ids("profiler")?,
            environments: self.names("environment"),
            releases: self.names("release"),
            threads: self.all("thread").map(str::to_owned).collect(),
            marks: self.all("mark").map(str::to_owned).collect(),
            states: self.states()?,
            ..Selection::new(self.project()?, self.window()?)
        })
    }

    /// What a difference starts from: like the selection but for what `base_...` says.
    pub(crate) fn base(&self) -> Result<Selection, ApiError> {
        let mut base = self.selection()?;
        let mut is_other = false;
        if self.has("base_from") || self.has("base_to") {
            let window = self.window_of("base_from", "base_to")?;
            (base.from_us, base.to_us, is_other) = (window.from_us, window.to_us, true);
        }
        if self.has("base_profiler") {
            (base.profilers, is_other) = (self.ids("base_profiler")?, true);
        }
        if self.has("base_environment") {
            (base.environments, is_other) = (self.names("base_environment"), true);
        }
        if self.has("base_release") {
            (base.releases, is_other) = (self.names("base_release"), true);
        }
        if !is_other {
            let hint = "give base_from and base_to, base_release, base_environment or base_profiler";
            return Err(ApiError::parameter("base_from", "nothing says what to compare with", hint));
        }
        Ok(base)
    }

    /// The empty one stands for profiles that have none.
    fn names(&self, name: &str) -> Vec<Option<String>> {
        self.all(name).map(|value| Some(value.to_owned()).filter(|value| !value.is_empty())).collect()
    }

    /// Ids that may be given several times.
    pub(crate) fn ids(&self, name: &str) -> Result<Vec<Uuid>, ApiError> {
        self.all(name).map(|value| id(name, value)).collect()
    }

    /// An id that the path holds.
    pub(crate) fn id(&self, name: &str) -> Result<Uuid, ApiError> {
        id(name, self.get(name).unwrap_or_default())
    }

    fn states(&self) -> Result<States, ApiError> {
        match self.get("states") {
            None | Some("all") => Ok(States::All),
            Some("active") => Ok(States::Active),
            Some("on_cpu") => Ok(States::OnCpu),
            Some("gil") => Ok(States::Gil),
            Some(_) => Err(ApiError::parameter("states", "is not known", "write all, active, on_cpu or gil")),
        }
    }

    /// `lines` and `inverted`.
    pub(crate) fn shape(&self) -> Result<Shape, ApiError> {
        let shape =
            Shape { lines: self.flag("lines")?, inverted: self.flag("inverted")?, states: self.is_split("states")? };
        if shape.states && shape.inverted {
            return Err(ApiError::parameter("split", "is not answered upside down", "leave out inverted"));
        }
        Ok(shape)
    }

    /// Whether `split` asks for the one thing by which this question's answer can be split.
    pub(crate) fn is_split(&self, by: &str) -> Result<bool, ApiError> {
        match self.get("split") {
            None => Ok(false),
            Some(asked) if asked == by => Ok(true),
            Some(_) => Err(ApiError::parameter("split", "is not known here", format!("write {by}"))),
        }
    }

    /// Which transactions are asked for.
    pub(crate) fn transactions(&self) -> Result<TransactionFilter, ApiError> {
        Ok(TransactionFilter {
            name: self.get("name").map(str::to_owned),
            min_us: self.number("min_us", 0, i64::MAX as u64)?.unwrap_or(0),
            max_us: self.number("max_us", 0, i64::MAX as u64)?,
            profiled: self.flag("profiled")?,
            started: self.flag("started")?,
            slowest: match self.get("order") {
                None | Some("newest") => false,
                Some("slowest") => true,
                Some(_) => return Err(ApiError::parameter("order", "is not known", "write newest or slowest")),
            },
        })
    }

    /// A parameter that is `true` or `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        self.flag_or(name, false)
    }

    /// The same with what holds if it is not given.
    pub(crate) fn flag_or(&self, name: &str, otherwise: bool) -> Result<bool, ApiError> {
        match self.get(name) {
            None => Ok(otherwise),
            Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::parameter(name, "is neither true nor false", "write true or false")),
        }
    }

    /// A whole number within bounds.
    pub(crate) fn number(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_plain && (min..=max).contains(number));
        let wrong = || ApiError::parameter(name, "is no such number", format!("write a number from {min} to {max}"));
        number.map(Some).ok_or_else(wrong)
    }

    /// The same as a length of a list.
    pub(crate) fn length(&self, name: &str, max: u64, otherwise: usize) -> Result<usize, ApiError> {
        let given = self.number(name, 1, max)?;
        Ok(given.and_then(|given| usize::try_from(given).ok()).unwrap_or(otherwise))
    }
}

/// 32 hexadecimal digits, as Sentry writes ids, or with hyphens.
fn id(name: &str, value: &str) -> Result<Uuid, ApiError> {
    let id = if matches!(value.len(), 32 | 36) { value.parse().ok() } else { None };
    id.ok_or_else(|| ApiError::parameter(name, "is no id", "write 32 hexadecimal digits"))
}

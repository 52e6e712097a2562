//! Queries with what goes into them apart: text of ours, and values that are bound. No value ever becomes text of a query
//! but through the crate's own escaping.

use serde::Serialize;
use uuid::Uuid;

use crate::item::{Selection, Window};

/// A value that is bound.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Bound {
    Number(u64),
    Numbers(Vec<u64>),
    Pairs(Vec<(u64, u64)>),
    Text(String),
    Ids(Vec<Uuid>),
    Texts(Vec<String>),
}

/// A query as it grows.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) bound: Vec<Bound>,
}

impl Sql {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), bound: Vec::new() }
    }

    /// More text of ours.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// More text of ours with one `?`, and the value for it.
    pub(super) fn with(mut self, text: &str, value: Bound) -> Self {
        self.text.push_str(text);
        self.bound.push(value);
        self
    }

    /// `column` is one of the ids; all on the primary key are looked up, not searched for.
    pub(super) fn among(self, column: &str, ids: impl IntoIterator<Item = Uuid>) -> Self {
        let ids = Bound::Ids(ids.into_iter().collect());
        self.with(&format!(" AND {column} IN CAST(?, 'Array(UUID)')"), ids)
    }

    /// Overlaps the window, as [`crate::ChunkStore`] says it.
    pub(super) fn overlaps(self, window: Window) -> Self {
        self.with(&format!(" AND start_timestamp < {TIME}"), Bound::Number(end(window.to_us)))
            .with(&format!(" AND end_timestamp >= {TIME}"), Bound::Number(time(window.from_us)))
    }

    /// Profiles of the selection, whatever the thread and the state.
    pub(super) fn selects(self, selection: &Selection) -> Self {
        let mut sql =
            self.with(" WHERE project_id = ?", Bound::Number(selection.project.0)).overlaps(selection.window());
        if !selection.profilers.is_empty() {
            sql = sql.among("profiler_id", selection.profilers.iter().copied());
        }
        sql.optional("environment", &selection.environments).optional("release", &selection.releases)
    }

    /// `column` is one of the texts, or nothing where `None` is among them; an empty list takes all.
    fn optional(self, column: &str, wanted: &[Option<String>]) -> Self {
        let texts: Vec<String> = wanted.iter().flatten().cloned().collect();
        let none = wanted.iter().any(Option::is_none);
        match (texts.is_empty(), none) {
            (true, false) => self,
            (true, true) => self.text(&format!(" AND {column} IS NULL")),
            (false, false) => self.with(&format!(" AND {column} IN ?"), Bound::Texts(texts)),
            (false, true) => self.with(&format!(" AND ({column} IS NULL OR {column} IN ?)"), Bound::Texts(texts)),
        }
    }
}

/// A bound number of microseconds as a time.
pub(super) const TIME: &str = "fromUnixTimestamp64Micro(toInt64(?), 'UTC')";

/// The year 2096. ClickHouse's days of retention are counted in seconds of 32 bits; what claims to be from later is kept
/// as of then.
const TIME_MAX_US: u64 = 4_000_000_000_000_000;

/// A time that every function of ClickHouse takes.
pub(super) fn time(us: u64) -> u64 {
    us.min(TIME_MAX_US)
}

/// The same for an exclusive end: what is kept as of the latest time is before the end of a window that goes further.
fn end(us: u64) -> u64 {
    us.min(TIME_MAX_US + 1)
}

/// The same as a column has it.
#[expect(clippy::cast_possible_wrap, reason = "below 2^52")]
pub(super) fn column(us: u64) -> i64 {
    time(us) as i64
}

/// And back.
pub(super) fn us(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::item::ProjectId;

    /// Check that a selection becomes a condition with every value bound, and `None` among environments the absence of one.
    #[test]
    fn selection() {
        let mut selection = Selection::new(ProjectId(7), Window { from_us: 1, to_us: u64::MAX });
        selection.profilers = vec![Uuid::from_u128(5)];
        selection.environments = vec![None, Some("it's".to_owned())];
        let sql = Sql::new("SELECT 1").selects(&selection);
        assert_snapshot!(sql.text, @"SELECT 1 WHERE project_id = ? AND start_timestamp < fromUnixTimestamp64Micro(toInt64(?), 'UTC') AND end_timestamp >= fromUnixTimestamp64Micro(toInt64(?), 'UTC') AND profiler_id IN CAST(?, 'Array(UUID)') AND (environment IS NULL OR environment IN ?)");
        assert_snapshot!(format!("{:?}", sql.bound), @r#"[Number(7), Number(4000000000000001), Number(1), Ids([00000000-0000-0000-0000-000000000005]), Texts(["it's"])]"#);
    }
}

//! Transactions, spans, and what was refused.

use uuid::Uuid;

use profile::received::{Span, Transaction};

use super::{
    connection::Connection,
    rows::{RefusedRow, SpanRow, TransactionRow},
    sql::{Bound, Sql},
};
use crate::{
    chunk_store::StoreError,
    item::{ProjectId, Refused, Window},
};

/// Transactions that overlap the window, by start.
pub(super) fn transactions(
    database: &Connection,
    project: ProjectId,
    window: Window,
) -> Result<Vec<Transaction>, StoreError> {
    let sql = Sql::new("SELECT ?fields FROM transactions FINAL")
        .with(" WHERE project_id = ?", Bound::Number(project.0))
        .overlaps(window)
        .text(" ORDER BY start_timestamp, event_id");
    let rows = database.rows::<TransactionRow>("list transactions", &sql)?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// One transaction.
pub(super) fn transaction(
    database: &Connection,
    project: ProjectId,
    event_id: Uuid,
) -> Result<Option<Transaction>, StoreError> {
    let sql = Sql::new("SELECT ?fields FROM transactions FINAL")
        .with(" WHERE project_id = ?", Bound::Number(project.0))
        .among("event_id", [event_id])
        .text(" ORDER BY received DESC LIMIT 1");
    let rows = database.rows::<TransactionRow>("look for a transaction", &sql)?;
    Ok(rows.into_iter().next().map(Into::into))
}

/// A trace's spans, by start.
pub(super) fn spans(database: &Connection, project: ProjectId, trace_id: Uuid) -> Result<Vec<Span>, StoreError> {
    let sql = Sql::new("SELECT ?fields FROM spans FINAL")
        .with(" WHERE project_id = ?", Bound::Number(project.0))
        .among("trace_id", [trace_id])
        .text(" ORDER BY start_timestamp, span_id");
    let rows = database.rows::<SpanRow>("list spans", &sql)?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// What was refused last, the newest first.
pub(super) fn refused(database: &Connection, project: ProjectId, many: usize) -> Result<Vec<Refused>, StoreError> {
    let sql = Sql::new("SELECT ?fields FROM refused FINAL")
        .with(" WHERE project_id = ?", Bound::Number(project.0))
        .with(" ORDER BY at DESC, item, reason, detail LIMIT ?", Bound::Number(many as u64));
    let rows = database.rows::<RefusedRow>("list what was refused", &sql)?;
    Ok(rows.into_iter().map(Into::into).collect())
}

//! What is too old, or too much, goes by whole days: their partitions are dropped, which costs nothing.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{
    connection::Connection,
    schema::BY_DAY,
    sql::{Bound, Sql, TIME, column, time},
};
use crate::{chunk_store::StoreError, item::Retention};

const DAY_US: u64 = 86_400_000_000;
/// What was refused is of use for days, to whoever writes an SDK.
const REFUSED_DAYS: u64 = 7;

/// A day of a table.
#[derive(Clone, Debug, Row, Serialize, Deserialize)]
struct Partition {
    table: String,
    id: String,
    last: i64,
    /// As its rows say it; 0: they do not.
    retention_days: u16,
    /// Rows that began or ended within a day of now.
    recent: u64,
    bytes: u64,
}

/// Drops days that end before their rows allow at `now_us`, or `retention` where they say nothing, then the oldest until the
/// rest is small enough. What is of the last day stays, however large. Several servers may do so at once.
pub(super) fn retain(database: &Connection, retention: Retention, now_us: u64) -> Result<(), StoreError> {
    let before = |days: u64| column(now_us.saturating_sub(days.saturating_mul(DAY_US)));
    let days = |partition: &Partition| match (partition.table.as_str(), partition.retention_days) {
        ("refused", _) => REFUSED_DAYS,
        (_, 0) => u64::from(retention.days),
        (_, days) => u64::from(days),
    };
    let is_old = |partition: &Partition| partition.last < before(days(partition));
    let (old, mut young): (Vec<_>, Vec<_>) = partitions(database, now_us)?.into_iter().partition(is_old);
    for partition in &old {
        drop_partition(database, partition)?;
    }
    young.sort_by_key(|partition| (partition.last, partition.table.clone()));
    let mut bytes: u64 = young.iter().map(|partition| partition.bytes).sum();
    for partition in young.iter().filter(|partition| partition.recent == 0) {
        if bytes <= retention.bytes {
            break;
        }
        drop_partition(database, partition)?;
        bytes = bytes.saturating_sub(partition.bytes);
    }
    if bytes > retention.bytes {
        warn!(bytes, limit = retention.bytes, "The store is larger than its limit: what is of the last day stays.");
    }
    Ok(())
}

/// Of all tables, each with its last moment.
fn partitions(database: &Connection, now_us: u64) -> Result<Vec<Partition>, StoreError> {
    // Senders' clocks may be ahead: a day on both sides of now. What claims to be from later may go.
    let from = || Bound::Number(time(now_us.saturating_sub(DAY_US)));
    let to = || Bound::Number(time(now_us.saturating_add(DAY_US)));
    let mut partitions = Vec::new();
    for table in BY_DAY {
        let (name, start, end, days) = (table.name, table.start, table.end, table.retention_days);
        let sql = Sql::new("SELECT")
            .with(" ? AS table", Bound::Text(name.to_owned()))
            .text(
                ", ids.id AS id, ids.last AS last, ids.days AS retention_days, ids.recent AS recent, \
                 sizes.bytes AS bytes",
            )
            .text(&format!(" FROM (SELECT _partition_id AS id, max({end}) AS last, any({days}) AS days"))
            .with(&format!(", countIf({start} BETWEEN {TIME}"), from())
            .with(&format!(" AND {TIME}"), to())
            .with(&format!(" OR {end} BETWEEN {TIME}"), from())
            .with(&format!(" AND {TIME}) AS recent FROM {name} GROUP BY id) AS ids"), to())
            .text(" JOIN (SELECT partition_id AS id, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND database = currentDatabase()")
            .with(" AND table = ?", Bound::Text(name.to_owned()))
            .text(" GROUP BY id) AS sizes ON ids.id = sizes.id");
        partitions.extend(database.rows::<Partition>("list partitions", &sql)?);
    }
    Ok(partitions)
}

fn drop_partition(database: &Connection, partition: &Partition) -> Result<(), StoreError> {
    let sql = Sql::new(&format!("ALTER TABLE {} DROP PARTITION ID", partition.table))
        .with(" ?", Bound::Text(partition.id.clone()));
    database.execute("drop a partition", &sql)?;
    info!(table = partition.table, partition = partition.id, bytes = partition.bytes, "Retention removed a day.");
    Ok(())
}

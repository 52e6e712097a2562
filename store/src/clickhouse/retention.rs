//! What is too old, or too much, goes by whole days: their partitions are dropped, which costs nothing.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{
    connection::Connection,
    schema::BY_DAY,
    sql::{Bound, Sql, column},
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
    bytes: u64,
}

/// Drops days that end before `retention` allows at `now_us`, then the oldest until the rest is small enough. Several
/// servers may do so at once.
pub(super) fn retain(database: &Connection, retention: Retention, now_us: u64) -> Result<(), StoreError> {
    let before = |days: u64| column(now_us.saturating_sub(days.saturating_mul(DAY_US)));
    let mut partitions = partitions(database)?;
    partitions.sort_by_key(|partition| (partition.last, partition.table.clone()));
    let mut bytes: u64 = partitions.iter().map(|partition| partition.bytes).sum();
    for partition in &partitions {
        let days = if partition.table == "refused" { REFUSED_DAYS } else { u64::from(retention.days) };
        if partition.last < before(days) || bytes > retention.bytes {
            drop_partition(database, partition)?;
            bytes = bytes.saturating_sub(partition.bytes);
        }
    }
    Ok(())
}

/// Of all tables, each with its last moment.
fn partitions(database: &Connection) -> Result<Vec<Partition>, StoreError> {
    let mut partitions = Vec::new();
    for (table, time) in BY_DAY {
        let sql = Sql::new("SELECT")
            .with(" ? AS table", Bound::Text(table.to_owned()))
            .text(&format!(", ids.id AS id, ids.last AS last, sizes.bytes AS bytes FROM (SELECT _partition_id AS id, max({time}) AS last FROM {table} GROUP BY id) AS ids"))
            .text(" JOIN (SELECT partition_id AS id, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND database = currentDatabase()")
            .with(" AND table = ?", Bound::Text(table.to_owned()))
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

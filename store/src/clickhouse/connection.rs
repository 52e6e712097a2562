//! The crate's asynchronous client behind blocking calls, with time limits, and errors that show no secret.

use std::{
    fmt,
    future::Future,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use clickhouse::{Client, Compression, Row, RowOwned, RowRead, RowWrite, error::Error, query::Query};
use thiserror::Error as ThisError;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use super::{address::Address, sql::Sql};
use crate::chunk_store::StoreError;

/// A database that says nothing for so long is given up: longer than ClickHouse's own limits on queries of ours.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
/// ClickHouse ends a query of ours after that: what asked for it has gone by then.
const QUERY_SECONDS: &str = "60";
/// Lists of ids stand in the text of a query: 100,000 of them take 4 MB.
const QUERY_BYTES: &str = "33554432";
/// An error's text is cut there: it may quote a query.
const ERROR_MAX: usize = 2_000;
/// Of ClickHouse: a table, or a database, that another server has just created.
const ALREADY_THERE: [u32; 2] = [57, 82];

/// A database.
#[derive(Clone)]
pub(super) struct Connection {
    client: Client,
    runtime: Arc<Runtime>,
    password: Arc<str>,
}

/// Drives the network in a thread of its own, so that connections live whoever calls.
struct Runtime {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What ClickHouse, or the way to it, said.
#[derive(Debug, ThisError)]
#[error("{text}")]
pub(super) struct Failure {
    text: String,
    /// ClickHouse's own number of it.
    pub(super) code: Option<u32>,
}

impl Connection {
    /// Does not connect yet. Without `database`: to the server as such.
    pub(super) fn new(address: &Address) -> Result<Self, StoreError> {
        let mut client = Client::default()
            .with_url(&address.endpoint)
            .with_compression(if address.compress { Compression::Lz4 } else { Compression::None })
            .with_product_info("sentry-profiled", env!("CARGO_PKG_VERSION"))
            .with_setting("max_execution_time", QUERY_SECONDS)
            .with_setting("max_query_size", QUERY_BYTES)
            // `sum(samples) AS samples` means the column.
            .with_setting("prefer_column_name_to_alias", "1");
        if !address.user.is_empty() {
            client = client.with_user(&address.user);
        }
        if !address.password.is_empty() {
            client = client.with_password(&address.password);
        }
        let runtime = Runtime::start()
            .map_err(|source| StoreError::Io { what: "start a thread for ClickHouse".to_owned(), source })?;
        Ok(Self { client, runtime: Arc::new(runtime), password: Arc::from(address.password.as_str()) })
    }

    /// The same server, with all queries to this database.
    pub(super) fn of_database(&self, database: &str) -> Self {
        Self { client: self.client.clone().with_database(database), ..self.clone() }
    }

    /// All rows of an answer. `what` names it in errors.
    pub(super) fn rows<T>(&self, what: &str, sql: &Sql) -> Result<Vec<T>, StoreError>
    where
        T: RowOwned + RowRead,
    {
        self.wait(what, self.query(sql).fetch_all::<T>())
    }

    /// Carries out a statement.
    pub(super) fn execute(&self, what: &str, sql: &Sql) -> Result<(), StoreError> {
        self.wait(what, self.query(sql).execute())
    }

    /// The same for what creates: that it is there by now is what was wanted.
    pub(super) fn create(&self, what: &str, sql: &Sql) -> Result<(), StoreError> {
        match self.execute(what, sql) {
            Err(error) if code(&error).is_some_and(|code| ALREADY_THERE.contains(&code)) => Ok(()),
            result => result,
        }
    }

    /// One insert: part files on disk when this returns.
    pub(super) fn insert<'r, T>(&self, table: &str, rows: impl Iterator<Item = &'r T>) -> Result<(), StoreError>
    where
        T: RowOwned + RowWrite + for<'a> Row<Value<'a> = T> + 'r,
    {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        self.wait(&format!("insert into {table}"), async {
            let mut insert = self.client.insert::<T>(table).await?;
            // As one part a day, now, and with all the days that the writer lets through.
            insert = insert
                .with_setting("async_insert", "0")
                .with_setting("max_partitions_per_insert_block", "0")
                .with_timeouts(Some(ANSWER_WITHIN), Some(ANSWER_WITHIN));
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        })
    }

    fn query(&self, sql: &Sql) -> Query {
        sql.bound.iter().fold(self.client.query(&sql.text), |query, value| query.bind(value))
    }

    fn wait<T>(&self, what: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let answer = self.runtime.handle.block_on(async { tokio::time::timeout(ANSWER_WITHIN, work).await });
        let failure = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => Failure::of(&error, &self.password),
            Err(_) => Failure { text: format!("no answer within {} s", ANSWER_WITHIN.as_secs()), code: None },
        };
        Err(StoreError::Database { what: what.to_owned(), source: Box::new(failure) })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.client.database().unwrap_or_default())
    }
}

impl Runtime {
    fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("clickhouse-net".to_owned()).spawn(move || {
            // An error is the other side being gone: the end as well.
            let _ = runtime.block_on(ended);
        })?;
        Ok(Self { handle, end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Failure {
    fn of(error: &Error, password: &str) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(one) = cause {
            let more = one.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = one.source();
        }
        if !password.is_empty() {
            text = text.replace(password, "***");
        }
        let code = text.split_once("Code: ").and_then(|(_, rest)| {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        });
        if let Some((cut, _)) = text.char_indices().nth(ERROR_MAX) {
            text.truncate(cut);
        }
        Self { text, code }
    }
}

/// ClickHouse's number of what went wrong.
pub(super) fn code(error: &StoreError) -> Option<u32> {
    match error {
        StoreError::Database { source, .. } => source.downcast_ref::<Failure>()?.code,
        _ => None,
    }
}

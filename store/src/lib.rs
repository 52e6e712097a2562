//! Keeps profiles, transactions and spans, and answers what took time, when, and in which thread. Speaks to no network but
//! that of a database; knows no HTTP of its own, and no command line.
#![forbid(unsafe_code)]
#![allow(clippy::cast_precision_loss, reason = "shares and rates of sums need no 53rd bit")]
#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "numbers of tests are small"))]

pub mod chunk_store;
pub mod clickhouse;
pub mod embedded;
pub mod encoding;
mod in_app;
pub mod item;
pub mod live;
pub mod query;
#[doc(hidden)]
pub mod testing;
pub mod tree;

pub use chunk_store::{ChunkStore, StoreError};

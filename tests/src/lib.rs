//! The harness of the end-to-end tests in `tests/tests`: the programs that are profiled, the interpreters that run some, the agent that profiles them,
//! the receiver that it ships to, a debuginfod server; a server of its own that is sent to and killed. Asserts nothing about profiles itself.

pub mod agent;
pub mod clickhouse;
pub mod compile;
pub mod daemon;
pub mod debuginfod;
pub mod envelopes;
pub mod kills;
pub mod pythons;
pub mod receiver;
pub mod serving;
pub mod targets;
pub mod tools;

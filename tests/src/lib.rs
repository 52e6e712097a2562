//! The harness of the end-to-end tests in `tests/tests`: the programs that are profiled, the agent that profiles them,
//! the receiver that it ships to, a debuginfod server. Asserts nothing about profiles itself.

pub mod agent;
pub mod compile;
pub mod debuginfod;
pub mod receiver;
pub mod targets;

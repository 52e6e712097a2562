//! The harness of the end-to-end tests in `tests/tests`: the programs that are profiled, the agent that profiles them,
//! and the receiver that it ships to. Asserts nothing about profiles itself.

pub mod agent;
pub mod compile;
pub mod receiver;
pub mod targets;

//! agent
pub mod ship;

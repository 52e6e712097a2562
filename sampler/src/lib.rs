//! Discovers, ticks and reads: which threads of a target ran, their registers and a copy of their stacks, and the stacks
//! that follow. Never speaks HTTP, never runs async code, never names a frame.
//!
//! The way of a sample through this crate:
//! [`target`] proves who the process is, [`births`] finds those that it forks, [`threads`] keeps its threads, [`clock`] says when, [`reader`] reads those that
//! ran (without stopping one that sleeps), [`unwinding`] turns the copies into stacks of [`profile::feed::Event`]s.
//! `ticking` is the thread that ties them, [`sampler`] what others hold of it.

pub mod births;
mod board;
pub mod clock;
pub mod fuzz;
mod generated;
pub mod interpreter;
mod job;
pub mod ledger;
pub mod lock;
pub mod maps;
pub mod memory;
pub mod modules;
mod perf_map;
pub mod procfs;
mod python_stacks;
pub mod quiet;
pub mod reader;
pub mod sampler;
pub mod sys;
pub mod target;
pub mod taskstats;
pub mod thread_names;
pub mod threads;
mod ticking;
pub mod unwinding;
pub mod watchdog;

pub use crate::{
    modules::ModuleFile,
    sampler::{Native, Output, Sampler, SamplerError, Settings, Sink, TargetId},
    target::{Refused, Target},
};

//! Call trees: the answer to where the time went.

use serde::Serialize;

use crate::item::ByState;

/// A function, or a line of one, as trees and tables name it. Two frames that differ in nothing of this are the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub struct Function {
    /// Its name; where nobody knows it, its address or what stands for it.
    pub name: String,
    /// Module, class or crate.
    pub module: Option<String>,
    /// Library or program file.
    pub package: Option<String>,
    /// File.
    pub file: Option<String>,
    /// Whole path.
    pub path: Option<String>,
    /// Only where lines are told apart.
    pub line: Option<u32>,
    /// Of the application itself.
    pub in_app: bool,
}

/// Time, in microseconds, and how often it was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Weight {
    /// Microseconds.
    pub us: u64,
    /// Samples as sent that began in the window; not the last of a thread in its profile, which has no length. Says
    /// little of time: an unchanged stack of a minute may be three.
    pub samples: u64,
}

impl Weight {
    /// Adds another; nothing overflows in 584,000 years of threads.
    pub fn add(&mut self, other: Self) {
        self.us = self.us.saturating_add(other.us);
        self.samples = self.samples.saturating_add(other.samples);
    }
}

/// How a tree is to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shape {
    /// Lines of a function are told apart.
    pub lines: bool,
    /// The leaves are the roots: who took the time, and below it who called it.
    pub inverted: bool,
    /// Own time is told apart by state, too. Of a tree that is not inverted.
    pub states: bool,
}

/// A call tree, depth first: a node's children follow it, largest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree {
    /// Distinct functions; nodes refer to them.
    pub functions: Vec<Function>,
    /// Nodes; the roots have depth 0.
    pub nodes: Vec<Node>,
    /// The sum over the roots.
    pub total: Weight,
    /// Time of threads that were idle: no stack at all.
    pub idle: Weight,
    /// By node: its own time by state; empty: not asked for.
    pub states: Vec<ByState>,
}

/// A call, merged over everything that the question is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Node {
    /// Index into the functions.
    pub function: u32,
    /// Nodes above it.
    pub depth: u32,
    /// In it and in what it calls.
    pub total: Weight,
    /// In itself.
    pub own: Weight,
}

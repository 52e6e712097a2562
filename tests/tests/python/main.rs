//! Python programs under every interpreter of this machine: stacks that are known beforehand, by name, line and order.

mod greenlets;
mod known;
mod merged;
mod names;
mod paths;
mod rivals;
mod sdk;
mod shares;
mod states;
mod views;

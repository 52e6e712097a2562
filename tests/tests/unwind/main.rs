//! The unwinder on real programs that are hard to unwind, each built with the exact flags that make it so, stopped at an
//! exact instruction. Expected stacks are text: functions of the fixture by name, everything else by its module, frames
//! of one foreign module in a row as one.

mod cases;
mod files;
mod shadow;
mod sleeping;
mod steps;
mod traced;

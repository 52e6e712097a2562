//! The agent against programs that make its life hard, run as a user runs it. Each file is a kind of hardship. What a
//! target must never lose (signals, waits, time, its life) is counted by the target itself.

/// The agent is killed, stopped, suspended.
mod agent_faults;
/// Programs that are replaced under the sampler.
mod exec;
/// The children that targets fork.
mod family;
/// Targets that end, and targets whose threads come and go.
mod lifecycle;
/// What is recorded: roots, depth, the first instruction, exit codes.
mod recording;
/// What cannot be profiled is refused, with the reason.
mod refused;
/// Shipping in an odd world: no DSN, a full disk, a folder that others use too.
mod shipping;
/// Signals sent to a target while it is sampled.
mod signals;
/// Threads that sleep are not disturbed.
mod sleepers;
/// Targets that others hold or have stopped.
mod stopped;
/// Shares of CPU that are known.
mod truth;

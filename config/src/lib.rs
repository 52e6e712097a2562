//! Settings: the file's types, their defaults, where each value comes from, and what is said about a wrong one. The only
//! crate that reads the environment or the settings file.
//!
//! The agent's own settings come from a flag, the environment, the file, or the default. What belongs to a target has more
//! sources, and is put together for each one: see [`Origin`].
//!
//! ```
//! let rate = config::SampleRate::new(0.5)?;
//! let options = config::TargetOptions { profile_session_sample_rate: Some(rate), ..Default::default() };
//! let flags = config::Overrides { rate_hz: Some(config::Rate::new(49.0)?), options, ..Default::default() };
//! let loaded = config::resolve(None, |_| None, flags)?;
//! assert_eq!(loaded.settings.sampling.rate_hz.get(), 49.0);
//! let effective = loaded.of_pid(&config::TargetOptions::default());
//! assert_eq!(effective.profile_session_sample_rate.value, rate);
//! assert_eq!(effective.profile_session_sample_rate.origin, config::Origin::Flag);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod cgroup;
mod error;
mod facts;
pub mod fuzz;
mod glob;
mod layers;
mod mode;
mod one_of;
mod options;
mod overrides;
mod paths;
mod rates;
mod render;
mod resolve;
mod rules;
mod secret;
mod selector;
mod settings;
mod shipped;
mod shown;
mod target;
mod text;
mod told;
mod units;
mod warnings;
mod words;

pub use cgroup::{container_of, unit_of};
pub use error::ConfigError;
pub use facts::Facts;
pub use glob::Glob;
pub use layers::{Effective, Held, Layer, Origin};
pub use mode::Mode;
pub use options::TargetOptions;
pub use overrides::Overrides;
pub use paths::{control_socket, state_folder};
pub use rates::{Rate, SampleRate};
pub use render::render;
pub use resolve::{FILE_DEFAULT, Loaded, load, load_without_file, resolve};
pub use rules::{Plain, ProfilesSampler, Rule};
pub use secret::{Secret, host_of_dsn};
pub use selector::Selector;
pub use settings::{Budget, Daemon, Naming, Project, Python, Sampling, Server, Settings, Shipping, Store};
pub use target::Target;
pub use told::{CodeOptions, Told};
pub use units::{Bytes, Percent, Span};
pub use warnings::warnings;
pub use words::{ForkedDecision, Lifecycle, Native, States};

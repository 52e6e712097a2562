//! Settings: the file's types, their defaults, where each value comes from (flag, environment, file, default), and
//! what is said about a wrong one. The only crate that reads the environment or the settings file.
//!
//! ```
//! let flags = config::Overrides { rate_hz: Some(config::Rate::new(49.0)?), ..Default::default() };
//! let settings = config::resolve(None, |_| None, flags)?;
//! assert_eq!(settings.sampling.rate_hz.get(), 49.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod error;
pub mod fuzz;
mod overrides;
mod resolve;
mod settings;
mod units;

pub use error::ConfigError;
pub use overrides::Overrides;
pub use resolve::{FILE_DEFAULT, load, resolve, state_folder};
pub use settings::{Naming, Output, Project, Python, Sampling, Server, Settings, Shipping, Store};
pub use units::{Bytes, Native, Rate, Secret, Span, States};

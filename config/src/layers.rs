//! Which source wins for a target: a flag, what its own code says, its entry in the file, its environment, the agent's
//! environment, the file's global part, the default. Where each says it is not known here.

use std::{collections::BTreeMap, fmt};

use crate::{
    options::{TargetOptions, for_options},
    rates::SampleRate,
    rules::ProfilesSampler,
    secret::Secret,
    shown::shown,
    words::{ForkedDecision, Lifecycle},
};

/// Where a value comes from; later ones win.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The file's part for all.
    File,
    /// What systemd hands over in a file of its own. The DSN alone.
    Credential,
    /// The agent's environment.
    AgentEnvironment,
    /// The target's environment.
    TargetEnvironment,
    /// The target's entry in the file.
    Entry,
    /// The target's own code, through the client.
    Code,
    /// The agent's command line.
    Flag,
}

impl Origin {
    /// All, lowest first.
    pub const ALL: [Self; 8] = [
        Self::Default,
        Self::File,
        Self::Credential,
        Self::AgentEnvironment,
        Self::TargetEnvironment,
        Self::Entry,
        Self::Code,
        Self::Flag,
    ];
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Credential => "credential",
            Self::AgentEnvironment => "environment",
            Self::TargetEnvironment => "target's environment",
            Self::Entry => "entry",
            Self::Code => "target's code",
            Self::Flag => "flag",
        })
    }
}

/// What one source says.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'o> {
    /// Which.
    pub origin: Origin,
    /// Its options.
    pub options: &'o TargetOptions,
}

/// A value, and who says so.
#[derive(Clone, PartialEq, Debug)]
pub struct Held<T> {
    /// What holds.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// The type of an option that has a default, and of one that has none.
macro_rules! held {
    ($type:ty, $default:expr) => { $type };
    ($type:ty) => { Option<$type> };
}

macro_rules! held_value {
    ($value:expr, $default:expr) => {
        $value
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! held_default {
    ($default:expr) => {
        $default
    };
    () => {
        None
    };
}

macro_rules! effective {
    ($($(#[$doc:meta])* $name:ident: $type:ty $(= $default:expr)?;)*) => {
        /// What holds for a target, of all sources.
        #[derive(Clone, PartialEq, Debug)]
        pub struct Effective {
            $($(#[$doc])* pub $name: Held<held!($type $(, $default)?)>,)*
        }

        impl Effective {
            fn defaults() -> Self {
                Self { $($name: Held { value: held_default!($($default)?), origin: Origin::Default },)* }
            }

            fn put(&mut self, Layer { origin, options }: Layer<'_>) {
                $(if let Some(value) = &options.$name {
                    self.$name = Held { value: held_value!(value.clone() $(, $default)?), origin };
                })*
            }

            /// Every option: its name, its value for people, and where that comes from.
            pub(crate) fn lines(&self) -> Vec<(&'static str, String, Origin)> {
                vec![$((stringify!($name), shown(&self.$name.value), self.$name.origin)),*]
            }
        }
    };
}
for_options!(effective);

impl Effective {
    /// Of layers in any order.
    pub fn new<'o>(layers: impl IntoIterator<Item = Layer<'o>>) -> Self {
        let mut layers: Vec<_> = layers.into_iter().collect();
        layers.sort_by_key(|layer| layer.origin);
        let mut effective = Self::defaults();
        for layer in layers {
            effective.put(layer);
        }
        effective.let_rate_outrank_sampler();
        effective
    }

    /// A sampler outranks a rate, as in the SDK, but not one from a source that outranks its own: the file's rules for all
    /// do not take from a program what its code says.
    fn let_rate_outrank_sampler(&mut self) {
        let rate = &self.profiles_sample_rate;
        let outranked = self.profiles_sampler.value.is_some() && rate.origin > self.profiles_sampler.origin;
        if outranked && rate.value.is_some_and(SampleRate::is_positive) {
            self.profiles_sampler = Held { value: None, origin: rate.origin };
        }
    }
}

#[cfg(test)]
mod tests;

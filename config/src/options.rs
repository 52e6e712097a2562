//! What belongs to a target: one table of options, under Sentry's own names, and what one source says of them. Which source
//! wins is `layers`.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess},
};

use crate::{
    rates::SampleRate,
    rules::ProfilesSampler,
    secret::Secret,
    text::{OneOf, Seed},
    words::{ForkedDecision, Lifecycle},
};

/// Hands the table of all options to another macro: name, type, and the default of those that have one.
macro_rules! for_options {
    ($then:ident) => {
        $then! {
            /// Sentry project to ship to; none: chunks go into the store, and a page shows them.
            dsn: Secret;
            /// Where the target is deployed.
            environment: String = "production".to_owned();
            /// Version of the target.
            release: String;
            /// Build of the version.
            dist: String;
            /// Of what share of root spans a trace is made.
            traces_sample_rate: SampleRate;
            /// Of what share of processes the session is profiled.
            profile_session_sample_rate: SampleRate = SampleRate::NEVER;
            /// When a sampled session is profiled.
            profile_lifecycle: Lifecycle = Lifecycle::Manual;
            /// What share of sampled transactions is profiled: transaction mode.
            profiles_sample_rate: SampleRate;
            /// Who chooses which transactions are; outranks the rate of the same source or of a lower one.
            profiles_sampler: ProfilesSampler;
            /// Functions (not of Python), modules and paths that are the application's own; wins over `in_app_exclude`.
            in_app_include: Vec<String> = Vec::new();
            /// Functions, modules and paths that are not.
            in_app_exclude: Vec<String> = Vec::new();
            /// The folder of the application's own Python sources; none: the target's working directory.
            project_root: String;
            /// Tell Sentry how much was not sent, and why.
            send_client_reports: bool = true;
            /// Sentry's platform of the target; none: by the program.
            platform: String;
            /// In lifecycle manual, a sampled session starts by itself.
            start_on_attach: bool = false;
            /// Send no chunk for a minute in which nothing ran.
            skip_idle: bool = false;
            /// Who decides whether a forked worker's session is sampled.
            forked_decision: ForkedDecision = ForkedDecision::Own;
            /// What every transaction and chunk is marked with.
            tags: BTreeMap<String, String> = BTreeMap::new();
        }
    };
}
pub(crate) use for_options;

macro_rules! target_options {
    ($($(#[$doc:meta])* $name:ident: $type:ty $(= $default:expr)?;)*) => {
        /// The keys of an entry of the file.
        pub(crate) const ENTRY_KEYS: &[&str] = &["name", "match", "children", $(stringify!($name)),*];
        const KEYS: &[&str] = &[$(stringify!($name)),*];

        /// What one source says of a target. `None`: nothing.
        #[derive(Clone, PartialEq, Debug, Default)]
        pub struct TargetOptions {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl TargetOptions {
            /// Reads what stands behind a key of this table. Any other key is nothing.
            pub(crate) fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                match key {
                    $(stringify!($name) => self.$name = map.next_value_seed(Seed::new())?,)*
                    _ => {}
                }
                Ok(())
            }

            /// The keys of which something is said.
            pub(crate) fn said(&self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name.is_some())),*];
                all.into_iter().filter_map(|(key, said)| said.then_some(key)).collect()
            }
        }
    };
}
for_options!(target_options);

impl<'de> Deserialize<'de> for TargetOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> de::Visitor<'de> for Table {
            type Value = TargetOptions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of options")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TargetOptions, A::Error> {
                let mut options = TargetOptions::default();
                while let Some(key) = map.next_key_seed(OneOf(KEYS))? {
                    options.read(key, &mut map)?;
                }
                Ok(options)
            }
        }
        deserializer.deserialize_map(Table)
    }
}

//! What a target says of itself: by its environment, and by its code through the client. It may lie, so its DSN counts
//! only where the operator allows the host, and what makes no sense counts as little as it would in the SDK.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::{
    facts::Facts,
    glob::Glob,
    options::TargetOptions,
    rates::SampleRate,
    rules::{Number, ProfilesSampler},
    secret::{Secret, host_of_dsn},
    text::{Read, read_as_is, stripped},
    words::Lifecycle,
};

/// Where the SDK finds the release of a program that sets none. (It asks git after the first; we run nothing.)
const RELEASES: [&str; 8] = [
    "SENTRY_RELEASE",
    "HEROKU_BUILD_COMMIT",
    "HEROKU_SLUG_COMMIT",
    "SOURCE_VERSION",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "CIRCLE_SHA1",
    "GAE_DEPLOYMENT_ID",
    "K_REVISION",
];

/// What a target said, as far as it counts.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Told {
    /// Its layer.
    pub options: TargetOptions,
    /// What did not count, and why, for whoever wonders.
    pub warnings: Vec<String>,
}

impl Told {
    /// By the environment that it was started with. `dsn_hosts`: [`crate::Daemon::dsn_hosts`].
    pub fn by_environment(facts: &dyn Facts, dsn_hosts: &[Glob]) -> Self {
        let variable = |name: &str| facts.variable(name).and_then(|value| stripped(&value));
        let mut told = Self::default();
        told.options.release = RELEASES.into_iter().find_map(variable);
        told.options.environment = variable("SENTRY_ENVIRONMENT");
        told.set_dsn(variable("SENTRY_DSN").map(Secret::new), dsn_hosts);
        told
    }

    /// By its own code.
    pub fn by_code(code: CodeOptions, dsn_hosts: &[Glob]) -> Self {
        let mut told = Self::default();
        let dsn = told.some("dsn", code.dsn);
        told.set_dsn(dsn, dsn_hosts);
        told.options = TargetOptions {
            environment: told.some("environment", code.environment),
            release: told.some("release", code.release),
            dist: told.some("dist", code.dist),
            traces_sample_rate: told.rate("traces_sample_rate", &code.traces_sample_rate),
            profile_session_sample_rate: told.session_rate(&code.profile_session_sample_rate),
            profile_lifecycle: told.some("profile_lifecycle", code.profile_lifecycle),
            profiles_sample_rate: told.rate("profiles_sample_rate", &code.profiles_sample_rate),
            profiles_sampler: told
                .some("profiles_sampler", code.profiles_sampler)
                .filter(|has| *has)
                .map(|_| ProfilesSampler::Code),
            in_app_include: told.some("in_app_include", code.in_app_include),
            in_app_exclude: told.some("in_app_exclude", code.in_app_exclude),
            project_root: told.some("project_root", code.project_root),
            send_client_reports: told.some("send_client_reports", code.send_client_reports),
            tags: told.some("tags", code.tags),
            ..told.options.clone()
        };
        told
    }

    fn set_dsn(&mut self, dsn: Option<Secret>, hosts: &[Glob]) {
        let Some(dsn) = dsn else { return };
        match host_of_dsn(dsn.reveal()).map(str::to_ascii_lowercase) {
            Some(host) if hosts.iter().any(|allowed| allowed.matches(&host)) => self.options.dsn = Some(dsn),
            Some(host) => self
                .warnings
                .push(format!("the program's DSN does not count: its host {host} is not in daemon.dsn_hosts")),
            None => {
                self.warnings.push("the program's DSN does not count: it is no https://KEY@HOST/PROJECT".to_owned());
            }
        }
    }

    fn some<T>(&mut self, key: &str, said: Said<T>) -> Option<T> {
        match said {
            Said::Nothing => None,
            Said::Value(value) => Some(value),
            Said::Nonsense => {
                self.warnings.push(format!("the program's {key} does not count: it is of another type, or too long"));
                None
            }
        }
    }

    /// A share of traces or transactions. By one that is none, the SDK samples nothing.
    fn rate(&mut self, key: &str, said: &Said<Number>) -> Option<SampleRate> {
        let share = match said {
            Said::Nothing => return None,
            Said::Value(Number(share)) => *share,
            Said::Nonsense => f64::NAN,
        };
        Some(SampleRate::new(share).unwrap_or_else(|_| {
            self.warnings.push(format!("the program's {key} is no share from 0 to 1: nothing is sampled by it"));
            SampleRate::NEVER
        }))
    }

    /// The SDK compares it with a random number, whatever it is: above 1 is always.
    fn session_rate(&mut self, said: &Said<Number>) -> Option<SampleRate> {
        match said {
            Said::Value(Number(share)) if *share > 1.0 => Some(SampleRate::ALWAYS),
            Said::Value(Number(share)) if *share < 0.0 => Some(SampleRate::NEVER),
            other => self.rate("profile_session_sample_rate", other),
        }
    }
}

/// The options that a program's own code set, as its client sends them. Keys that are not known here are overlooked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CodeOptions {
    dsn: Said<Secret>,
    environment: Said<String>,
    release: Said<String>,
    dist: Said<String>,
    traces_sample_rate: Said<Number>,
    profile_session_sample_rate: Said<Number>,
    profile_lifecycle: Said<Lifecycle>,
    profiles_sample_rate: Said<Number>,
    /// Whether there is one.
    profiles_sampler: Said<bool>,
    in_app_include: Said<Vec<String>>,
    in_app_exclude: Said<Vec<String>>,
    project_root: Said<String>,
    send_client_reports: Said<bool>,
    tags: Said<BTreeMap<String, String>>,
}

/// A value that may be anything.
#[derive(Clone, Debug, Default)]
enum Said<T> {
    /// Missing, null or empty.
    #[default]
    Nothing,
    Value(T),
    /// Something else than such a value.
    Nonsense,
}

read_as_is!(Number);

impl<'de, T: Read> Deserialize<'de> for Said<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Meant<T>(Option<T>);
        impl<'de, T: Read> Deserialize<'de> for Meant<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                T::read(deserializer).map(Meant)
            }
        }
        #[derive(Deserialize)]
        #[serde(untagged, bound = "T: Read")]
        enum Either<T> {
            Meant(Meant<T>),
            Other(IgnoredAny),
        }
        Ok(match Option::<Either<T>>::deserialize(deserializer)? {
            Some(Either::Meant(Meant(Some(value)))) => Self::Value(value),
            None | Some(Either::Meant(Meant(None))) => Self::Nothing,
            Some(Either::Other(_)) => Self::Nonsense,
        })
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        layers::{Effective, Layer, Origin},
        selector::tests::Process,
    };

    fn hosts() -> [Glob; 1] {
        ["*.sentry.io".parse().unwrap()]
    }

    /// What was said, one line an option, and the warnings.
    fn shown(told: &Told) -> String {
        let effective = Effective::new([Layer { origin: Origin::Code, options: &told.options }]);
        let lines = effective.lines().into_iter().filter(|(.., origin)| *origin == Origin::Code);
        let lines = lines.map(|(name, value, _)| format!("{name} = {value}"));
        lines.chain(told.warnings.iter().cloned()).collect::<Vec<_>>().join("\n")
    }

    fn by_code(json: &str) -> String {
        shown(&Told::by_code(serde_json::from_str(json).unwrap(), &hosts()))
    }

    /// Check what of an environment counts: the SDK's chain in its order, stripped; a DSN by its host.
    #[test]
    fn environments() {
        let of = |environ| shown(&Told::by_environment(&Process { environ, ..Process::default() }, &hosts()));
        assert_snapshot!(of(&[("K_REVISION", "k"), ("SENTRY_RELEASE", " shop@1\n"), ("SENTRY_ENVIRONMENT", "test")]),
            @r#"
        environment = "test"
        release = "shop@1"
        "#);
        assert_snapshot!(of(&[("SENTRY_RELEASE", "  "), ("CIRCLE_SHA1", "c"), ("SOURCE_VERSION", "s")]),
            @r#"release = "s""#);
        assert_snapshot!(of(&[("SENTRY_DSN", "https://k@O1.sentry.io/42")]), @r#"dsn = "***""#);
        assert_snapshot!(of(&[("SENTRY_DSN", "https://k@evil.example/42")]),
            @"the program's DSN does not count: its host evil.example is not in daemon.dsn_hosts");
        assert_snapshot!(of(&[("SENTRY_DSN", "https://k@evil.example\\@o1.sentry.io/42")]),
            @"the program's DSN does not count: it is no https://KEY@HOST/PROJECT");
        assert_snapshot!(of(&[]), @"");
    }

    /// Check that every option of docs/control.md is taken, and that null, missing and empty say nothing.
    #[test]
    fn code() {
        assert_snapshot!(by_code(r#"{"dsn": "https://k@o1.sentry.io/42", "environment": " production ", "release": "shop@1.2.3", "dist": "a",
            "traces_sample_rate": 1.0, "profile_session_sample_rate": 0.5, "profile_lifecycle": "manual", "profiles_sample_rate": 0.1,
            "profiles_sampler": true, "in_app_include": ["acme"], "in_app_exclude": [], "project_root": "/srv/acme",
            "send_client_reports": true, "debug": {"unknown": [1]}}"#), @r#"
        dsn = "***"
        environment = "production"
        release = "shop@1.2.3"
        dist = "a"
        traces_sample_rate = 1.0
        profile_session_sample_rate = 0.5
        profile_lifecycle = "manual"
        profiles_sample_rate = 0.1
        profiles_sampler = "code"
        in_app_include = ["acme"]
        in_app_exclude = []
        project_root = "/srv/acme"
        send_client_reports = true
        "#);
        assert_snapshot!(by_code(r#"{"dsn": null, "release": "", "profiles_sampler": false, "traces_sample_rate": null}"#),
            @"");
        assert_snapshot!(by_code(r#"{"traces_sample_rate": 1, "profiles_sample_rate": true}"#), @"
        traces_sample_rate = 1.0
        profiles_sample_rate = 1.0
        ");
    }

    /// Check that nonsense counts as little as in the SDK, and that it is said.
    #[test]
    fn nonsense() {
        assert_snapshot!(by_code(r#"{"traces_sample_rate": 7, "profiles_sample_rate": "all", "profile_session_sample_rate": 7}"#),
            @"
        traces_sample_rate = 0.0
        profile_session_sample_rate = 1.0
        profiles_sample_rate = 0.0
        the program's traces_sample_rate is no share from 0 to 1: nothing is sampled by it
        the program's profiles_sample_rate is no share from 0 to 1: nothing is sampled by it
        ");
        assert_snapshot!(by_code(r#"{"profile_session_sample_rate": -1, "profile_lifecycle": "auto", "release": {"a": [1]}}"#),
            @"
        profile_session_sample_rate = 0.0
        the program's release does not count: it is of another type, or too long
        the program's profile_lifecycle does not count: it is of another type, or too long
        ");
        assert_snapshot!(by_code(r#"{"dsn": "https://k@evil.example/42", "profiles_sampler": "yes", "in_app_include": "acme"}"#),
            @"
        the program's DSN does not count: its host evil.example is not in daemon.dsn_hosts
        the program's profiles_sampler does not count: it is of another type, or too long
        the program's in_app_include does not count: it is of another type, or too long
        ");
        let long = format!(r#"{{"release": "{}"}}"#, "x".repeat(1025));
        assert_snapshot!(by_code(&long), @"the program's release does not count: it is of another type, or too long");
    }
}

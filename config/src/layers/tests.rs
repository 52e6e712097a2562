//! The order of sources: each option from each pair of neighbours, and from the real sources.

use std::{fmt::Write as _, path::Path};

use insta::assert_snapshot;

use super::*;
use crate::{Loaded, Overrides, Target, Told, resolve, selector::tests::Process};

/// Options whose every value tells its source, as far as its type can: a text says which, a number is which, and what has
/// only two values has one for sources of odd rank and the other for those of even rank. So neighbours always differ.
fn options_of(origin: Origin) -> TargetOptions {
    let rank = origin as u8;
    let (name, odd) = (origin.to_string(), rank % 2 == 1);
    let rate = SampleRate::new(f64::from(rank + 1) / 10.0).unwrap();
    TargetOptions {
        dsn: Some(Secret::new(name.clone())),
        environment: Some(name.clone()),
        release: Some(name.clone()),
        dist: Some(name.clone()),
        traces_sample_rate: Some(rate),
        profile_session_sample_rate: Some(rate),
        profile_lifecycle: Some(if odd { Lifecycle::Trace } else { Lifecycle::Manual }),
        profiles_sample_rate: Some(rate),
        profiles_sampler: Some(if odd { ProfilesSampler::Code } else { ProfilesSampler::Rules(Vec::new()) }),
        in_app_include: Some(vec![name.clone()]),
        in_app_exclude: Some(vec![name.clone()]),
        project_root: Some(name.clone()),
        send_client_reports: Some(odd),
        platform: Some(name.clone()),
        start_on_attach: Some(odd),
        skip_idle: Some(odd),
        forked_decision: Some(if odd { ForkedDecision::Own } else { ForkedDecision::Parent }),
        tags: Some(BTreeMap::from([("from".to_owned(), name)])),
    }
}

/// Only one of the options that a source says.
macro_rules! each_option {
    ($($(#[$doc:meta])* $name:ident: $type:ty $(= $default:expr)?;)*) => {
        fn each_option(of: &TargetOptions) -> Vec<(&'static str, TargetOptions)> {
            vec![$((stringify!($name), TargetOptions { $name: of.$name.clone(), ..TargetOptions::default() })),*]
        }
    };
}
for_options!(each_option);

/// The lines of an option: value and origin.
fn line(of: &Effective, name: &str) -> (String, Origin) {
    let (_, value, origin) = of.lines().into_iter().find(|(of, ..)| *of == name).unwrap();
    (value, origin)
}

/// Check, for each option and each two neighbours in the order, that the higher wins in whatever order they come, and that it
/// lets the lower one through where it says nothing.
#[test]
fn higher_source_wins() {
    let mut table = String::new();
    for pair in Origin::ALL.windows(2) {
        let [lower, higher] = [pair[0], pair[1]];
        let mut won = Vec::new();
        for ((name, low), (_, high)) in each_option(&options_of(lower)).iter().zip(&each_option(&options_of(higher))) {
            let low = Layer { origin: lower, options: low };
            let high = Layer { origin: higher, options: high };
            let nothing = TargetOptions::default();
            let silent = Layer { origin: higher, options: &nothing };
            let alone = line(&Effective::new([high]), name);
            assert_eq!(alone.1, higher, "{name}");
            assert_eq!(line(&Effective::new([low, high]), name), alone, "{name}: {higher} over {lower}");
            assert_eq!(line(&Effective::new([high, low]), name), alone, "{name}: {higher} over {lower}");
            let through = line(&Effective::new([low, silent]), name);
            assert_eq!(through.1, lower, "{name}");
            // A secret looks like any other.
            assert!(*name == "dsn" || through.0 != alone.0, "{name} of {lower} and {higher} is the same");
            won.push(*name);
        }
        assert_eq!(won.len(), 18);
        writeln!(table, "{higher} > {lower}").unwrap();
    }
    assert_snapshot!(table, @r"
    file > default
    credential > file
    environment > credential
    target's environment > environment
    entry > target's environment
    target's code > entry
    flag > target's code
    ");
}

/// Check that the same order comes out of real sources: a file with an entry, two environments, code and a flag.
#[test]
fn real_sources() {
    let file = "[options]\nrelease = 'file'\ndist = 'file'\nenvironment = 'file'\nplatform = 'file'\ntags = {from = 'file'}\n\
                [[target]]\nmatch.comm = 'shop'\nrelease = 'entry'\ndist = 'entry'\nenvironment = 'entry'\n";
    let variable = |name: &str| name.starts_with("SENTRY_R").then(|| "agent's environment".to_owned());
    let options = TargetOptions { environment: Some("flag".to_owned()), ..TargetOptions::default() };
    let loaded =
        resolve(Some((Path::new("c.toml"), file)), variable, Overrides { options, ..Overrides::default() }).unwrap();
    let code = toml::from_str("release = 'code'\nenvironment = 'code'").unwrap();
    let code = Told::by_code(code, &[]).options;
    let process =
        Process { comm: "shop", environ: &[("SENTRY_RELEASE", "target's environment")], ..Process::default() };
    let environment = Told::by_environment(&process, &[]).options;
    let entry = loaded.entry(&process).unwrap();
    let nothing = TargetOptions::default();
    let told = |of: &Effective| {
        let told = ["environment", "release", "dist", "platform", "skip_idle"].map(|name| line(of, name).0);
        told.join(" ")
    };
    assert_snapshot!(told(&loaded.of_target(entry, &environment, &code)), @r#""flag" "code" "entry" "file" false"#);
    assert_snapshot!(told(&loaded.of_target(entry, &environment, &nothing)), @r#""flag" "entry" "entry" "file" false"#);
    assert_snapshot!(told(&loaded.of_pid(&environment)), @r#""flag" "target's environment" "file" "file" false"#);
    assert_snapshot!(told(&loaded.of_all()), @r#""flag" "agent's environment" "file" "file" false"#);
}

/// Check the defaults: of the daemon, and of a process that the command line names.
#[test]
fn defaults() {
    let lines = |of: &Effective| -> String {
        let lines = of.lines().into_iter().map(|(name, value, origin)| format!("{name} = {value}  # {origin}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let loaded = Loaded::default();
    assert_snapshot!(lines(&loaded.of_all()), @r#"
    dsn = unset  # default
    environment = "production"  # default
    release = unset  # default
    dist = unset  # default
    traces_sample_rate = unset  # default
    profile_session_sample_rate = 0.0  # default
    profile_lifecycle = "manual"  # default
    profiles_sample_rate = unset  # default
    profiles_sampler = unset  # default
    in_app_include = []  # default
    in_app_exclude = []  # default
    project_root = unset  # default
    send_client_reports = true  # default
    platform = unset  # default
    start_on_attach = false  # default
    skip_idle = false  # default
    forked_decision = "own"  # default
    tags = {}  # default
    "#);
    let of_pid = loaded.of_pid(&TargetOptions::default());
    assert_eq!(of_pid.profile_session_sample_rate, Held { value: SampleRate::ALWAYS, origin: Origin::Default });
    assert!(of_pid.start_on_attach.value);
}

/// Check that a rate is not taken from a program by rules of a lower source, and that a sampler outranks it otherwise.
#[test]
fn rate_and_sampler() {
    let rate = TargetOptions { profiles_sample_rate: SampleRate::new(0.5).ok(), ..TargetOptions::default() };
    let zero = TargetOptions { profiles_sample_rate: SampleRate::new(0.0).ok(), ..TargetOptions::default() };
    let sampler = TargetOptions { profiles_sampler: Some(ProfilesSampler::Code), ..TargetOptions::default() };
    let has_sampler = |rate, by, sampler, of| {
        let layers = [Layer { origin: by, options: rate }, Layer { origin: of, options: sampler }];
        Effective::new(layers).profiles_sampler.value.is_some()
    };
    assert!(has_sampler(&rate, Origin::File, &sampler, Origin::Code));
    assert!(has_sampler(&rate, Origin::File, &sampler, Origin::File));
    assert!(has_sampler(&zero, Origin::Code, &sampler, Origin::File), "a rate of 0 counts as unset");
    assert!(!has_sampler(&rate, Origin::Code, &sampler, Origin::File));
}

/// Check that the entry which is first in the file has the process.
#[test]
fn first_entry() {
    let file = "[[target]]\nmatch.exe = '/srv/*'\n[[target]]\nname = 'b'\nmatch.comm = 'shop'\nmatch.exe = '/opt/*'\n\
                [[target]]\nmatch.comm = '*'";
    let loaded = resolve(Some((Path::new("c.toml"), file)), |_| None, Overrides::default()).unwrap();
    let name = |comm, exe| {
        let process = Process { comm, exe, ..Process::default() };
        loaded.entry(&process).map(|Target { name, .. }| name.as_str())
    };
    assert_eq!(name("shop", "/srv/shop"), Some("srv"));
    assert_eq!(name("shop", "/opt/shop"), Some("b"));
    assert_eq!(name("else", "/opt/shop"), Some("*"));
}

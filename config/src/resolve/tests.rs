//! The shipped file, where values come from, and what is said of wrong ones.

use std::fmt::Write as _;

use insta::assert_snapshot;

use super::*;
use crate::{
    rates::Rate,
    render::render,
    shipped::{self, with_optional_keys},
};

fn from_file(text: &str) -> Result<Loaded, ConfigError> {
    resolve(Some((Path::new("c.toml"), text)), |_| None, Overrides::default())
}

/// Check that the shipped file says exactly the defaults.
#[test]
fn shipped_file_is_the_defaults() {
    assert_eq!(from_file(shipped::TEXT).unwrap().settings, Settings::default());
    assert_eq!(from_file("").unwrap().settings, Settings::default());
}

/// Check that the shipped file names every key there is, also those without a default.
#[test]
fn shipped_file_names_every_key() {
    let mut settings = from_file(&with_optional_keys()).unwrap().settings;
    // An entry has all keys of a match, and may have those of options.
    let entry = settings.targets.remove(0);
    let selector = format!("{:?}", entry.selector);
    assert!(!selector.contains("None") && !selector.contains("([])") && !selector.contains("{}"), "{selector}");
    let all = format!("{settings:?}");
    assert!(!all.contains("None"), "{all}");
    let Settings {
        sampling: _,
        naming: _,
        python: _,
        options: _,
        targets: _,
        daemon: _,
        budget: _,
        shipping: _,
        server: _,
        store: _,
    } = Settings::default();
    let mut section = "";
    let mut keys = String::new();
    for key in shipped::keys() {
        if key.section != section {
            section = key.section;
            write!(keys, "\n[{section}]").unwrap();
        }
        write!(keys, " {}", key.name).unwrap();
    }
    assert_snapshot!(keys.trim_start(), @"
    [sampling] rate_hz stop_for_rbp states
    [naming] raw_for_server debuginfod debuginfod_urls
    [python] native keep_interpreter_frames
    [options] dsn environment release dist traces_sample_rate profile_session_sample_rate profile_lifecycle profiles_sample_rate profiles_sampler in_app_include in_app_exclude project_root send_client_reports platform start_on_attach skip_idle forked_decision tags
    [[target]] name children match.pid match.exe match.comm match.cmdline match.user match.cgroup match.unit match.container match.env match.label match.annotation match.client
    [daemon] control metrics dsn_hosts pod_info
    [budget] host_cpu target_stop memory hours_per_month
    [shipping] spool spool_max spool_age_max refused_max rate_limit_wait drain
    [server] listen token projects
    [store] url folder retention retention_max
    ");
}

/// Check that where an option has a default, the shipped file says that one.
#[test]
fn shipped_options_are_the_defaults() {
    let said = from_file(&with_optional_keys()).unwrap().of_all();
    let differ =
        said.lines().into_iter().zip(Loaded::default().of_all().lines()).filter(|(said, default)| said.1 != default.1);
    let differ: Vec<_> = differ.filter(|(_, default)| default.1 != "unset").map(|(said, _)| said.0).collect();
    assert_eq!(differ, Vec::<&str>::new());
}

/// Check that a flag outranks the environment, that the file, and that the default.
#[test]
fn order_of_sources() {
    let file = "[sampling]\nrate_hz = 11\n[shipping]\ndrain = '1s'\nspool = '/file'\n[server]\nlisten = '1.1.1.1:1'\n";
    let variable = |name: &str| match name {
        "SENTRY_PROFILED_SPOOL" | "SENTRY_PROFILED_STORE" => Some("/variable".to_owned()),
        "SENTRY_PROFILED_LISTEN" => Some("2.2.2.2:2".to_owned()),
        "SENTRY_PROFILED_TOKEN" => Some(" ".to_owned()),
        _ => None,
    };
    let flags = Overrides { store: Some("/flag".into()), ..Overrides::default() };
    let loaded = resolve(Some((Path::new("c.toml"), file)), variable, flags).unwrap();
    assert_eq!(loaded.settings.sampling.rate_hz, Rate::new(11.0).unwrap());
    assert_eq!(loaded.settings.server.token, None, "an empty variable is an unset one");
    let lines = render(&loaded);
    let told = lines.lines().filter(|line| !line.ends_with("# default"));
    assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
    sampling.rate_hz = 11.0  # file
    shipping.spool = "/variable"  # environment
    shipping.drain = "1s"  # file
    server.listen = "2.2.2.2:2"  # environment
    store.url = unset  # flag
    store.folder = "/flag"  # flag
    "#);
}

/// Check that every variable has an effect, under its own name.
#[test]
fn every_variable() {
    let variable = |name: &str| {
        Some(match name {
            "SENTRY_DSN" => "https://key@host/1".to_owned(),
            "SENTRY_PROFILED_LISTEN" | "SENTRY_PROFILED_METRICS" => "127.0.0.1:7".to_owned(),
            "SENTRY_PROFILED_RATE_HZ" | "SENTRY_PROFILED_HOURS_PER_MONTH" => "7".to_owned(),
            "SENTRY_PROFILED_STATES" => "gil".to_owned(),
            "SENTRY_PROFILED_NATIVE" => "off".to_owned(),
            "SENTRY_PROFILED_PROFILE_LIFECYCLE" => "trace".to_owned(),
            "SENTRY_PROFILED_FORKED_DECISION" => "parent".to_owned(),
            "SENTRY_PROFILED_MEMORY" => "1GiB".to_owned(),
            "SENTRY_PROFILED_HOST_CPU" | "SENTRY_PROFILED_TARGET_STOP" => "7%".to_owned(),
            "SENTRY_PROFILED_TAGS" => "team=shop, zone=eu".to_owned(),
            "SENTRY_PROFILED_IN_APP_INCLUDE" | "SENTRY_PROFILED_DSN_HOSTS" => "a, b,".to_owned(),
            _ if name.ends_with("_SAMPLE_RATE") => "0.5".to_owned(),
            "SENTRY_PROFILED_STORE" => return None,
            _ if ["ON_ATTACH", "_IDLE", "_REPORTS", "_RBP", "_FRAMES"].iter().any(|end| name.ends_with(end)) => {
                "1".to_owned()
            }
            _ => format!("of {name}"),
        })
    };
    let lines = render(&resolve(None, variable, Overrides::default()).unwrap());
    let told = lines.lines().filter(|line| !line.ends_with("# default"));
    assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
    sampling.rate_hz = 7.0  # environment
    sampling.stop_for_rbp = true  # environment
    sampling.states = "gil"  # environment
    naming.debuginfod_urls = ["***", "***"]  # environment
    python.native = "off"  # environment
    python.keep_interpreter_frames = true  # environment
    options.dsn = "https://***@host/1"  # environment
    options.environment = "of SENTRY_ENVIRONMENT"  # environment
    options.release = "of SENTRY_RELEASE"  # environment
    options.dist = "of SENTRY_PROFILED_DIST"  # environment
    options.traces_sample_rate = 0.5  # environment
    options.profile_session_sample_rate = 0.5  # environment
    options.profile_lifecycle = "trace"  # environment
    options.profiles_sample_rate = 0.5  # environment
    options.in_app_include = ["a", "b"]  # environment
    options.in_app_exclude = ["of SENTRY_PROFILED_IN_APP_EXCLUDE"]  # environment
    options.project_root = "of SENTRY_PROFILED_PROJECT_ROOT"  # environment
    options.send_client_reports = true  # environment
    options.platform = "of SENTRY_PROFILED_PLATFORM"  # environment
    options.start_on_attach = true  # environment
    options.skip_idle = true  # environment
    options.forked_decision = "parent"  # environment
    options.tags = {team = "shop", zone = "eu"}  # environment
    daemon.control = "of SENTRY_PROFILED_CONTROL"  # environment
    daemon.metrics = "127.0.0.1:7"  # environment
    daemon.dsn_hosts = ["a", "b"]  # environment
    daemon.pod_info = "of SENTRY_PROFILED_POD_INFO"  # environment
    budget.host_cpu = "7%"  # environment
    budget.target_stop = "7%"  # environment
    budget.memory = "1GiB"  # environment
    budget.hours_per_month = 7  # environment
    shipping.spool = "of SENTRY_PROFILED_SPOOL"  # environment
    server.listen = "127.0.0.1:7"  # environment
    server.token = "***"  # environment
    store.url = "***"  # environment
    "#);
}

/// Check what is said of a wrong file: where, and what was meant.
#[test]
fn wrong_files() {
    let said = |text| from_file(text).unwrap_err().to_string();
    assert_snapshot!(said("[sampling]\nrate_hertz = 5"),
        @"c.toml:2:1: unknown key `rate_hertz`; did you mean `rate_hz`?");
    assert_snapshot!(said("[sampler]\n"), @"c.toml:1:2: unknown key `sampler`; did you mean `sampling`?");
    assert_snapshot!(said("[daemon]\nx = 1"),
        @"c.toml:2:1: unknown key `x`; there are control, metrics, dsn_hosts, pod_info");
    assert_snapshot!(said("[output]\nrate_hz = 5"),
        @"c.toml:1:2: unknown key `output` here; its keys belong in [options]");
    assert_snapshot!(said("[server]\nrate_hz = 5"),
        @"c.toml:2:1: unknown key `rate_hz` here; it belongs in [sampling]");
    assert_snapshot!(said("[sampling]\nrate_hz = 5000"),
        @"c.toml:2:11: no rate: give samples a second, 1 to 1000");
    assert_snapshot!(said("[shipping]\n  drain = \"soon\""),
        @"c.toml:2:11: no duration: write 500ms, 30s, 5m, 1h30m or 7d");
    assert_snapshot!(said("[python]\nnative = \"some\""),
        @"c.toml:2:10: no way to show native frames: write merged, off or only");
    assert_snapshot!(said("[sampling]\nstates = 1"),
        @"c.toml:2:10: invalid type: integer, expected a word, in quotes");
    assert_snapshot!(said("[shipping]\nspool_max = 5"),
        @"c.toml:2:13: invalid type: integer, expected a number with a unit, in quotes");
    assert_snapshot!(said("[budget]\nhost_cpu = '5'"),
        @"c.toml:2:12: no share: write 5% or 0.5%, above 0% and at most 1000%");
    assert_snapshot!(said("[budget]\nhours_per_month = -1"), @"c.toml:2:19: invalid value: integer, expected u32");
    assert_snapshot!(said("[daemon]\nmetrics = '4142'"), @"c.toml:2:11: invalid socket address syntax");
    assert_snapshot!(said("[daemon]\ndsn_hosts = 'sentry.io'"), @"c.toml:2:13: invalid type: string, expected a list");
}

/// Check that keys which moved are told where they belong.
#[test]
fn moved_keys() {
    let said = |text| from_file(text).unwrap_err().to_string();
    assert_snapshot!(said("[shipping]\ndsn = \"d\""), @"c.toml:2:1: unknown key `dsn` here; it belongs in [options]");
    assert_snapshot!(said("[python]\nproject_root = \"/\""),
        @"c.toml:2:1: unknown key `project_root` here; it belongs in [options]");
    assert_snapshot!(said("[output]\nrelease = \"r\""),
        @"c.toml:1:2: unknown key `output` here; its keys belong in [options]");
    assert_snapshot!(said("dsn = \"d\""), @"c.toml:1:1: unknown key `dsn` here; it belongs in [options]");
}

/// Check what is said of wrong options, for all and of an entry.
#[test]
fn wrong_options() {
    let said = |text: &str| from_file(text).unwrap_err().to_string();
    assert_snapshot!(said("[options]\nprofile_session_sample_rate = 1.5"),
        @"c.toml:2:31: no sample rate: give a share from 0 to 1, as 0.1 for a tenth");
    assert_snapshot!(said("[options]\nprofile_session_sample_rate = nan"),
        @"c.toml:2:31: no sample rate: give a share from 0 to 1, as 0.1 for a tenth");
    assert_snapshot!(said("[options]\nprofile_session_rate = 1"),
        @"c.toml:2:1: unknown key `profile_session_rate`; did you mean `profile_session_sample_rate`?");
    assert_snapshot!(said("[options]\nprofile_lifecycle = 'auto'"),
        @"c.toml:2:21: no lifecycle: write manual or trace");
    assert_snapshot!(said("[options]\nprofiles_sampler = [{op = 'x', rate = 2}]"),
        @"c.toml:2:39: no sample rate: give a share from 0 to 1, as 0.1 for a tenth");
    assert_snapshot!(said("[options]\nprofiles_sampler = [\n  {op = 'x'},\n]"),
        @"c.toml:3:3: a rule without a rate: add rate = 0 to 1");
    assert_snapshot!(said("[options]\ntags = {a = 1}"),
        @"c.toml:2:13: invalid type: integer, expected a text, in quotes");
    assert_snapshot!(said("[options]\nrelease = 1"), @"c.toml:2:11: invalid type: integer, expected a text, in quotes");
    assert_snapshot!(said(&format!("[options]\nrelease = '{}'", "x".repeat(1025))),
        @"c.toml:2:11: text of more than 1024 bytes");
    assert_snapshot!(said(&format!("[options]\nin_app_include = [{}]", "'x',".repeat(257))),
        @"c.toml:2:18: more than 256 of them");
    assert_snapshot!(said("[options]\nexe = '/bin/x'"),
        @"c.toml:2:1: unknown key `exe` here; it belongs in [[target]], as match.exe");
    assert_snapshot!(said("[[target]]\nmatch.pid = 1\nname = 'a'\nreleas = 'r'"),
        @"c.toml:4:1: unknown key `releas`; did you mean `release`?");
    assert_snapshot!(said("[[target]]\nmatch.pid = 1\n[[target]]\nmatch.comm = 'x'\ntraces_sample_rate = -1"),
        @"c.toml:5:22: no sample rate: give a share from 0 to 1, as 0.1 for a tenth");
    assert_snapshot!(said("[[target]]\nmatch.pid = 1\nprofile_session_sample_rates = 1"),
        @"c.toml:3:1: unknown key; did you mean `profile_session_sample_rate`?");
    assert_snapshot!(said("[sampling]\nprofile_session_sample_rate = 1"),
        @"c.toml:2:1: unknown key `profile_session_sample_rate` here; it belongs in [options]");
    assert_snapshot!(said("[[target]]\nmatch = {pid = 1, exec = '/bin/x'}"),
        @"c.toml:2:19: unknown key `exec`; did you mean `exe`?");
    assert_snapshot!(said("[[target]]\nexe = '/bin/x'"),
        @"c.toml:2:1: unknown key `exe` here; it belongs in [[target]], as match.exe");
    assert_snapshot!(said("[[target]]\nmatch = {}"),
        @"c.toml:2:9: an empty match, which would be for every process; give at least one key, as exe or unit");
    assert_snapshot!(said("[sampling]\nrate_hz = 11\n[[target]]\nname = 'x'"),
        @r#"c.toml:3:1: a target without match; say which processes, as match.unit = "shop.service""#);
    assert_snapshot!(said("[[target]]\n[target.match]\nenv.A = 1"),
        @"c.toml:3:9: expected a pattern, in quotes, or true for any value");
    assert_snapshot!(said("[[target]]\nmatch.cmdline = ['a', '(']"),
        @r"c.toml:2:23: no regular expression: a bracket, a repetition or a \ is wrong");
    assert_snapshot!(said("[target]\nmatch.pid = 1"),
        @"c.toml:1:1: invalid type: map, expected entries, each below a [[target]] of its own");
    assert_snapshot!(said(&"[[target]]\nmatch.pid = 1\n".repeat(257)), @"c.toml:1:1: more than 256 of them");
}

/// Check that empty text says nothing, and other text is stripped.
#[test]
fn stripped_text() {
    let options = from_file("[options]\nrelease = ' '\ndsn = ''\nenvironment = ' test '\nin_app_include = ['', 'a']")
        .unwrap()
        .settings
        .options;
    assert_eq!((options.release, options.dsn, options.environment.as_deref()), (None, None, Some("test")));
    assert_eq!(options.in_app_include, Some(vec!["a".to_owned()]));
}

/// Check that a wrong file gives no secret away, and that a wrong variable is named.
#[test]
fn secrets_and_variables() {
    let said = from_file("[options]\ndsn = \"https://key@host/1\"\nnonsense = 1").unwrap_err().to_string();
    assert!(!said.contains("key@"), "{said}");
    let said = from_file("shipping = \"https://key@host/1, expected a, expected b\"").unwrap_err().to_string();
    assert_snapshot!(said, @"c.toml:1:12: invalid type: string, expected struct Shipping");
    for pasted in ["\"https://key@host/1\" = 1", "[\"https://key@host/1\"]", "0123456789abcdef0123456789abcdef = 1"] {
        for section in ["[shipping]", "[options]", "[[target]]"] {
            let said = from_file(&format!("{section}\n{pasted}")).unwrap_err().to_string();
            assert!(said.ends_with(": unknown key") || !said.contains("key@"), "{said}");
        }
    }
    let wrong = |wrong: &str, value: &str| {
        resolve(None, |name| (name == wrong).then(|| value.to_owned()), Overrides::default()).unwrap_err().to_string()
    };
    assert_snapshot!(wrong("SENTRY_PROFILED_RATE_HZ", "fast"), @"SENTRY_PROFILED_RATE_HZ: `fast` is no number");
    assert_snapshot!(wrong("SENTRY_PROFILED_TRACES_SAMPLE_RATE", "2"),
        @"SENTRY_PROFILED_TRACES_SAMPLE_RATE: no sample rate: give a share from 0 to 1, as 0.1 for a tenth");
    assert_snapshot!(wrong("SENTRY_PROFILED_TAGS", "a"), @"SENTRY_PROFILED_TAGS: no tags: write team=shop,zone=eu");
    assert_snapshot!(wrong("SENTRY_PROFILED_METRICS", "4142"),
        @"SENTRY_PROFILED_METRICS: `4142` is no address with a port, as 127.0.0.1:4141");
    assert_snapshot!(wrong("SENTRY_PROFILED_HOURS_PER_MONTH", "many"),
        @"SENTRY_PROFILED_HOURS_PER_MONTH: no number of hours");
}

/// Check that the credential is read, ranks above the file and below the environment, and need not be there.
#[test]
fn credentials() {
    let folder = std::env::temp_dir().join(format!("config-credentials-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let of = || credential(Some(folder.display().to_string())).unwrap();
    assert_eq!(of(), TargetOptions::default());
    std::fs::write(folder.join("dsn"), "https://key@credential/1\n").unwrap();
    let dsn = |variable: &'static str| {
        let variable = |name: &str| (name == "SENTRY_DSN").then(|| variable.to_owned());
        let file = "[options]\ndsn = 'https://key@file/1'";
        let loaded = resolve(Some((Path::new("c.toml"), file)), variable, Overrides::default()).unwrap();
        let dsn = Loaded { credential: of(), ..loaded }.of_all().dsn;
        format!("{} {}", dsn.value.unwrap().reveal(), dsn.origin)
    };
    assert_eq!(dsn(""), "https://key@credential/1 credential");
    assert_eq!(dsn("https://key@variable/1"), "https://key@variable/1 environment");
    std::fs::write(folder.join("dsn"), [0xff]).unwrap();
    let said = credential(Some(folder.display().to_string())).unwrap_err().to_string();
    assert!(said.starts_with("cannot read the credential /") && said.ends_with("/dsn"), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Check that a file without an end, as a device has none, is refused and not read for ever.
#[test]
fn endless_file() {
    let refused = load(Some(Path::new("/dev/zero")), Overrides::default()).unwrap_err();
    assert_snapshot!(refused, @"cannot read the settings file /dev/zero");
}

//! What must hold for any text taken as a settings file, as what a process says of itself, and as what a process is: the
//! body of the fuzz target, and of the test that replays its corpus.

use std::{borrow::Cow, path::Path};

use crate::{
    CodeOptions, Effective, Facts, Glob, Loaded, Overrides, Rate, Secret, Told, error::ConfigError, render, resolve,
    warnings,
};

/// Shorter values stand in any sentence.
const TELLING: usize = 6;

/// Settings, or an error that tells where it is and no value.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match resolve(Some((Path::new("c.toml"), &text)), |_| None, Overrides::default()) {
        Ok(loaded) => taken(&loaded, &text),
        Err(ConfigError::File { line, column, what, .. }) => {
            assert!((1..=text.lines().count() + 1).contains(&line), "line {line}");
            assert!((1..=text.chars().count() + 1).contains(&column), "column {column}");
            for value in values(&text) {
                assert!(!what.contains(value), "{what:?} tells {value:?}");
            }
        }
        Err(other) => panic!("{other} without a file or an environment"),
    }
    if let Ok(code) = toml::from_str::<CodeOptions>(&text) {
        let told = Told::by_code(code, &[Glob::any()]);
        hidden(&format!("{told:?}"), &text, told.options.dsn.iter().map(Secret::reveal));
        bounded(&Loaded::default().of_pid(&told.options));
    }
}

/// What holds for settings that were taken.
fn taken(loaded: &Loaded, text: &str) {
    let settings = &loaded.settings;
    let rate = settings.sampling.rate_hz.get();
    assert!((Rate::MIN..=Rate::MAX).contains(&rate), "{rate} Hz");
    let process = Hostile(text);
    let told = Told::by_environment(&process, &settings.daemon.dsn_hosts);
    for target in &settings.targets {
        let _ = target.matches(&process);
        bounded(&loaded.of_target(target, &told.options, &told.options));
    }
    bounded(&loaded.of_all());
    let lines = render(loaded);
    assert!(lines.lines().all(|line| line.contains(" = ") && line.contains("  # ")), "{lines}");
    let all = settings.targets.iter().map(|target| &target.options).chain([&settings.options]);
    let secrets = all.filter_map(|options| options.dsn.as_ref().map(Secret::reveal));
    let shown = format!("{loaded:?} {lines} {:?}", warnings(loaded, &|_| false));
    hidden(&shown, text, secrets);
}

/// No value is outside its bounds, and there is a mode.
fn bounded(of: &Effective) {
    let rates =
        [Some(of.profile_session_sample_rate.value), of.profiles_sample_rate.value, of.traces_sample_rate.value];
    assert!(rates.iter().flatten().all(|rate| (0.0..=1.0).contains(&rate.get())), "{rates:?}");
    let texts = [&of.release.value, &of.dist.value, &of.project_root.value, &of.platform.value];
    assert!(texts.into_iter().flatten().all(|text| (1..=1024).contains(&text.len())), "{texts:?}");
    let _ = of.mode();
}

/// No secret is shown, but where the file has the same text elsewhere.
fn hidden<'s>(shown: &str, text: &str, secrets: impl Iterator<Item = &'s str>) {
    for secret in secrets.filter(|secret| secret.len() >= TELLING && secret.contains('@')) {
        assert!(text.matches(secret).count() > 1 || !shown.contains(secret), "a secret is shown: {shown}");
    }
}

/// A process that has one text for everything.
struct Hostile<'t>(&'t str);

impl Hostile<'_> {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }
}

impl Facts for Hostile<'_> {
    fn pid(&self) -> i32 {
        i32::MAX
    }

    fn has_client(&self) -> bool {
        true
    }

    fn comm(&self) -> Option<Cow<'_, str>> {
        Some(self.text())
    }

    fn exe(&self) -> Option<Cow<'_, str>> {
        Some(self.text())
    }

    fn cmdline(&self) -> Option<Cow<'_, str>> {
        Some(self.text())
    }

    fn cgroup(&self) -> Option<Cow<'_, str>> {
        Some(self.text())
    }

    fn uid(&self) -> Option<u32> {
        Some(0)
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        Some(self.text())
    }

    fn label(&self, _: &str) -> Option<Cow<'_, str>> {
        Some(self.text())
    }

    fn annotation(&self, _: &str) -> Option<Cow<'_, str>> {
        Some(self.text())
    }

    fn variable(&self, _: &str) -> Option<Cow<'_, str>> {
        Some(self.text())
    }
}

/// What stands behind an equals sign and nowhere else, as words that no message has by itself.
fn values(text: &str) -> impl Iterator<Item = &str> {
    let word = |byte: char| !(byte.is_ascii_alphanumeric() || "_-:/@.".contains(byte));
    // A key in quotes may hold an equals sign; keys are told.
    let lines = text.lines().filter_map(|line| line.split_once('=').filter(|(key, _)| !key.contains(['"', '\''])));
    let words = lines.flat_map(move |(_, value)| value.split(word));
    words.filter(|word| word.len() >= TELLING && word.contains('@')).filter(|word| text.matches(*word).count() == 1)
}

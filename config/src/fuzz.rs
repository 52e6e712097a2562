//! What must hold for any text taken as a settings file: the body of the fuzz target, and of the test that replays its
//! corpus.

use std::path::Path;

use crate::{Overrides, Rate, error::ConfigError, resolve};

/// Shorter values stand in any sentence.
const TELLING: usize = 6;

/// Settings, or an error that tells where it is and no value.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match resolve(Some((Path::new("c.toml"), &text)), |_| None, Overrides::default()) {
        Ok(settings) => {
            let rate = settings.sampling.rate_hz.get();
            assert!((Rate::MIN..=Rate::MAX).contains(&rate), "{rate} Hz");
            let secret = settings.shipping.dsn.as_ref().map(|dsn| dsn.reveal().to_owned());
            let shown = format!("{settings:?}");
            let elsewhere = text.matches(secret.as_deref().unwrap_or_default()).count() > 1;
            let told = secret.is_some_and(|dsn| dsn.len() >= TELLING && shown.contains(&dsn));
            assert!(!told || elsewhere, "the DSN is shown");
        }
        Err(ConfigError::File { line, column, what, .. }) => {
            assert!((1..=text.lines().count() + 1).contains(&line), "line {line}");
            assert!((1..=text.chars().count() + 1).contains(&column), "column {column}");
            for value in values(&text) {
                assert!(!what.contains(value), "{what:?} tells {value:?}");
            }
        }
        Err(other) => panic!("{other} without a file or an environment"),
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

//! Reads all sources, and keeps those apart that rank differently for each target.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{ErrorKind, Read as _},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    error::ConfigError,
    facts::Facts,
    layers::{Effective, Layer, Origin},
    options::TargetOptions,
    overrides::Overrides,
    rates::SampleRate,
    secret::Secret,
    settings::Settings,
    target::Target,
    text::stripped,
};

/// The file that is read when none is named; it need not be there.
pub const FILE_DEFAULT: &str = "/etc/sentry-profiled/config.toml";
/// Longer files are refused: 256 entries with every key have 100 kB.
const FILE_MAX: u64 = 4 << 20;
/// Whoever else may read a file.
const READABLE_BY_ALL: u32 = 0o004;

/// All that was said, by whom.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Loaded {
    /// What is the agent's own, of all sources; and what the file says of targets.
    pub settings: Settings,
    /// What flags say of targets.
    pub flags: TargetOptions,
    /// What the agent's environment says of targets.
    pub environment: TargetOptions,
    /// The DSN in `$CREDENTIALS_DIRECTORY/dsn`, of systemd's `LoadCredential=dsn:…`.
    pub credential: TargetOptions,
    /// The file, if one was read.
    pub file: Option<PathBuf>,
    /// Whether every user may read the file.
    pub is_world_readable: bool,
    /// Where the agent's own settings come from, as `sampling.rate_hz`; others are at their default.
    pub(crate) origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// The first entry that a process is meant by.
    pub fn entry(&self, facts: &dyn Facts) -> Option<&Target> {
        self.settings.targets.iter().find(|target| target.matches(facts))
    }

    /// What holds for a process of an entry, with what the process says of itself ([`crate::Told`]).
    pub fn of_target(&self, entry: &Target, environment: &TargetOptions, code: &TargetOptions) -> Effective {
        let own = [
            Layer { origin: Origin::TargetEnvironment, options: environment },
            Layer { origin: Origin::Entry, options: &entry.options },
            Layer { origin: Origin::Code, options: code },
        ];
        Effective::new(self.layers().into_iter().chain(own))
    }

    /// What holds for a process that the command line names: its session is sampled and starts at once, if nobody says
    /// otherwise.
    pub fn of_pid(&self, environment: &TargetOptions) -> Effective {
        let default = TargetOptions {
            profile_session_sample_rate: Some(SampleRate::ALWAYS),
            start_on_attach: Some(true),
            ..TargetOptions::default()
        };
        let own = [
            Layer { origin: Origin::Default, options: &default },
            Layer { origin: Origin::TargetEnvironment, options: environment },
        ];
        Effective::new(self.layers().into_iter().chain(own))
    }

    /// What holds for targets of which nothing else is said.
    pub fn of_all(&self) -> Effective {
        Effective::new(self.layers())
    }

    fn layers(&self) -> [Layer<'_>; 4] {
        [
            Layer { origin: Origin::File, options: &self.settings.options },
            Layer { origin: Origin::Credential, options: &self.credential },
            Layer { origin: Origin::AgentEnvironment, options: &self.environment },
            Layer { origin: Origin::Flag, options: &self.flags },
        ]
    }
}

/// The settings of this process: its environment, its credentials, and the file named by `--config`, by
/// `SENTRY_PROFILED_CONFIG`, or the default one if it is there.
pub fn load(file: Option<&Path>, flags: Overrides) -> Result<Loaded, ConfigError> {
    let variable = |name: &str| std::env::var(name).ok();
    let named = file.map(Path::to_owned).or_else(|| variable("SENTRY_PROFILED_CONFIG").map(PathBuf::from));
    let must_be_there = named.is_some();
    let path = named.unwrap_or_else(|| PathBuf::from(FILE_DEFAULT));
    let credential = credential(variable("CREDENTIALS_DIRECTORY"))?;
    let loaded = match read(&path) {
        Ok((text, mode)) => {
            let loaded = resolve(Some((&path, &text)), variable, flags)?;
            Loaded { is_world_readable: mode & READABLE_BY_ALL != 0, ..loaded }
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound && !must_be_there => resolve(None, variable, flags)?,
        Err(cause) => return Err(ConfigError::Read { path, cause }),
    };
    Ok(Loaded { credential, ..loaded })
}

/// The same without any file.
pub fn load_without_file(flags: Overrides) -> Result<Loaded, ConfigError> {
    resolve(None, |name: &str| std::env::var(name).ok(), flags)
}

/// The same from values: the file's path and text, the environment, the flags.
pub fn resolve(
    file: Option<(&Path, &str)>,
    variable: impl Fn(&str) -> Option<String>,
    flags: Overrides,
) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded::default();
    if let Some((path, text)) = file {
        let wrong = |error| ConfigError::in_file(path.to_owned(), text, &error);
        loaded.settings = toml::from_str(text).map_err(wrong)?;
        loaded.origins = keys_of(&toml::from_str(text).map_err(wrong)?);
        loaded.file = Some(path.to_owned());
    }
    let mut environment = Overrides::from_environment(&variable)?;
    loaded.environment = std::mem::take(&mut environment.options);
    environment.apply(Origin::AgentEnvironment, &mut loaded);
    let mut flags = flags;
    loaded.flags = std::mem::take(&mut flags.options);
    flags.apply(Origin::Flag, &mut loaded);
    Ok(loaded)
}

/// Which keys a file has, as `sampling.rate_hz`.
fn keys_of(file: &toml::Table) -> BTreeMap<String, Origin> {
    let sections = file.iter().filter_map(|(section, keys)| Some((section, keys.as_table()?)));
    sections
        .flat_map(|(section, keys)| keys.keys().map(move |key| (format!("{section}.{key}"), Origin::File)))
        .collect()
}

/// The DSN that systemd hands over, if it does.
fn credential(folder: Option<String>) -> Result<TargetOptions, ConfigError> {
    let Some(folder) = folder.filter(|folder| !folder.is_empty()) else { return Ok(TargetOptions::default()) };
    let path = Path::new(&folder).join("dsn");
    let dsn = match read(&path) {
        Ok((text, _)) => stripped(&text).map(Secret::new),
        Err(cause) if cause.kind() == ErrorKind::NotFound => None,
        Err(cause) => return Err(ConfigError::Credential { path, cause }),
    };
    Ok(TargetOptions { dsn, ..TargetOptions::default() })
}

/// The text of a file, and its mode.
fn read(path: &Path) -> Result<(String, u32), std::io::Error> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    let mut text = String::new();
    if file.take(FILE_MAX + 1).read_to_string(&mut text)? as u64 > FILE_MAX {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok((text, mode))
}

#[cfg(test)]
mod tests;

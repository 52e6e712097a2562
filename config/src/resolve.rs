//! Where each value comes from: flag, then environment, then file, then default.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{error::ConfigError, overrides::Overrides, settings::Settings};

/// The file that is read when none is named; it need not be there.
pub const FILE_DEFAULT: &str = "/etc/sentry-profiled/config.toml";

/// The settings of this process: its environment, and the file named by `--config`, by `SENTRY_PROFILED_CONFIG`, or
/// the default one if it is there.
pub fn load(file: Option<&Path>, flags: Overrides) -> Result<Settings, ConfigError> {
    let variable = |name: &str| std::env::var(name).ok();
    let named = file.map(Path::to_owned).or_else(|| variable("SENTRY_PROFILED_CONFIG").map(PathBuf::from));
    let must_be_there = named.is_some();
    let path = named.unwrap_or_else(|| PathBuf::from(FILE_DEFAULT));
    match std::fs::read_to_string(&path) {
        Ok(text) => resolve(Some((&path, &text)), variable, flags),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && !must_be_there => resolve(None, variable, flags),
        Err(cause) => Err(ConfigError::Read { path, cause }),
    }
}

/// The same from values: the file's path and text, the environment, the flags.
pub fn resolve(
    file: Option<(&Path, &str)>,
    variable: impl Fn(&str) -> Option<String>,
    flags: Overrides,
) -> Result<Settings, ConfigError> {
    let mut settings = match file {
        Some((path, text)) => {
            toml::from_str(text).map_err(|error| ConfigError::in_file(path.to_owned(), text, &error))?
        }
        None => Settings::default(),
    };
    Overrides::from_environment(variable)?.apply(&mut settings);
    flags.apply(&mut settings);
    Ok(settings)
}

/// Where this process may keep what outlives it: what systemd says, `/var/lib/sentry-profiled` for root, the state
/// folder of any other user.
pub fn state_folder() -> PathBuf {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    state_folder_of(root, |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn state_folder_of(root: bool, variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    if let Some(folder) = variable("STATE_DIRECTORY") {
        return folder;
    }
    if root {
        return PathBuf::from("/var/lib/sentry-profiled");
    }
    let home = || variable("HOME").map(|home| home.join(".local/state"));
    variable("XDG_STATE_HOME").or_else(home).unwrap_or_else(std::env::temp_dir).join("sentry-profiled")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::units::{Rate, Secret};

    fn from_file(text: &str) -> Result<Settings, ConfigError> {
        resolve(Some((Path::new("c.toml"), text)), |_| None, Overrides::default())
    }

    /// The lines that are commented-out keys (`#key = value`), switched on.
    fn with_optional_keys(text: &str) -> String {
        text.lines().map(|line| line.strip_prefix('#').filter(|key| key.contains(" = ")).unwrap_or(line)).fold(
            String::new(),
            |mut whole, line| {
                whole.push_str(line);
                whole.push('\n');
                whole
            },
        )
    }

    /// Check that the shipped file says exactly the defaults.
    #[test]
    fn shipped_file_is_the_defaults() {
        assert_eq!(from_file(include_str!("../config.toml")).unwrap(), Settings::default());
        assert_eq!(from_file("").unwrap(), Settings::default());
    }

    /// Check that the shipped file names every key there is, also those without a default.
    #[test]
    fn shipped_file_names_every_key() {
        let text = with_optional_keys(include_str!("../config.toml"));
        let all = format!("{:?}", from_file(&text).unwrap());
        assert!(!all.contains("None"), "{all}");
        let Settings { sampling: _, naming: _, python: _, output: _, shipping: _, server: _, store: _ } =
            Settings::default();
        let keys: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
        assert_eq!(
            keys.join(" "),
            "rate_hz stop_for_rbp states raw_for_server debuginfod debuginfod_urls native keep_interpreter_frames project_root \
             platform release environment in_app_include in_app_exclude dsn spool spool_max spool_age_max refused_max rate_limit_wait drain \
             listen token projects url folder retention retention_max"
        );
    }

    /// Check that a flag outranks the environment, that the file, and that the default.
    #[test]
    fn order_of_sources() {
        let file =
            "[sampling]\nrate_hz = 11\n[output]\nrelease = \"file\"\nenvironment = \"file\"\nplatform = \"file\"\n";
        let variable = |name: &str| match name {
            "SENTRY_RELEASE" | "SENTRY_ENVIRONMENT" => Some("variable".to_owned()),
            "SENTRY_DSN" => Some(String::new()),
            _ => None,
        };
        let flags = Overrides { environment: Some("flag".to_owned()), ..Overrides::default() };
        let settings = resolve(Some((Path::new("c.toml"), file)), variable, flags).unwrap();
        assert_eq!(settings.sampling.rate_hz, Rate::new(11.0).unwrap());
        assert_eq!(settings.output.platform.as_deref(), Some("file"));
        assert_eq!(settings.output.release.as_deref(), Some("variable"));
        assert_eq!(settings.output.environment.as_deref(), Some("flag"));
        assert_eq!(settings.shipping.dsn, None, "an empty variable is an unset one");
        assert_eq!(settings.shipping.drain, Settings::default().shipping.drain);
    }

    /// Check that the folder is systemd's, else root's, else the user's.
    #[test]
    fn state_folders() {
        let variable = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/u"));
        assert_eq!(state_folder_of(true, |_| Some(PathBuf::from("/state"))), Path::new("/state"));
        assert_eq!(state_folder_of(true, variable), Path::new("/var/lib/sentry-profiled"));
        assert_eq!(state_folder_of(false, variable), Path::new("/home/u/.local/state/sentry-profiled"));
    }

    /// Check what is said of a wrong file: where, and what was meant.
    #[test]
    fn wrong_files() {
        let said = |text| from_file(text).unwrap_err().to_string();
        assert_snapshot!(said("[sampling]\nrate_hertz = 5"),
            @"c.toml:2:1: unknown key `rate_hertz`; did you mean `rate_hz`?");
        assert_snapshot!(said("[sampler]\n"), @"c.toml:1:2: unknown key `sampler`; did you mean `sampling`?");
        assert_snapshot!(said("[output]\nx = 1"),
            @"c.toml:2:1: unknown key `x`; there are platform, release, environment, in_app_include, in_app_exclude");
        assert_snapshot!(said("dsn = \"d\""), @"c.toml:1:1: unknown key `dsn` here; it belongs in [shipping]");
        assert_snapshot!(said("[output]\nrate_hz = 5"),
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
    }

    /// Check that a wrong file gives no secret away, and that a wrong variable is named.
    #[test]
    fn secrets_and_variables() {
        let said = from_file("[shipping]\ndsn = \"https://key@host/1\"\nnonsense = 1").unwrap_err().to_string();
        assert!(!said.contains("key@"), "{said}");
        let said = from_file("shipping = \"https://key@host/1, expected a, expected b\"").unwrap_err().to_string();
        assert_snapshot!(said, @"c.toml:1:12: invalid type: string, expected struct Shipping");
        for pasted in ["\"https://key@host/1\" = 1", "[\"https://key@host/1\"]", "0123456789abcdef0123456789abcdef = 1"]
        {
            let said = from_file(&format!("[shipping]\n{pasted}")).unwrap_err().to_string();
            assert!(said.ends_with(": unknown key"), "{said}");
        }
        let wrong =
            resolve(None, |name| (name == "SENTRY_PROFILED_RATE_HZ").then(|| "fast".to_owned()), Overrides::default());
        assert_snapshot!(wrong.unwrap_err(), @"SENTRY_PROFILED_RATE_HZ: `fast` is no number");
        let settings = resolve(None, |name| (name == "SENTRY_DSN").then(|| "d".to_owned()), Overrides::default());
        assert_eq!(settings.unwrap().shipping.dsn, Some(Secret::new("d")));
    }
}

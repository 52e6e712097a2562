//! What is allowed, and still hardly meant.

use crate::{
    layers::{Effective, Origin},
    options::TargetOptions,
    resolve::Loaded,
    target::Target,
};

/// Sentences for whoever runs the daemon with these settings. `is_user`: whether there is a user of that name.
pub fn warnings(loaded: &Loaded, is_user: &dyn Fn(&str) -> bool) -> Vec<String> {
    let all = loaded.of_all();
    let each: Vec<_> = loaded.settings.targets.iter().map(|target| (target, effective(loaded, target))).collect();
    let mut said = Vec::new();
    said.extend(both_modes(&all, &each));
    said.extend(hidden(&loaded.settings.targets));
    said.extend(nothing_to_profile(&loaded.settings.targets));
    said.extend(readable_secrets(loaded));
    said.extend(unknown_users(&loaded.settings.targets, is_user));
    said
}

/// Before its process says anything.
fn effective(loaded: &Loaded, target: &Target) -> Effective {
    let nothing = TargetOptions::default();
    loaded.of_target(target, &nothing, &nothing)
}

fn both_modes(all: &Effective, each: &[(&Target, Effective)]) -> Vec<String> {
    // Said once where it holds for all.
    if let Some(what) = all.mode_warning() {
        return vec![format!("options: {what}")];
    }
    each.iter().filter_map(|(target, of)| Some(format!("target {:?}: {}", target.name, of.mode_warning()?))).collect()
}

fn hidden(targets: &[Target]) -> Vec<String> {
    let hides = |(at, target): (usize, &Target)| {
        let earlier = targets.iter().take(at).find(|earlier| earlier.selector.covers(&target.selector))?;
        Some(format!(
            "target {:?} is never used: whatever it matches, target {:?} before it matches as well; put it first",
            target.name, earlier.name
        ))
    };
    targets.iter().enumerate().filter_map(hides).collect()
}

/// (Rates of 0 are no mistake: a program's own code may set one.)
fn nothing_to_profile(targets: &[Target]) -> Option<String> {
    targets.is_empty().then(|| "there is no [[target]]: the daemon profiles nothing".to_owned())
}

fn readable_secrets(loaded: &Loaded) -> Option<String> {
    let settings = &loaded.settings;
    let from_file = |key: &str| loaded.origins.get(key) == Some(&Origin::File);
    let has_secret = settings.targets.iter().any(|target| target.options.dsn.is_some())
        || (settings.options.dsn.is_some() && from_file("options.dsn"))
        || (settings.server.token.is_some() && from_file("server.token"))
        || (!settings.server.projects.is_empty() && from_file("server.projects"))
        || (settings.store.url.is_some() && from_file("store.url"));
    let file = loaded.file.as_ref().filter(|_| loaded.is_world_readable && has_secret)?;
    let file = file.display();
    Some(format!("every user may read {file}, and there are secrets in it: chmod o-r {file}"))
}

fn unknown_users(targets: &[Target], is_user: &dyn Fn(&str) -> bool) -> Vec<String> {
    let unknown = |target: &Target| {
        let name = target.selector.user_names().find(|name| !is_user(name))?;
        Some(format!(
            "target {:?}: there is no user {name:?} here; a number works for users of containers",
            target.name
        ))
    };
    targets.iter().filter_map(unknown).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use insta::assert_snapshot;

    use super::*;
    use crate::{Overrides, resolve};

    fn said(file: &str, is_world_readable: bool) -> String {
        let loaded = resolve(Some((Path::new("c.toml"), file)), |_| None, Overrides::default()).unwrap();
        let loaded = Loaded { is_world_readable, ..loaded };
        warnings(&loaded, &|name| name == "www-data").join("\n")
    }

    /// Check each warning, and that settings which are fine have none.
    #[test]
    fn each_warning() {
        const FINE: &str = "[options]\nprofile_session_sample_rate = 1\ndsn = 'https://k@h/1'\n[[target]]\nmatch.user = ['www-data', '0']\n";
        assert_eq!(said(FINE, false), "");
        assert_snapshot!(said(FINE, true),
            @"every user may read c.toml, and there are secrets in it: chmod o-r c.toml");
        assert_eq!(said("[server]\nprojects = []\n[[target]]\nmatch.pid = 1", true), "");
        assert_snapshot!(said("[server]\ntoken = 't'\n[options]\nprofiles_sample_rate = 1\n[[target]]\nmatch.pid = 1", true),
            @"every user may read c.toml, and there are secrets in it: chmod o-r c.toml");
        assert_snapshot!(said("", true), @"there is no [[target]]: the daemon profiles nothing");
        assert_eq!(
            said("[[target]]\nmatch.pid = 1\n[[target]]\nmatch.pid = 2\nprofile_session_sample_rate = 0", false),
            ""
        );
        assert_snapshot!(said("[options]\nprofiles_sample_rate = 0.1\n[[target]]\nmatch.pid = 1\nprofile_session_sample_rate = 1\n\
            [[target]]\nmatch.pid = 2", false),
                @r#"target "1": profile_session_sample_rate is set beside profiles_sample_rate or profiles_sampler: transactions are profiled, and it has no effect"#);
        assert_snapshot!(said("[options]\nprofiles_sample_rate = 0.1\nprofile_session_sample_rate = 1\n[[target]]\nmatch.pid = 1", false),
            @"options: profile_session_sample_rate is set beside profiles_sample_rate or profiles_sampler: transactions are profiled, and it has no effect");
        assert_snapshot!(said("[options]\nprofile_session_sample_rate = 1\n[[target]]\nmatch.exe = '/srv/*'\n\
            [[target]]\nname = 'shop'\nmatch = {exe = '/srv/shop', user = 'nobody-here'}", false), @r#"
        target "shop" is never used: whatever it matches, target "srv" before it matches as well; put it first
        target "shop": there is no user "nobody-here" here; a number works for users of containers
        "#);
    }
}

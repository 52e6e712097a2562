//! What holds, for people: one line a key, with its value and where that comes from. Secrets are hidden.

use std::fmt::Write as _;

use toml::Value;

use crate::{
    layers::{Effective, Origin},
    options::TargetOptions,
    resolve::Loaded,
    shipped::{self, Key},
    shown::{UNSET, inline, key},
    target::Target,
};

/// Every setting as `section.key = value  # origin`, then those of each entry that it has of its own. Of an entry's
/// options all sources count but those that only a running process has.
pub fn render(loaded: &Loaded) -> String {
    let mut text = String::new();
    let own = Value::try_from(&loaded.settings).ok();
    let mut options_are_told = false;
    for Key { section, name } in shipped::keys() {
        match section {
            "options" if options_are_told => {}
            "options" => {
                options_are_told = true;
                push_options(&mut text, "options", &loaded.of_all(), |_| true);
            }
            "[target]" => {}
            _ => {
                let value = own.as_ref().and_then(|own| own.get(section)?.get(name));
                let key = format!("{section}.{name}");
                let origin = loaded.origins.get(&key).copied().unwrap_or(Origin::Default);
                push(&mut text, &key, &value.map_or_else(|| UNSET.to_owned(), inline), origin);
            }
        }
    }
    for target in &loaded.settings.targets {
        push_target(&mut text, loaded, target);
    }
    text
}

fn push_target(text: &mut String, loaded: &Loaded, target: &Target) {
    let section = format!("target.{}", key(&target.name));
    if let Ok(Value::Table(wanted)) = Value::try_from(&target.selector) {
        for (name, value) in &wanted {
            push(text, &format!("{section}.match.{name}"), &inline(value), Origin::Entry);
        }
    }
    let origin = if target.children { Origin::Default } else { Origin::Entry };
    push(text, &format!("{section}.children"), &target.children.to_string(), origin);
    let nothing = TargetOptions::default();
    let effective = loaded.of_target(target, &nothing, &nothing);
    let said = target.options.said();
    push_options(text, &section, &effective, |name| said.contains(&name));
}

fn push_options(text: &mut String, section: &str, of: &Effective, told: impl Fn(&str) -> bool) {
    for (name, value, origin) in of.lines().into_iter().filter(|(name, ..)| told(name)) {
        let dsn = || of.dsn.value.as_ref().map(|dsn| format!("{:?}", dsn.shown_dsn()));
        let value = if name == "dsn" { dsn().unwrap_or(value) } else { value };
        push(text, &format!("{section}.{name}"), &value, origin);
    }
}

fn push(text: &mut String, key: &str, value: &str, origin: Origin) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key} = {value}  # {origin}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use insta::assert_snapshot;

    use super::*;
    use crate::{Overrides, resolve};

    fn rendered(file: &str) -> String {
        render(&resolve(Some((Path::new("c.toml"), file)), |_| None, Overrides::default()).unwrap())
    }

    /// Check the whole tree at its defaults.
    #[test]
    fn defaults() {
        assert_snapshot!(rendered(""), @r#"
        sampling.rate_hz = 101.0  # default
        sampling.stop_for_rbp = false  # default
        sampling.states = "all"  # default
        naming.raw_for_server = false  # default
        naming.debuginfod = false  # default
        naming.debuginfod_urls = []  # default
        python.native = "merged"  # default
        python.keep_interpreter_frames = false  # default
        options.dsn = unset  # default
        options.environment = "production"  # default
        options.release = unset  # default
        options.dist = unset  # default
        options.traces_sample_rate = unset  # default
        options.profile_session_sample_rate = 0.0  # default
        options.profile_lifecycle = "manual"  # default
        options.profiles_sample_rate = unset  # default
        options.profiles_sampler = unset  # default
        options.in_app_include = []  # default
        options.in_app_exclude = []  # default
        options.project_root = unset  # default
        options.send_client_reports = true  # default
        options.platform = unset  # default
        options.start_on_attach = false  # default
        options.skip_idle = false  # default
        options.forked_decision = "own"  # default
        options.tags = {}  # default
        daemon.control = unset  # default
        daemon.metrics = unset  # default
        daemon.dsn_hosts = []  # default
        daemon.pod_info = "/etc/podinfo"  # default
        budget.host_cpu = "5%"  # default
        budget.target_stop = "1%"  # default
        budget.memory = "512MiB"  # default
        budget.hours_per_month = unset  # default
        shipping.spool = unset  # default
        shipping.spool_max = "512MiB"  # default
        shipping.spool_age_max = "7d"  # default
        shipping.refused_max = "64MiB"  # default
        shipping.rate_limit_wait = "5m"  # default
        shipping.drain = "5s"  # default
        server.listen = "127.0.0.1:4141"  # default
        server.token = unset  # default
        server.projects = []  # default
        store.url = unset  # default
        store.folder = unset  # default
        store.retention = "30d"  # default
        store.retention_max = "20GiB"  # default
        "#);
    }

    /// Check an entry: its match, its own options with who decides them, its secrets hidden; and names that need quotes.
    #[test]
    fn targets() {
        let file = "[options]\ndsn = 'https://key@o1.sentry.io/1'\n\
                    [[target]]\nmatch = {unit = 'shop.service', env = {A = true}, pid = [1, 2]}\n\
                    release = 'file'\nenvironment = 'test'\ndsn = 'nonsense'\nchildren = false\n\
                    profiles_sampler = [{op = 'http.server', rate = true}]\ntags = {'a b' = 'c'}\n\
                    [[target]]\nname = \"two\\nlines\"\nmatch.cmdline = 'x\"y'\n";
        let flags = Overrides {
            options: TargetOptions { release: Some("flag".to_owned()), ..TargetOptions::default() },
            ..Overrides::default()
        };
        let lines = render(&resolve(Some((Path::new("c.toml"), file)), |_| None, flags).unwrap());
        let told = lines.lines().filter(|line| line.starts_with("target.") || line.starts_with("options.dsn"));
        assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
        options.dsn = "https://***@o1.sentry.io/1"  # file
        target.shop.match.env = {A = "*"}  # entry
        target.shop.match.pid = [1, 2]  # entry
        target.shop.match.unit = "shop.service"  # entry
        target.shop.children = false  # entry
        target.shop.dsn = "***"  # entry
        target.shop.environment = "test"  # entry
        target.shop.release = "flag"  # flag
        target.shop.profiles_sampler = [{op = "http.server", rate = 1.0}]  # entry
        target.shop.tags = {"a b" = "c"}  # entry
        target."two\nlines".match.cmdline = "x\"y"  # entry
        target."two\nlines".children = true  # default
        "#);
    }

    /// Check that no secret of any section is shown.
    #[test]
    fn secrets() {
        let file = "[options]\ndsn = 'https://topsecret@h/1'\n[server]\ntoken = 'topsecret'\n\
                    projects = [{id = 1, key = 'topsecret', name = 'shop'}]\n[store]\nurl = 'clickhouse://u:topsecret@h/d'\n\
                    [naming]\ndebuginfod_urls = ['https://me:topsecret@h']\n[[target]]\nmatch.pid = 1\ndsn = 'topsecret'";
        let lines = rendered(file);
        assert!(!lines.contains("topsecret"), "{lines}");
        assert_eq!(lines.matches("***").count(), 6);
    }
}

//! Where this process may keep things, and where it is spoken to, when nobody says where.

use std::path::{Path, PathBuf};

use crate::settings::Settings;

/// Where this process may keep what outlives it: what systemd says, `/var/lib/sentry-profiled` for root, the state
/// folder of any other user.
pub fn state_folder() -> PathBuf {
    state_folder_of(is_root(), variable)
}

/// The control socket: what the settings say, else in the folder that systemd made, in `/run/sentry-profiled` for root, in
/// the runtime folder of any other user.
pub fn control_socket(settings: &Settings) -> PathBuf {
    settings.daemon.control.clone().unwrap_or_else(|| control_socket_of(is_root(), variable))
}

/// By the effective user. (Whom the kernel shows as the owner of /proc/self is root for any process that may not be dumped, as one
/// with capabilities of its file.)
fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_user(&status) == Some(0)
}

/// Of `Uid: real effective saved file-system`.
fn effective_user(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
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

fn control_socket_of(root: bool, variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let users = || match variable("XDG_RUNTIME_DIR") {
        Some(folder) => folder.join("sentry-profiled"),
        // Not the folder for all: whoever makes a socket there first would be taken for the agent.
        None => state_folder_of(root, &variable),
    };
    let folder = match variable("RUNTIME_DIRECTORY") {
        Some(folder) => folder,
        None if root => Path::new("/run/sentry-profiled").to_owned(),
        None => users(),
    };
    folder.join("control.sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that it is the effective user that counts.
    #[test]
    fn users() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t7\t8\n"), Some(0));
        assert_eq!(effective_user("Name:\tx\n"), None);
    }

    /// Check that the folder is systemd's, else root's, else the user's.
    #[test]
    fn state_folders() {
        let variable = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/u"));
        assert_eq!(state_folder_of(true, |_| Some(PathBuf::from("/state"))), Path::new("/state"));
        assert_eq!(state_folder_of(true, variable), Path::new("/var/lib/sentry-profiled"));
        assert_eq!(state_folder_of(false, variable), Path::new("/home/u/.local/state/sentry-profiled"));
    }

    /// Check that the socket is where systemd, root or the user may make one.
    #[test]
    fn control_sockets() {
        const SYSTEMD: (&str, &str) = ("RUNTIME_DIRECTORY", "/run/x");
        const USER: (&str, &str) = ("XDG_RUNTIME_DIR", "/run/user/7");
        let of = |root, set: &'static [(&str, &str)]| {
            let variable =
                |name: &str| set.iter().find(|(of, _)| *of == name).map(|(_, folder)| PathBuf::from(*folder));
            control_socket_of(root, variable).display().to_string()
        };
        assert_eq!(of(false, &[SYSTEMD, USER]), "/run/x/control.sock");
        assert_eq!(of(true, &[USER]), "/run/sentry-profiled/control.sock");
        assert_eq!(of(false, &[USER]), "/run/user/7/sentry-profiled/control.sock");
        assert_eq!(of(false, &[("HOME", "/home/u")]), "/home/u/.local/state/sentry-profiled/control.sock");
    }
}

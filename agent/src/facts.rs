//! What selectors ask of a process, read from /proc when it is asked for, once. Hostile: every read is capped.

use std::{
    borrow::Cow, cell::OnceCell, collections::BTreeMap, fs::File, io::Read as _, os::unix::fs::MetadataExt as _,
    path::Path,
};

use config::Facts;
use profile::id::{Pid, Tid};
use sampler::procfs;

/// Longer command lines are cut: a selector's pattern is about their beginning.
const CMDLINE_MAX: u64 = 64 << 10;
/// Longer environments are cut; Linux allows for 128 kB a variable.
const ENVIRON_MAX: u64 = 2 << 20;
/// Longer files of a pod are cut.
const POD_MAX: u64 = 256 << 10;

/// What Kubernetes says of the pod in which we are a container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pod {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Pod {
    /// Of a folder of the downward API's files; empty where there is none.
    pub fn read(folder: &Path) -> Self {
        let of = |name: &str| pairs(&capped(&folder.join(name), POD_MAX).unwrap_or_default());
        Self { labels: of("labels"), annotations: of("annotations") }
    }
}

/// Lines of `key="value"`, the value as Go's `%q` writes it.
fn pairs(text: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(text);
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        // Go's escapes are JSON's but for \x, \U and a few control characters, which labels cannot have.
        let plain = || value.trim_matches('"').to_owned();
        Some((key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| plain())))
    };
    text.lines().filter_map(pair).collect()
}

/// A process that lives.
#[derive(Debug)]
pub struct ProcessFacts<'p> {
    pid: Pid,
    has_client: bool,
    pod: &'p Pod,
    comm: OnceCell<Option<String>>,
    exe: OnceCell<Option<String>>,
    cmdline: OnceCell<Option<String>>,
    cgroup: OnceCell<Option<String>>,
    user: OnceCell<Option<String>>,
    environ: OnceCell<Option<Vec<u8>>>,
}

impl<'p> ProcessFacts<'p> {
    /// Reads nothing yet.
    pub fn new(pid: Pid, has_client: bool, pod: &'p Pod) -> Self {
        Self {
            pid,
            has_client,
            pod,
            comm: OnceCell::new(),
            exe: OnceCell::new(),
            cmdline: OnceCell::new(),
            cgroup: OnceCell::new(),
            user: OnceCell::new(),
            environ: OnceCell::new(),
        }
    }

    fn read(&self, name: &str, max: u64) -> Option<Vec<u8>> {
        capped(Path::new(&format!("/proc/{}/{name}", self.pid)), max)
    }
}

/// Text of a cell, filled when it is first asked for.
fn once(cell: &OnceCell<Option<String>>, fill: impl FnOnce() -> Option<String>) -> Option<Cow<'_, str>> {
    cell.get_or_init(fill).as_deref().map(Cow::Borrowed)
}

impl Facts for ProcessFacts<'_> {
    fn pid(&self) -> i32 {
        self.pid.0
    }

    fn has_client(&self) -> bool {
        self.has_client
    }

    fn comm(&self) -> Option<Cow<'_, str>> {
        once(&self.comm, || procfs::comm(self.pid, Tid(self.pid.0)).ok())
    }

    fn exe(&self) -> Option<Cow<'_, str>> {
        once(&self.exe, || {
            let path = std::fs::read_link(format!("/proc/{}/exe", self.pid)).ok()?;
            Some(path.to_string_lossy().into_owned())
        })
    }

    fn cmdline(&self) -> Option<Cow<'_, str>> {
        once(&self.cmdline, || {
            let raw = self.read("cmdline", CMDLINE_MAX)?;
            let words = raw.strip_suffix(b"\0").unwrap_or(&raw).split(|byte| *byte == 0);
            Some(words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" "))
        })
    }

    fn cgroup(&self) -> Option<Cow<'_, str>> {
        once(&self.cgroup, || {
            let text = String::from_utf8_lossy(&self.read("cgroup", CMDLINE_MAX)?).into_owned();
            let of = |head: &str| text.lines().find_map(|line| line.split_once(head).map(|(_, path)| path.to_owned()));
            let path = of("0::").filter(|path| path != "/").or_else(|| of("name=systemd:")).or_else(|| of("0::"))?;
            // In a cgroup namespace of our own, others' paths begin above it.
            let inside = path.trim_start_matches("/..");
            Some(if inside.is_empty() { "/".to_owned() } else { inside.to_owned() })
        })
    }

    fn uid(&self) -> Option<u32> {
        procfs::effective_user(self.pid, Tid(self.pid.0))
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        once(&self.user, || {
            let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(self.uid()?)).ok()??;
            Some(user.name)
        })
    }

    fn label(&self, name: &str) -> Option<Cow<'_, str>> {
        self.pod.labels.get(name).map(|value| Cow::Borrowed(value.as_str()))
    }

    fn annotation(&self, name: &str) -> Option<Cow<'_, str>> {
        self.pod.annotations.get(name).map(|value| Cow::Borrowed(value.as_str()))
    }

    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        let environ = self.environ.get_or_init(|| self.read("environ", ENVIRON_MAX)).as_deref()?;
        let value = |pair: &[u8]| {
            let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        environ.split(|byte| *byte == 0).find_map(value).map(Cow::Owned)
    }
}

/// Device and inode of a program.
pub type Program = (u64, u64);

/// What a process runs. Of a program that was replaced or removed, the kernel still knows these.
pub fn program_of(pid: Pid) -> Option<Program> {
    let file = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((file.dev(), file.ino()))
}

fn capped(path: &Path, max: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check what is found of a program that we started: its arguments, one variable and not the one whose name begins alike.
    #[test]
    fn of_a_process() {
        let mut sleep = std::process::Command::new("sleep")
            .args(["60"])
            .env_clear()
            .envs([("SHOP_MORE", "no"), ("SHOP", "a b"), ("EMPTY", "")])
            .spawn()
            .unwrap();
        let pod = Pod::default();
        let pid = Pid(i32::try_from(sleep.id()).unwrap());
        while procfs::comm(pid, Tid(pid.0)).unwrap() != "sleep" {
            std::thread::yield_now();
        }
        let facts = ProcessFacts::new(pid, false, &pod);
        assert_eq!(facts.cmdline().as_deref(), Some("sleep 60"));
        assert_eq!(facts.comm().as_deref(), Some("sleep"));
        assert_eq!(facts.variable("SHOP").as_deref(), Some("a b"));
        assert_eq!(facts.variable("EMPTY").as_deref(), Some(""));
        assert_eq!(facts.variable("HOME"), None);
        assert!(facts.exe().is_some_and(|exe| exe.ends_with("/sleep") || exe.ends_with("/coreutils")));
        assert_eq!(facts.uid(), Some(nix::unistd::geteuid().as_raw()));
        sleep.kill().unwrap();
        sleep.wait().unwrap();
    }

    /// Check the downward API's files, with quotes within values.
    #[test]
    fn pods() {
        let text = "app=\"shop\"\nnote=\"say \\\"hi\\\"\\nthere\"\nodd=\"\\x07\"\nnone\n";
        let pod = Pod { labels: pairs(text.as_bytes()), annotations: BTreeMap::new() };
        let facts = ProcessFacts::new(Pid(1), true, &pod);
        assert_eq!(facts.label("app").as_deref(), Some("shop"));
        assert_eq!(facts.label("note").as_deref(), Some("say \"hi\"\nthere"));
        assert_eq!(facts.label("odd").as_deref(), Some("\\x07"));
        assert_eq!(facts.label("none"), None);
        assert_eq!(facts.annotation("app"), None);
    }
}

//! Which processes an entry of the file is for.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    cgroup::{container_of, unit_of},
    facts::Facts,
    glob::Glob,
    one_of::{Alternatives, ContainerId, Pattern, ProcessId, User, Value},
    text::{ENTRIES_MAX, too_many},
};

/// The kernel keeps no more bytes of a name.
const COMM_MAX: usize = 15;
/// What the kernel says behind the path of a program that was replaced, as every upgrade in place does.
const DELETED: &str = " (deleted)";

/// Variables, labels or annotations, each with what its value must be.
type Named = BTreeMap<String, Alternatives<Value>>;

/// What must hold of a process: every key that is given.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Selector(Keys);

#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    #[serde(skip_serializing_if = "Alternatives::is_unset")]
    pid: Alternatives<ProcessId>,
    #[serde(skip_serializing_if = "Alternatives::is_unset")]
    exe: Alternatives<Glob>,
    #[serde(skip_serializing_if = "Alternatives::is_unset")]
    comm: Alternatives<Glob>,
    #[serde(skip_serializing_if = "Alternatives::is_unset")]
    cmdline: Alternatives<Pattern>,
    #[serde(skip_serializing_if = "Alternatives::is_unset")]
    user: Alternatives<User>,
    #[serde(skip_serializing_if = "Alternatives::is_unset")]
    cgroup: Alternatives<Glob>,
    #[serde(skip_serializing_if = "Alternatives::is_unset")]
    unit: Alternatives<Glob>,
    #[serde(skip_serializing_if = "Alternatives::is_unset")]
    container: Alternatives<ContainerId>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    env: Named,
    #[serde(skip_serializing_if = "Named::is_empty")]
    label: Named,
    #[serde(skip_serializing_if = "Named::is_empty")]
    annotation: Named,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Yes>,
}

/// True, and nothing else: nobody can ask for a process that will not register.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize, Serialize)]
#[serde(try_from = "bool", into = "bool")]
struct Yes;

impl TryFrom<bool> for Yes {
    type Error = &'static str;

    fn try_from(yes: bool) -> Result<Self, &'static str> {
        if yes { Ok(Self) } else { Err("expected true; leave the key out for any process") }
    }
}

impl From<Yes> for bool {
    fn from(_: Yes) -> Self {
        true
    }
}

impl Selector {
    /// Whether a process is meant. What is cheap to learn is asked first, and nothing that is not needed.
    pub fn matches(&self, facts: &dyn Facts) -> bool {
        let keys = &self.0;
        let glob = |wanted: &Glob, fact: &Cow<'_, str>| wanted.matches(fact);
        let named = |wanted: &Named, ask: &dyn Fn(&str) -> Option<String>| {
            wanted.iter().all(|(name, values)| values.hold(|| ask(name), |value, fact| value.0.matches(fact)))
        };
        keys.pid.hold(|| Some(facts.pid()), |wanted, pid| wanted.0 == *pid)
            && (keys.client.is_none() || facts.has_client())
            && keys.comm.hold(|| facts.comm(), glob)
            && keys.exe.hold(|| facts.exe(), |wanted, exe| wanted.matches(exe.strip_suffix(DELETED).unwrap_or(exe)))
            && keys.cmdline.hold(|| facts.cmdline(), |wanted, line| wanted.is_in(line))
            && keys.has_cgroup(facts)
            && keys.has_user(facts)
            && named(&keys.label, &|name| facts.label(name).map(Cow::into_owned))
            && named(&keys.annotation, &|name| facts.annotation(name).map(Cow::into_owned))
            && named(&keys.env, &|name| facts.variable(name).map(Cow::into_owned))
    }

    /// Whether every process that the other one means is meant here as well. May say no where it is so.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let (wide, narrow) = (&self.0, &other.0);
        let named = |wide: &Named, narrow: &Named| {
            wide.iter().all(|(name, values)| {
                narrow.get(name).is_some_and(|other| values.cover(other, |wide, narrow| wide.0.covers(&narrow.0)))
            })
        };
        wide.pid.cover(&narrow.pid, PartialEq::eq)
            && (wide.client.is_none() || narrow.client.is_some())
            && wide.comm.cover(&narrow.comm, Glob::covers)
            && wide.exe.cover(&narrow.exe, Glob::covers)
            && wide.cmdline.cover(&narrow.cmdline, PartialEq::eq)
            && wide.user.cover(&narrow.user, PartialEq::eq)
            && wide.cgroup.cover(&narrow.cgroup, Glob::covers)
            && wide.unit.cover(&narrow.unit, Glob::covers)
            && wide.container.cover(&narrow.container, |wide, narrow| narrow.0.starts_with(&wide.0))
            && named(&wide.label, &narrow.label)
            && named(&wide.annotation, &narrow.annotation)
            && named(&wide.env, &narrow.env)
    }

    /// Users that are asked for by name.
    pub(crate) fn user_names(&self) -> impl Iterator<Item = &str> {
        self.0.user.iter().filter_map(|user| match user {
            User::Name(name) => Some(name.as_str()),
            User::Number(_) => None,
        })
    }

    /// What an entry without a name is called: by the first thing it asks for that tells most.
    pub(crate) fn default_name(&self) -> String {
        let keys = &self.0;
        let glob = |globs: &Alternatives<Glob>| globs.iter().next().map(|glob| glob.as_str().to_owned());
        let plain = |part: &&str| !part.is_empty() && !part.contains(['*', '?']);
        let file = |path: String| path.rsplit('/').find(plain).map(str::to_owned).unwrap_or(path);
        let named = |named: &Named| named.keys().next().cloned();
        let unit = || glob(&keys.unit).map(|unit| unit.strip_suffix(".service").unwrap_or(&unit).to_owned());
        unit()
            .or_else(|| glob(&keys.exe).map(file))
            .or_else(|| glob(&keys.comm))
            .or_else(|| keys.cmdline.iter().next().map(|line| line.as_str().to_owned()))
            .or_else(|| keys.container.iter().next().map(|id| id.0.clone()))
            .or_else(|| glob(&keys.cgroup).map(file))
            .or_else(|| named(&keys.label).or_else(|| named(&keys.annotation)).or_else(|| named(&keys.env)))
            .or_else(|| keys.user.iter().next().map(User::to_string))
            .or_else(|| keys.pid.iter().next().map(|pid| pid.0.to_string()))
            .unwrap_or_else(|| "client".to_owned())
    }
}

impl Keys {
    /// The path is asked for once, whichever of the three keys needs it.
    fn has_cgroup(&self, facts: &dyn Facts) -> bool {
        if self.cgroup.is_unset() && self.unit.is_unset() && self.container.is_unset() {
            return true;
        }
        let Some(path) = facts.cgroup() else { return false };
        self.cgroup.hold(|| Some(&path), |wanted, path| wanted.matches(path))
            && self.unit.hold(|| unit_of(&path), |wanted, unit| wanted.matches(unit))
            && self.container.hold(|| container_of(&path), |wanted, id| id.starts_with(&wanted.0))
    }

    /// Its name is looked up only where one is asked for.
    fn has_user(&self, facts: &dyn Facts) -> bool {
        self.user.is_unset()
            || self.user.iter().any(|wanted| match wanted {
                User::Number(number) => facts.uid() == Some(*number),
                User::Name(name) => facts.user().is_some_and(|user| user == name.as_str()),
            })
    }

    fn check(&self) -> Result<(), String> {
        let tables = [&self.env, &self.label, &self.annotation];
        if tables.iter().any(|table| table.len() > ENTRIES_MAX) {
            return Err(too_many());
        }
        if self.comm.iter().any(|comm| comm.is_plain() && comm.as_str().len() > COMM_MAX) {
            return Err(format!("no process has such a comm: the kernel cuts it to {COMM_MAX} bytes; use exe, or a *"));
        }
        if *self == Self::default() {
            return Err(
                "an empty match, which would be for every process; give at least one key, as exe or unit".to_owned()
            );
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = Keys::deserialize(deserializer)?;
        keys.check().map_err(D::Error::custom)?;
        Ok(Self(keys))
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Which crate may know which: reads the Cargo manifests and fails on any edge that docs/architecture.md does not list.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Every edge there may be between crates of this workspace. `tests`, `fuzz` and `benches` may use any.
const EDGES: &[(&str, &[&str])] = &[
    ("profile", &[]),
    ("config", &[]),
    ("unwinder", &["profile"]),
    ("symbolizer", &["profile"]),
    ("runtimes", &["profile"]),
    ("sampler", &["unwinder", "runtimes", "profile"]),
    ("store", &["profile"]),
    ("server", &["store", "profile"]),
    ("agent", &["config", "sampler", "unwinder", "runtimes", "symbolizer", "server", "store", "profile"]),
];

/// What a crate must not depend on although crates.io has it: the "never" lines of docs/architecture.md.
const NEVER: &[(&str, &[&str])] = &[
    ("profile", &["nix", "libc", "rustix", "procfs", "tokio", "reqwest"]),
    ("unwinder", &["nix", "libc", "rustix", "procfs", "tokio", "reqwest", "tracing"]),
    ("runtimes", &["nix", "libc", "rustix", "procfs", "tokio", "reqwest", "tracing"]),
    ("symbolizer", &["libc", "procfs", "tokio", "reqwest"]),
    ("sampler", &["tokio", "reqwest", "addr2line", "rustc-demangle", "cpp_demangle", "serde_json"]),
    ("config", &["nix", "libc", "rustix", "procfs", "tokio", "reqwest"]),
    ("store", &["procfs", "reqwest", "axum", "clap"]),
    ("server", &["nix", "libc", "rustix", "procfs", "reqwest", "clap"]),
];

/// Check that no crate knows a crate of ours that the plan does not let it know.
#[test]
fn edges_are_those_of_the_plan() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        EDGES.iter().map(|(from, to)| (*from, to.iter().copied().collect())).collect();
    let members = members();
    let mut wrong = Vec::new();
    for member in members.iter().filter(|member| !is_free(member)) {
        let known = dependencies(&root().join(member), &["dependencies", "build-dependencies"]);
        match allowed.get(member.as_str()) {
            None => wrong.push(format!("{member} is a crate without a row in EDGES")),
            Some(allowed) => wrong.extend(
                known
                    .iter()
                    .filter(|name| members.contains(*name) && !allowed.contains(name.as_str()))
                    .map(|name| format!("{member} must not depend on {name}")),
            ),
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Check that the crates that must stay pure, or blocking, or ignorant of symbols, do not get there by a foreign crate.
#[test]
fn foreign_crates_do_not_break_a_never() {
    let wrong: Vec<String> = NEVER
        .iter()
        .flat_map(|(member, banned)| {
            let known = dependencies(&root().join(member), &["dependencies", "build-dependencies"]);
            banned
                .iter()
                .filter(move |name| known.contains(**name))
                .map(move |name| format!("{member} must not depend on {name}"))
        })
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// Check that the sources outside `sampler/src/sys.rs` switch no lint on unsafe code off.
#[test]
fn unsafe_is_in_one_file() {
    let mut files = Vec::new();
    for member in members() {
        rust_files(&root().join(member).join("src"), &mut files);
    }
    let mut lifted: Vec<String> = files
        .iter()
        .filter(|file| {
            let text = fs::read_to_string(file).unwrap();
            text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code")
        })
        .map(|file| file.strip_prefix(root()).unwrap().display().to_string())
        .filter(|file| file != "sampler/src/sys.rs" && file != "sampler/src/lib.rs")
        .collect();
    lifted.sort();
    assert_eq!(lifted, Vec::<String>::new());
}

fn is_free(member: &str) -> bool {
    matches!(member, "tests" | "fuzz" | "benches")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn manifest(folder: &Path) -> toml::Table {
    fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap()
}

fn members() -> BTreeSet<String> {
    let members = manifest(&root())["workspace"]["members"].as_array().unwrap().clone();
    members.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// The names in those tables of a manifest, the target-specific ones too.
fn dependencies(folder: &Path, tables: &[&str]) -> BTreeSet<String> {
    let manifest = manifest(folder);
    let by_target = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    std::iter::once(&toml::Value::Table(manifest.clone()))
        .chain(by_target)
        .flat_map(|scope| tables.iter().filter_map(|table| scope.get(*table)?.as_table()))
        .flat_map(toml::Table::keys)
        .cloned()
        .collect()
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

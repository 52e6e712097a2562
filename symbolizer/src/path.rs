//! Source paths for people: the part that says which file of which project, without the folders of a build machine.

/// Shortens a path as the compiler recorded it: below the compiler's folder, the sysroot of Rust's own sources or the
/// registry's folder if it is there, else its last components.
pub(crate) fn short(path: &str, folder: Option<&str>) -> String {
    /// Enough to tell two `mod.rs` apart.
    const COMPONENTS: usize = 3;
    let path = normal(path);
    let folder = folder.map(normal).filter(|folder| folder.len() > 1);
    if let Some(inside) = folder.and_then(|folder| path.strip_prefix(&folder)?.strip_prefix('/').map(str::to_owned)) {
        return inside;
    }
    for (marker, below) in [("/rustc/", 1), ("/registry/src/", 1), ("/git/checkouts/", 0)] {
        if let Some((_, rest)) = path.split_once(marker) {
            return rest.splitn(below + 1, '/').last().unwrap_or(rest).to_owned();
        }
    }
    if !path.starts_with('/') {
        return path;
    }
    let cut = path.rmatch_indices('/').nth(COMPONENTS - 1).map_or(0, |(at, _)| at);
    path.get(cut..).unwrap_or(&path).trim_start_matches('/').to_owned()
}

/// Without `.`, `..` and double slashes, by the letters alone.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check each way of shortening.
    #[test]
    fn shortened() {
        let cases = [
            ("/home/me/project/src/main.c", Some("/home/me/project")),
            ("/home/me/project/src/./a/../main.c", Some("/home/me/project/")),
            ("/build/glibc-1/glibc-2.36/csu/../sysdeps/start.S", Some("/build/glibc-1/glibc-2.36/csu")),
            ("/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/src/fmt/mod.rs", Some("/home/me")),
            ("/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/gimli-0.34.0/src/lib.rs", Some("/x")),
            ("src/main.rs", None),
            ("../../lib/a.c", None),
            ("/a.c", Some("/")),
            ("", None),
        ];
        let shown: Vec<String> = cases.iter().map(|(path, folder)| short(path, *folder)).collect();
        insta::assert_snapshot!(shown.join("\n"), @"
        src/main.c
        src/main.c
        glibc-2.36/sysdeps/start.S
        library/core/src/fmt/mod.rs
        gimli-0.34.0/src/lib.rs
        src/main.rs
        ../../lib/a.c
        a.c
        ");
    }
}

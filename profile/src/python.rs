//! Paths of Python frames as sentry-sdk writes them, so that both profilers' frames are one function to a receiver. Knows
//! no file: where the SDK asks `sys.modules`, the module's name is looked for in the path.

use crate::naming::file_name;

/// `abs_path`: `co_filename`, under the target's working directory where it is relative. Nothing is normalised. Names that
/// are no paths (`<string>`, `<frozen os>`) stay as they are; the SDK puts these under the working directory too.
pub(crate) fn abs_path(file: &str, cwd: Option<&str>) -> String {
    match cwd {
        Some(cwd) if !file.is_empty() && !file.starts_with(['/', '<']) => {
            format!("{}/{file}", cwd.trim_end_matches('/'))
        }
        _ => file.to_owned(),
    }
}

/// `filename`: from the top-level package on where the module is in one, else the file's own name.
pub(crate) fn filename<'f>(file: &'f str, module: Option<&str>) -> &'f str {
    let Some(module) = module.filter(|module| !module.is_empty()) else { return file };
    // Code that was loaded from its cache is named by its source.
    let is_cached = matches!(file.rsplit_once('.'), Some((_, "pyc")));
    let source = file.strip_suffix('c').filter(|_| is_cached).unwrap_or(file);
    if source.starts_with('<') {
        return source;
    }
    match module.split_once('.').filter(|(package, _)| !package.is_empty()) {
        Some((package, _)) => in_package(source, package, module).unwrap_or_else(|| file_name(source)),
        None => file_name(source),
    }
}

/// The path from its package on: by the whole module name at its end, else by the innermost folder of the package's name
/// (code of another file may run as the module).
fn in_package<'f>(path: &'f str, package: &str, module: &str) -> Option<&'f str> {
    let name = path.rsplit_once('.').map_or(path, |(name, _)| name);
    let name = name.strip_suffix("/__init__").unwrap_or(name);
    let ends_with_module = |start: &usize| {
        let rest = name.get(*start..).unwrap_or_default();
        rest.len() == module.len() && rest.split('/').eq(module.split('.'))
    };
    let of_module = name.len().checked_sub(module.len()).filter(ends_with_module);
    let start = of_module.filter(|start| is_start(path, *start)).or_else(|| folder(path, package))?;
    path.get(start..)
}

/// Where the innermost folder of this name begins.
fn folder(path: &str, name: &str) -> Option<usize> {
    let is_end = |at: usize| path.get(at..).is_some_and(|rest| rest.starts_with('/'));
    let mut starts = path.rmatch_indices(name).map(|(start, _)| start);
    starts.find(|start| is_start(path, *start) && is_end(start.saturating_add(name.len())))
}

fn is_start(path: &str, at: usize) -> bool {
    path.get(..at).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check each kind of file, as the SDK writes it unless said otherwise.
    #[test]
    fn abs_paths() {
        let rows = [
            ("/srv/app/main.py", "/srv/app/main.py"),
            ("main.py", "/srv/app/main.py"),
            ("./../main.py", "/srv/app/./../main.py"),
            ("", ""),
            // The SDK: /srv/app/<string>.
            ("<string>", "<string>"),
            ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
            ("/opt/app.zip/acme/x.py", "/opt/app.zip/acme/x.py"),
        ];
        for (file, expected) in rows {
            assert_eq!(abs_path(file, Some("/srv/app")), expected, "{file}");
        }
        assert_eq!(abs_path("main.py", Some("/")), "/main.py");
        assert_eq!(abs_path("main.py", None), "main.py");
    }

    /// Check by module and file.
    #[test]
    fn filenames() {
        let rows = [
            ("__main__", "/srv/app/main.py", "main.py"),
            ("json.decoder", "/usr/lib/python3.11/json/decoder.py", "json/decoder.py"),
            ("json", "/usr/lib/python3.11/json/__init__.py", "__init__.py"),
            ("acme.web", "/srv/acme/acme/web/__init__.py", "acme/web/__init__.py"),
            ("acme.web.views", "/srv/acme/acme/web/views.py", "acme/web/views.py"),
            ("acme.acme", "/srv/acme/acme.py", "acme/acme.py"),
            ("acme.acme", "/srv/acme/acme/acme.py", "acme/acme.py"),
            ("acme.web", "/opt/app.zip/acme/web.pyc", "acme/web.py"),
            ("acme.web", "/srv/acme/other.py", "acme/other.py"),
            ("acme.web", "acme/web.py", "acme/web.py"),
            ("acme.web", "/srv/bacme/web.py", "web.py"),
            ("acme.web", "/srv/templates/page.html", "page.html"),
            ("acme.web", "<string>", "<string>"),
            ("acme.web", "<template a/b>", "<template a/b>"),
            ("importlib._bootstrap", "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
            ("größe.maß", "/srv/größe/maß.py", "größe/maß.py"),
            ("..", "/a/b", "b"),
            ("", "/srv/app/main.py", "/srv/app/main.py"),
        ];
        for (module, file, expected) in rows {
            assert_eq!(filename(file, Some(module)), expected, "{module} in {file}");
        }
        assert_eq!(filename("/srv/app/main.py", None), "/srv/app/main.py");
    }
}

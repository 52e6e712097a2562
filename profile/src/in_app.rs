//! Which frames are the application's own (`in_app`), which are the system's. Decides by names and paths alone.

use serde::{Deserialize, Serialize};

use crate::{code::Language, frame::Frame, naming::file_name};

/// Packages under these folders come with the system.
const SYSTEM_PACKAGES: [&str; 12] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/libexec",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/nix/store",
];

/// Sources under these folders were inlined or linked into the program from outside it.
const SYSTEM_SOURCES: [&str; 4] = ["/rustc", "/usr/include", "/usr/src", "/usr/lib"];

/// Source paths that hold one of these are a toolchain's or a package manager's, wherever that is installed.
const FOREIGN_SOURCES: [&str; 7] = [
    "/library/std/src/",
    "/library/core/src/",
    "/library/alloc/src/",
    "/rustlib/src/rust/",
    "/.cargo/registry/",
    "/.cargo/git/checkouts/",
    "/usr/local/cargo/",
];

/// Runtimes of C, C++ and sanitizers, also where a program brings its own copy.
const RUNTIMES: [&str; 15] = [
    "libc",
    "libm",
    "libpthread",
    "libdl",
    "librt",
    "libgcc_s",
    "libstdc++",
    "libc++",
    "libc++abi",
    "libunwind",
    "libasan",
    "libtsan",
    "libubsan",
    "ld-linux",
    "ld-musl",
];

/// Rust's own crates, seen in function names where no source path is known; there also C++'s own namespace.
const STANDARD_LIBRARY: [&str; 4] = ["std::", "core::", "alloc::", "__rustc::"];

/// Packages of the JDK.
const JAVA_PACKAGES: [&str; 6] = ["java", "javax", "jdk", "sun", "com.sun", "org.graalvm"];

/// What the C runtime links into every program, before and around `main`.
const STARTUP: [&str; 4] = ["_start", "__libc_start_main", "__libc_start_call_main", "__libc_csu_init"];

/// Which frames are the application's own. `include` wins over `exclude`, both over the rules by path.
///
/// A pattern with a leading `/` is a folder or file: it matches the frame's package or source path. Any other is a
/// name: it matches a function by its leading path (`acme::csv`), or a module (`libacme` and `libacme.so.1`). Of Python
/// frames, and of generated ones with a module, it matches that alone, as sentry-sdk's settings do: `acme` and `acme.web`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct InAppRules {
    /// Always the application's own.
    pub include: Vec<String>,
    /// Never, unless included.
    pub exclude: Vec<String>,
}

impl InAppRules {
    /// Whether `frame` is the application's own.
    pub fn is_in_app(&self, frame: &Frame, program: Program<'_>) -> bool {
        if self.include.iter().any(|pattern| matches(pattern, frame)) {
            return true;
        }
        if self.exclude.iter().any(|pattern| matches(pattern, frame)) {
            return false;
        }
        match frame.language {
            Some(Language::Python) => python_by_default(frame, program.project_root),
            Some(Language::Generated) => generated_by_default(frame),
            None => !program.has_runtime && by_default(frame, program.exe),
        }
    }
}

/// What a target runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Program<'p> {
    /// The target's executable, its own wherever it lies.
    pub exe: Option<&'p str>,
    /// The folder under which the sources of its own lie.
    pub project_root: Option<&'p str>,
    /// The application is written in a language with a runtime: what is native is not its own.
    pub has_runtime: bool,
}

fn by_default(frame: &Frame, exe: Option<&str>) -> bool {
    let Some(package) = frame.package.as_deref() else {
        return false; // Anonymous memory, synthetic frames: nobody's.
    };
    !is_system_package(package, exe) && !is_foreign_source(frame) && !is_runtime_function(frame)
}

/// The SDK's order; it leaves the key out where this ends with `false`. Code without a file (`<string>`) is the application's:
/// the SDK puts its name under the working directory. So it does with the interpreter's own (`<frozen os>`): that we do not.
fn python_by_default(frame: &Frame, project_root: Option<&str>) -> bool {
    let (Some(path), Some(root)) = (frame.abs_path.as_deref(), project_root) else { return false };
    if ["/site-packages/", "/dist-packages/"].iter().any(|folder| path.contains(folder)) {
        return false;
    }
    is_under(path, root) || (path.starts_with('<') && !path.starts_with("<frozen "))
}

/// By the source, else by the class: without either nobody knows whose it is. As Sentry's SDKs for Node and Java have it.
fn generated_by_default(frame: &Frame) -> bool {
    match (frame.abs_path.as_deref(), frame.module.as_deref()) {
        (Some(path), _) => {
            let is_packaged =
                ["/node_modules/", "/site-packages/", "/dist-packages/"].iter().any(|at| path.contains(at));
            path.starts_with('/') && !is_packaged && !SYSTEM_PACKAGES.iter().any(|folder| is_under(path, folder))
        }
        (None, Some(class)) => !JAVA_PACKAGES.iter().any(|package| is_in_module(class, package)),
        (None, None) => false,
    }
}

fn is_system_package(package: &str, exe: Option<&str>) -> bool {
    if exe == Some(package) {
        return false;
    }
    let name = file_name(package);
    package.starts_with('[') // [vdso], [vsyscall]
        || name.starts_with("linux-vdso")
        || package.contains("/rustup/toolchains/")
        || package.contains("/.rustup/toolchains/")
        || SYSTEM_PACKAGES.iter().any(|folder| is_under(package, folder))
        || RUNTIMES.iter().any(|runtime| starts_with_name(name, runtime) && name.contains(".so"))
}

fn is_foreign_source(frame: &Frame) -> bool {
    let Some(path) = frame.abs_path.as_deref().or(frame.filename.as_deref()) else { return false };
    SYSTEM_SOURCES.iter().any(|folder| is_under(path, folder)) || FOREIGN_SOURCES.iter().any(|part| path.contains(part))
}

fn is_runtime_function(frame: &Frame) -> bool {
    let Some(function) = frame.function.as_deref() else { return false };
    // With a source path the path has decided; `std` may also be the C++ namespace of an application's template.
    let sourceless = frame.abs_path.is_none() && frame.filename.is_none();
    STARTUP.contains(&function) || (sourceless && STANDARD_LIBRARY.iter().any(|path| starts_with_path(function, path)))
}

fn matches(pattern: &str, frame: &Frame) -> bool {
    if pattern.is_empty() {
        return false;
    }
    if pattern.starts_with('/') {
        return [&frame.package, &frame.abs_path].into_iter().flatten().any(|path| is_under(path, pattern));
    }
    if frame.language.is_some_and(|language| language.is_interpreted() || frame.module.is_some()) {
        return frame.module.as_deref().is_some_and(|module| is_in_module(module, pattern));
    }
    frame.function.as_deref().is_some_and(|function| starts_with_path(function, pattern))
        || frame.module.as_deref().is_some_and(|module| starts_with_name(module, pattern))
}

/// `acme` holds `acme` and `acme.web`, not `acmetree`.
fn is_in_module(module: &str, pattern: &str) -> bool {
    module.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// `/usr/lib` holds `/usr/lib` and `/usr/lib/x`, not `/usr/library`.
fn is_under(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `<&acme::Row as Display>::fmt` is `acme`'s, like `acme::main`.
fn starts_with_path(function: &str, path: &str) -> bool {
    let mut own = function.trim_start_matches(['<', '&', '*', '(', '[']);
    for keyword in ["mut ", "dyn ", "const "] {
        own = own.strip_prefix(keyword).unwrap_or(own);
    }
    starts_with_name(own, path)
}

/// `lib` starts `lib.so` and `lib::x`, not `library`; a name that ends in punctuation starts whatever follows.
fn starts_with_name(text: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.strip_prefix(name).is_some_and(|rest| !rest.starts_with(is_word) || !name.ends_with(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, package: &str, abs_path: &str) -> Frame {
        let some = |text: &str| (!text.is_empty()).then(|| text.into());
        Frame {
            function: some(function),
            module: some(file_name(package)),
            package: some(package),
            abs_path: some(abs_path),
            ..Frame::default()
        }
    }

    /// Check the default rules, row by row.
    #[test]
    fn defaults() {
        let exe = Some("/usr/bin/sort");
        let rows = [
            ("sort_merge", "/usr/bin/sort", "", true),
            ("_start", "/usr/bin/sort", "", false),
            ("read", "/usr/lib/x86_64-linux-gnu/libc.so.6", "", false),
            ("read", "/lib/x86_64-linux-gnu/libc.so.6", "", false),
            ("clock_gettime", "[vdso]", "", false),
            ("work", "/opt/acme/libacme.so", "", true),
            ("work", "/home/me/library/acme", "", true),
            ("work", "/usr/library/acme", "", true),
            ("std::sort", "/opt/conda/lib/libstdc++.so.6", "", false),
            ("std::thread::park", "/srv/acme", "", false),
            ("<core::iter::Map<I,F> as Iterator>::next", "/srv/acme", "", false),
            ("core::ptr::read", "/srv/acme", "/rustc/abc/library/core/src/ptr/mod.rs", false),
            ("serde::de::x", "/srv/acme", "/home/me/.cargo/registry/src/i/serde-1/src/de.rs", false),
            ("std::vector<Acme>::push", "/srv/acme", "/usr/include/c++/12/vector", false),
            ("acme::main", "/srv/acme", "/home/me/acme/src/main.rs", true),
            ("rustc_driver::main", "/root/.rustup/toolchains/x/lib/librustc_driver.so", "", false),
            ("alloc", "/srv/acme", "", true),
            ("stdin_read", "/srv/acme", "", true),
            ("jitted", "", "", false),
        ];
        for (function, package, path, expected) in rows {
            let program = Program { exe, ..Program::default() };
            let is = InAppRules::default().is_in_app(&frame(function, package, path), program);
            assert_eq!(is, expected, "{function} in {package} of {path}");
        }
    }

    /// Check that include wins over exclude, and both over the defaults; that patterns end at a name's end.
    #[test]
    fn settings() {
        let rules = InAppRules {
            include: vec!["/usr/lib/acme".into(), "acme::hot".into(), "libmine".into()],
            exclude: vec!["acme".into(), "/opt/vendor/".into()],
        };
        let is = |function, package| rules.is_in_app(&frame(function, package, ""), Program::default());
        assert!(is("f", "/usr/lib/acme/plugin.so"));
        assert!(!is("f", "/usr/lib/acme2/plugin.so"));
        assert!(is("acme::hot::f", "/srv/acme.bin"));
        assert!(!is("<acme::Row as Clone>::clone", "/srv/x"));
        assert!(is("acmetree::f", "/srv/x"));
        assert!(!is("f", "/opt/vendor/x.so"));
        assert!(is("f", "/usr/lib/libmine.so.1"));
    }

    fn python(module: &str, abs_path: &str) -> Frame {
        Frame {
            package: None,
            language: Some(Language::Python),
            module: Some(module.into()),
            ..frame("f", "", abs_path)
        }
    }

    /// Check the rules for Python, row by row: those of sentry-sdk, but for the two that are named.
    #[test]
    fn python_frames() {
        let rules = InAppRules {
            include: vec!["vendored".into(), "django.contrib".into()],
            exclude: vec!["acme.generated".into(), "django".into(), "/srv/app/third/".into(), "f".into()],
        };
        let program = Program { project_root: Some("/srv/app"), has_runtime: true, ..Program::default() };
        let rows = [
            ("__main__", "/srv/app/main.py", true),
            ("acme.web", "/srv/app/acme/web.py", true),
            ("acme.generated", "/srv/app/acme/generated.py", false),
            ("acme.generated.x", "/srv/app/acme/generated/x.py", false),
            ("acme.generatedx", "/srv/app/acme/generatedx.py", true),
            ("django.db", "/srv/app/django/db.py", false),
            ("django.contrib.auth", "/srv/app/django/contrib/auth.py", true),
            ("requests", "/srv/app/venv/lib/python3.11/site-packages/requests/api.py", false),
            ("requests", "/usr/lib/python3/dist-packages/requests/api.py", false),
            ("vendored.x", "/usr/lib/python3/dist-packages/vendored/x.py", true),
            ("json.decoder", "/usr/lib/python3.11/json/decoder.py", false),
            ("third.x", "/srv/app/third/x.py", false),
            ("__main__", "<string>", true),
            // The SDK: true, for it says /srv/app/<frozen os>.
            ("os", "<frozen os>", false),
            // The SDK: true, for the path begins with /srv/app.
            ("other", "/srv/app2/other.py", false),
            ("unknown", "", false),
        ];
        for (module, path, expected) in rows {
            assert_eq!(rules.is_in_app(&python(module, path), program), expected, "{module} of {path}");
        }
        let native = |package| rules.is_in_app(&frame("work", package, ""), program);
        assert_eq!([native("/srv/app/_speed.so"), native("/srv/app/vendored.so")], [false, true]);
        let nowhere = InAppRules::default().is_in_app(&python("acme", "/srv/app/acme.py"), Program::default());
        assert!(!nowhere, "without a project root");
    }

    /// Check the rules for generated code, row by row: by path for V8, by class for HotSpot.
    #[test]
    fn generated_frames() {
        let rules = InAppRules { include: vec!["java.util".into()], exclude: vec!["com.acme.gen".into()] };
        let rows = [
            ("handle", "", "/srv/app/w.js", true),
            ("handle", "", "/srv/app/node_modules/express/lib/router.js", false),
            ("handle", "", "/usr/lib/node/x.js", false),
            ("processTicksAndRejections", "", "node:internal/process/task_queues", false),
            ("com.acme.Cart.total", "com.acme.Cart", "", true),
            ("com.acme.gen.Cart.total", "com.acme.gen.Cart", "", false),
            ("java.lang.String.hashCode", "java.lang.String", "", false),
            ("java.util.HashMap.get", "java.util.HashMap", "", true),
            ("javacard.Main.main", "javacard.Main", "", true),
            ("Interpreter", "", "", false),
            ("[JIT: node]", "", "", false),
        ];
        for (function, module, path, expected) in rows {
            let some = |text: &str| (!text.is_empty()).then(|| text.into());
            let frame =
                Frame { language: Some(Language::Generated), module: some(module), ..frame(function, "", path) };
            assert_eq!(rules.is_in_app(&frame, Program::default()), expected, "{function} of {path}");
        }
    }
}

//! What the names in a perf map say: function, class, source file and line. Only what is beyond doubt is taken apart; any
//! other name is the function's, whole.

use profile::code::{Code, Language};

/// What CPython's `-X perf` writes before the name of a Python function. Such code only calls the eval loop.
const PYTHON: &str = "py::";
/// Before JavaScript functions (V8: `CodeEventListener::CodeTag`).
const V8_TAGS: [&str; 6] = ["JS:", "LazyCompile:", "Function:", "Eval:", "Script:", "Callback:"];
/// Between the tag and the name: interpreted, Sparkplug, Maglev, Turbofan. One function is in one tier after the other.
const V8_TIERS: [char; 4] = ['~', '^', '+', '*'];

/// Whether it is the trampoline through which CPython calls a Python function.
pub fn is_python_trampoline(name: &str) -> bool {
    name.starts_with(PYTHON)
}

/// The code that a name stands for.
pub fn code(name: &str) -> Code {
    let found = python(name).or_else(|| v8(name)).or_else(|| java_descriptor(name)).or_else(|| java(name));
    found.unwrap_or_else(|| generated(name))
}

/// Code without a name, of a runtime.
pub fn unnamed(runtime: &str) -> Code {
    generated(&format!("[JIT: {runtime}]"))
}

fn generated(function: &str) -> Code {
    let (function, file) = (function.to_owned(), String::new());
    Code { language: Language::Generated, function, module: None, file, first_line: 0 }
}

/// `py::Cart.total:/srv/app/cart.py`
fn python(name: &str) -> Option<Code> {
    let (function, file) = name.strip_prefix(PYTHON)?.split_once(':').filter(|(function, _)| !function.is_empty())?;
    Some(Code { file: file.to_owned(), ..generated(function) })
}

/// `JS:*total /srv/app/cart.js:2:19`; without a name: `JS:~ /srv/app/cart.js:1:1`. As in V8's own profiles the line is the one
/// on which the function begins.
fn v8(name: &str) -> Option<Code> {
    let rest = V8_TAGS.iter().find_map(|tag| name.strip_prefix(tag))?;
    let rest = rest.strip_prefix(V8_TIERS).unwrap_or(rest);
    let (rest, _column) = number_at_end(rest)?;
    let (rest, line) = number_at_end(rest)?;
    let (function, file) = function_and_file(rest)?;
    let function = if function.is_empty() { "<anonymous>" } else { function };
    // Modules are named by URL. What is escaped in one stays as it is.
    let path = file.strip_prefix("file://").filter(|path| path.starts_with('/') && !path.contains('%'));
    Some(Code { file: path.unwrap_or(file).to_owned(), first_line: line, ..generated(function) })
}

/// `/srv/cart.js:2` is `/srv/cart.js` and 2.
fn number_at_end(text: &str) -> Option<(&str, u32)> {
    let (before, number) = text.rsplit_once(':')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((before, number.parse().ok().filter(|_| is_number)?))
}

/// At the only blank; else at the only one that a path or URL follows. Names (`get total`) and paths may have blanks, too.
fn function_and_file(text: &str) -> Option<(&str, &str)> {
    const BEGINNINGS: [&str; 3] = ["/", "node:", "file:"];
    let is_file = |rest: &str| BEGINNINGS.iter().any(|beginning| rest.starts_with(beginning));
    let mut blanks = text.match_indices(' ').map(|(at, _)| at);
    let (first, more) = (blanks.next()?, blanks.next());
    if more.is_none() {
        return Some((text.get(..first)?, text.get(first..)?.trim_start()));
    }
    let mut files = text.match_indices(' ').filter(|(at, _)| text.get(at.saturating_add(1)..).is_some_and(is_file));
    let (at, _) = files.next().filter(|_| files.next().is_none())?;
    Some((text.get(..at)?, text.get(at..)?.trim_start()))
}

/// `Lcom/acme/Cart;::total` (perf-map-agent)
fn java_descriptor(name: &str) -> Option<Code> {
    let (class, method) = name.strip_prefix('L')?.split_once(";::")?;
    let is_plain = is_class(class, '/') && !method.is_empty() && !method.contains(' ');
    is_plain.then(|| of_class(&class.replace('/', "."), method))
}

/// `double com.acme.Cart.total(int[], com.acme.Sum)` (HotSpot: `Method::external_name`)
fn java(name: &str) -> Option<Code> {
    let (before, _) = name.strip_suffix(')')?.split_once('(')?;
    let (result, path) = before.split_once(' ')?;
    let (class, method) = path.rsplit_once('.')?;
    // A hidden class has its address behind its name, which differs from run to run.
    let class = class.split_once('/').map_or(class, |(class, _)| class);
    let is_plain = is_class(class, '.') && !method.is_empty() && !method.contains(' ') && !result.contains('(');
    is_plain.then(|| of_class(class, method))
}

fn of_class(class: &str, method: &str) -> Code {
    Code { module: Some(class.to_owned()), ..generated(&format!("{class}.{method}")) }
}

fn is_class(text: &str, separator: char) -> bool {
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
    text.split(separator).all(is_name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `function | module | file:line`, what is not known left out.
    fn told(name: &str) -> String {
        let code = code(name);
        assert_eq!(code.language, Language::Generated);
        let line = if code.first_line > 0 { format!(":{}", code.first_line) } else { String::new() };
        format!("{} | {} | {}{line}", code.function, code.module.unwrap_or_default(), code.file)
    }

    /// Check names as they were seen in maps, row by row; the last of each group are not beyond doubt.
    #[test]
    fn seen() {
        let rows = [
            // Node 20 and older, of each tier.
            ("JS:~main /srv/app/w.js:4:14", "main |  | /srv/app/w.js:4"),
            ("JS:^cbMap /srv/app/w.js:2:58", "cbMap |  | /srv/app/w.js:2"),
            ("JS:*handle /srv/app/w.js:3:16", "handle |  | /srv/app/w.js:3"),
            ("LazyCompile:*f /srv/app/w.js:12:5", "f |  | /srv/app/w.js:12"),
            ("JS:~ /srv/app/w.js:1:1", "<anonymous> |  | /srv/app/w.js:1"),
            ("Eval:~ /srv/app/w.js:1:1", "<anonymous> |  | /srv/app/w.js:1"),
            ("JS:~get total /srv/my app/w.js:2:19", "get total |  | /srv/my app/w.js:2"),
            ("JS:*f file:///srv/app/w.mjs:7:1", "f |  | /srv/app/w.mjs:7"),
            ("JS:*f file:///srv/my%20app/w.mjs:7:1", "f |  | file:///srv/my%20app/w.mjs:7"),
            (
                "JS:~nextTick node:internal/process/task_queues:104:18",
                "nextTick |  | node:internal/process/task_queues:104",
            ),
            ("JS:~g evalmachine.<anonymous>:1:10", "g |  | evalmachine.<anonymous>:1"),
            ("JS:~größe /srv/maß.js:1:1", "größe |  | /srv/maß.js:1"),
            ("JS:~a /b /srv/w.js:1:1", "JS:~a /b /srv/w.js:1:1 |  | "),
            ("JS:~get f evalmachine.<anonymous>:1:10", "JS:~get f evalmachine.<anonymous>:1:10 |  | "),
            ("JS:~f /srv/w.js", "JS:~f /srv/w.js |  | "),
            ("JS:~f /srv/w.js:1:+1", "JS:~f /srv/w.js:1:+1 |  | "),
            ("Builtin:JSEntry", "Builtin:JSEntry |  | "),
            ("RegExp:^a b:1:2$", "RegExp:^a b:1:2$ |  | "),
            ("BytecodeHandler:Wide", "BytecodeHandler:Wide |  | "),
            // HotSpot 17.
            ("double W.leafWork(int)", "W.leafWork | W | "),
            ("double com.acme.Cart.total(int[], com.acme.Cart$Sum)", "com.acme.Cart.total | com.acme.Cart | "),
            ("double W$$Lambda$1/0x00007f05ac000c08.f(int)", "W$$Lambda$1.f | W$$Lambda$1 | "),
            ("void java.lang.Object.<init>()", "java.lang.Object.<init> | java.lang.Object | "),
            ("Interpreter", "Interpreter |  | "),
            ("StubRoutines (1)", "StubRoutines (1) |  | "),
            ("operator() (x.y)", "operator() (x.y) |  | "),
            ("Lcom/acme/Cart;::total", "com.acme.Cart.total | com.acme.Cart | "),
            ("L;::total", "L;::total |  | "),
            // .NET, Erlang: as they are.
            ("void [App] App.Program::Main(string[])[Tier0]", "void [App] App.Program::Main(string[])[Tier0] |  | "),
            ("$lists:map/2", "$lists:map/2 |  | "),
            // CPython.
            ("py::Cart.total:/srv/app/cart.py", "Cart.total |  | /srv/app/cart.py"),
            ("py::<lambda>:<string>", "<lambda> |  | <string>"),
            ("py::nothing", "py::nothing |  | "),
        ];
        for (name, expected) in rows {
            assert_eq!(told(name), expected, "{name}");
        }
        assert!(is_python_trampoline("py::f:x.py") && !is_python_trampoline("pyx"));
    }

    proptest! {
        /// Check that no name makes it panic, and none is lost.
        #[test]
        fn anything(name in "(JS:|py::|L|void )?[~*]?[a-z/;:.() \u{e4}0-9]{0,40}") {
            let code = code(&name);
            prop_assert!(!code.function.is_empty() || name.is_empty(), "{:?}", code);
        }
    }
}

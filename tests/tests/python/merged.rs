//! Threads that C code has called into: Python functions with their lines, and the modules whose frames lie between them,
//! the same whether the interpreter has symbols or not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use tests::{
    agent::{DumpFrame, DumpThread, dump},
    pythons::{Python, all, line_of, program, stripped, with_module},
    targets::{Program, turn_with_others},
};

const NAME: &str = "merged.py";

/// Each thread's functions, root first, with the mark of their line where it is not their name, and the modules between.
/// Frames of the interpreter's own module are not looked at: it has no names for them where it is stripped.
const EXPECTED: &[&str] = &[
    "json_hook hook pause",
    "sqlite [_sqlite3 libsqlite3 _sqlite3] sql_function pause",
    "ctypes_callback [_ctypes libffi libc libffi _ctypes] compare pause",
    "re_sub replacement pause",
    "reduces reducer pause",
    "sorts key pause",
    "generates outer inner pause",
    "operator __add__:add pause",
    "finalizer __del__:del pause",
    "attribute value pause",
    "context __enter__:enter pause",
    "coroutine awaits __anext__:anext pause",
    "evaluates <module>:1 pause",
    "excepts pause",
    "positive __pos__:pos pause",
    "product __matmul__:matmul pause",
    "async_context enters __aenter__:aenter pause",
    "numpy [_multiarray_umath] key pause",
    "[_greenlet] running reducer pause",
];

/// What C does between the functions, by the thread's first one: one of these names, where the interpreter has any.
const BETWEEN: &[(&str, &[&str])] = &[
    ("json_hook", &["scan_once_unicode", "_parse_object_unicode"]),
    ("re_sub", &["pattern_subx"]),
    ("reduces", &["functools_reduce", "_functools_reduce", "_functools_reduce_impl"]),
    ("sorts", &["list_sort_impl"]),
    ("finalizer", &["subtype_dealloc"]),
    ("evaluates", &["builtin_exec"]),
];

/// Check every thread in every interpreter, and in its stripped copy.
#[test]
fn merged() {
    let _turn = turn_with_others();
    let (mut table, mut wrong) = (String::new(), String::new());
    let mut pythons = all();
    pythons.extend(pythons.iter().filter_map(stripped).collect::<Vec<_>>());
    pythons.extend(with_module("greenlet"));
    for python in &pythons {
        let (verdict, difference) = check(python);
        let _ = writeln!(table, "{python}: {verdict}");
        if !difference.is_empty() {
            let _ = writeln!(wrong, "{python}:\n{difference}");
        }
    }
    println!("{table}");
    if table.is_empty() {
        println!("skipped: no Python of 3.8 to 3.15 here");
    }
    assert!(wrong.is_empty(), "{table}\n{wrong}");
}

/// What the table says, and what differs.
fn check(python: &Python) -> (String, String) {
    let mut target = Program::spawn(&mut python.command(&program(NAME)));
    let lines = std::iter::repeat_with(|| target.line());
    let absent: Vec<String> = lines.take_while(|line| line != "ready").collect();
    let pid = target.pid();
    let dumped = dump(pid);
    let mut seen: BTreeMap<String, &DumpThread> = BTreeMap::new();
    for thread in &dumped.threads {
        seen.insert(rendered(thread), thread);
    }
    let absent = absent.iter().filter_map(|line| Some(line.split('\'').nth(1)?.trim_start_matches('_').to_owned()));
    let absent: BTreeSet<String> = absent.collect();
    let is_absent = |text: &&str| absent.iter().any(|module| text.contains(module.as_str()));
    let mut difference = String::new();
    for expected in EXPECTED.iter().filter(|text| !is_absent(text)) {
        match seen.remove(&with_lines(expected)) {
            None => {
                let _ = writeln!(difference, "  none is {}", with_lines(expected));
            }
            // Guessed: by the frame pointers that 3.15 is built with.
            Some(thread) if !["complete", "guessed"].contains(&thread.end.as_str()) => {
                let _ = writeln!(difference, "  {expected}: {}", thread.end);
            }
            Some(thread) if python.has_symbols && !has_between(thread) => {
                let _ = writeln!(difference, "  {expected}: nothing between in {}", thread.path());
            }
            Some(_) => {}
        }
    }
    for (text, thread) in seen.iter().filter(|(text, _)| text.ends_with(&with_lines("pause"))) {
        let _ = writeln!(difference, "  there is {text}: {} {}", thread.path(), thread.end);
    }
    let verdict = if difference.is_empty() { "ok" } else { "differs" };
    let without: Vec<&str> = absent.iter().map(String::as_str).collect();
    let without = if without.is_empty() { String::new() } else { format!(", without {}", without.join(", ")) };
    (format!("{verdict}{without}"), difference)
}

fn has_between(thread: &DumpThread) -> bool {
    let text = rendered(thread);
    let first = text.split(':').next().unwrap_or_default();
    let Some((_, names)) = BETWEEN.iter().find(|(function, _)| *function == first) else { return true };
    thread.frames.iter().any(|frame| frame.function.as_deref().is_some_and(|function| names.contains(&function)))
}

/// The line of each function, by its mark.
fn with_lines(expected: &str) -> String {
    let mut in_modules = false;
    let line = |word: &str| {
        in_modules |= word.starts_with('[');
        if in_modules {
            in_modules = !word.ends_with(']');
            return word.to_owned();
        }
        let (function, mark) = word.split_once(':').unwrap_or((word, word));
        let line = mark.parse().unwrap_or_else(|_| line_of(NAME, mark));
        format!("{function}:{line}")
    };
    expected.split(' ').map(line).collect::<Vec<_>>().join(" ")
}

/// A thread as [`EXPECTED`] has it, from the first function of the program on, or what a greenlet begins with.
fn rendered(thread: &DumpThread) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut modules: Vec<String> = Vec::new();
    for frame in thread.frames.iter().rev() {
        if let Some(function) = own(frame) {
            if !modules.is_empty() {
                words.push(format!("[{}]", std::mem::take(&mut modules).join(" ")));
            }
            words.push(function);
        } else if let Some(module) = frame.address.as_ref().and(module(frame))
            && modules.last() != Some(&module)
            && !(words.is_empty() && module.starts_with("lib"))
        {
            modules.push(module);
        }
    }
    words.retain(|word| !word.starts_with("run:"));
    words.join(" ")
}

/// `function:line` of a function of the program, without its class.
fn own(frame: &DumpFrame) -> Option<String> {
    let is_own = frame.file.as_deref() == Some(NAME) && frame.address.is_none();
    let function = is_own.then_some(frame.function.as_deref())??;
    Some(format!("{}:{}", function.rsplit('.').next()?, frame.line?))
}

/// `libc` of `libc-2.31.so`; none of the interpreter, nor of what some builds have in it.
fn module(frame: &DumpFrame) -> Option<String> {
    let name = frame.module.as_deref()?.split(['.', '-']).next()?;
    let is_python = ["python", "libpython", "_json"].iter().any(|begin| name.starts_with(begin));
    (!is_python).then(|| name.to_owned())
}

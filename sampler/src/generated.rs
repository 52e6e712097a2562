//! Code that a target has generated: which runtime does it, and how such frames are named. They are named when the stack is
//! unwound, so that a name is the one that was valid at the sample, whatever comes to the address later. Reads no file:
//! that is [`crate::perf_map`].

use std::collections::HashMap;

use profile::{
    code::{Code, CodeIndex},
    id::{Pid, Tid},
    module::ModuleIndex,
    naming::file_name,
    stack::{CodeFrame, NativeFrame, RawFrame, RawStack},
};
use runtimes::perf_map::names;
use unwinder::ModuleMap;

use crate::{modules::ModuleFile, perf_map::MapFile};

/// Functions of one process that are shown by name, and those of Python: their numbers must not meet.
const CODES_MAX: u32 = 100_000;
/// Codes are numbered from here on; those of Python from 0.
const FIRST_CODE: u32 = 1 << 31;
/// Names that are remembered as taken apart; all are forgotten then. One function has a name for each tier.
const NAMES_MAX: usize = 4 * CODES_MAX as usize;
/// Modules that hold a runtime: a process has one or two.
const RUNTIMES_MAX: usize = 8;

/// A runtime that generates code.
#[derive(Debug)]
struct Runtime {
    name: &'static str,
    /// Programs and libraries that hold it, by the beginning of their file's name.
    files: &'static [&'static str],
    /// What gives its code names.
    hint: &'static str,
    /// It writes the whole map anew each time. Others append.
    rewrites: bool,
}

const RUNTIMES: [Runtime; 9] = [
    Runtime {
        name: "node",
        files: &["node", "nodejs", "libnode.so"],
        hint: "start it with --perf-basic-prof --interpreted-frames-native-stack",
        rewrites: false,
    },
    Runtime { name: "deno", files: &["deno"], hint: "start it with --v8-flags=--perf-basic-prof", rewrites: false },
    Runtime {
        name: "java",
        files: &["libjvm.so"],
        hint: "start it with -XX:+PreserveFramePointer, and have it write its map with jcmd PID Compiler.perfmap (JDK 17 and later), \
               again when it has compiled more",
        rewrites: true,
    },
    Runtime {
        name: "dotnet",
        files: &["libcoreclr.so"],
        hint: "start it with DOTNET_PerfMapEnabled=1 in its environment",
        rewrites: false,
    },
    Runtime {
        name: "erlang",
        files: &["beam.smp"],
        hint: "start it with +JPperf true (OTP 24 and later)",
        rewrites: false,
    },
    Runtime {
        name: "ruby",
        files: &["ruby", "libruby"],
        hint: "start it with --yjit-perf (3.3 and later)",
        rewrites: false,
    },
    Runtime { name: "php", files: &["php", "libphp"], hint: "set opcache.jit_debug=16", rewrites: false },
    Runtime {
        name: "luajit",
        files: &["luajit", "libluajit"],
        hint: "build it with -DLUAJIT_USE_PERFTOOLS",
        rewrites: false,
    },
    Runtime { name: "pypy", files: &["pypy", "libpypy"], hint: "PyPy writes no map of its code", rewrites: false },
];

impl Runtime {
    fn of(path: &str) -> Option<&'static Self> {
        let name = file_name(path);
        let is_of = |begin: &&str| {
            let rest = name.strip_prefix(begin);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        };
        RUNTIMES.iter().find(|runtime| runtime.files.iter().any(is_of))
    }
}

/// What is known of the code that one target generates.
#[derive(Debug)]
pub(crate) struct Generated {
    /// By the module that holds it.
    runtimes: Vec<(ModuleIndex, &'static Runtime)>,
    /// Of these, the one that runs.
    runtime: Option<&'static Runtime>,
    vdso: Option<ModuleIndex>,
    /// The vDSO of the program whose map is read. Another place is another program, begun by exec.
    vdso_of_map: Option<ModuleIndex>,
    map: MapFile,
    codes: Codes,
    hinted: bool,
}

/// What naming a stack brought about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Codes seen for the first time.
    pub(crate) codes: Vec<(CodeIndex, Code)>,
    /// What would give names; told once.
    pub(crate) hint: Option<String>,
}

impl Generated {
    pub(crate) fn new(pid: Pid) -> Self {
        Self {
            runtimes: Vec::new(),
            runtime: None,
            vdso: None,
            vdso_of_map: None,
            map: MapFile::new(pid),
            codes: Codes::default(),
            hinted: false,
        }
    }

    /// A module is mapped.
    pub(crate) fn note(&mut self, index: ModuleIndex, file: &ModuleFile) {
        if file.module.path == "[vdso]" {
            self.vdso = Some(index);
        }
        if self.runtimes.len() < RUNTIMES_MAX {
            self.runtimes.extend(Runtime::of(&file.module.path).map(|runtime| (index, runtime)));
        }
    }

    /// The modules have changed.
    pub(crate) fn settle(&mut self, modules: &ModuleMap) {
        let is_mapped = |index: ModuleIndex| modules.ranges().iter().any(|range| range.module == Some(index));
        self.runtime = self.runtimes.iter().find(|(index, _)| is_mapped(*index)).map(|(_, runtime)| *runtime);
        if self.vdso != self.vdso_of_map {
            self.vdso_of_map = self.vdso;
            self.map.begin_anew();
        }
    }

    /// Names the frames in generated code, as far as they have a name or a runtime that is known. `None`: there are none.
    pub(crate) fn name(&mut self, stack: &mut RawStack, modules: &ModuleMap, tid: Tid, now_ns: u64) -> Option<News> {
        let is_generated = |frame: &NativeFrame| {
            let in_generated = || modules.find(frame.lookup()).is_some_and(|range| range.module.is_none());
            frame.module.is_none() && in_generated()
        };
        if !stack.native().any(is_generated) {
            return None;
        }
        let rewrites = self.runtime.is_some_and(|runtime| runtime.rewrites);
        self.map.look(tid, now_ns, rewrites);
        if stack.native().any(|frame| is_generated(frame) && self.map.find(frame.lookup()).is_none()) {
            self.map.look_again(tid, now_ns, rewrites);
        }
        // Beside frames of Python, the trampolines that lead to them say nothing more.
        let has_python = stack.frames.iter().any(|frame| matches!(frame, RawFrame::Code(_)));
        let mut news = News::default();
        let mut unnamed = false;
        stack.frames.retain_mut(|frame| {
            let Some(native) = frame.native().filter(|native| is_generated(native)) else { return true };
            let name = self.map.find(native.lookup());
            if has_python && name.is_some_and(names::is_python_trampoline) {
                return false;
            }
            unnamed |= name.is_none();
            let named = match (name, self.runtime) {
                (Some(name), _) => self.codes.of_name(name, &mut news.codes),
                (None, Some(runtime)) => self.codes.of_code(names::unnamed(runtime.name), &mut news.codes),
                (None, None) => None,
            };
            *frame = named.map_or(*frame, RawFrame::Code);
            true
        });
        if unnamed {
            news.hint = self.hint();
        }
        Some(news)
    }

    /// A runtime that appends to a map has named what it names.
    fn hint(&mut self) -> Option<String> {
        let runtime = self.runtime.filter(|runtime| runtime.rewrites || !self.map.is_there())?;
        if std::mem::replace(&mut self.hinted, true) {
            return None;
        }
        Some(format!("functions of {} without a name: {}", runtime.name, runtime.hint))
    }
}

/// The codes of one process, by their names.
#[derive(Debug, Default)]
struct Codes {
    by_name: HashMap<Box<str>, CodeFrame>,
    /// One function may have several names: one for each tier of its compiler.
    by_code: HashMap<Code, CodeIndex>,
}

impl Codes {
    /// `None`: there are too many.
    fn of_name(&mut self, name: &str, new: &mut Vec<(CodeIndex, Code)>) -> Option<CodeFrame> {
        if let Some(known) = self.by_name.get(name) {
            return Some(*known);
        }
        let frame = self.of_code(names::code(name), new)?;
        if self.by_name.len() >= NAMES_MAX {
            self.by_name.clear();
        }
        self.by_name.insert(name.into(), frame);
        Some(frame)
    }

    fn of_code(&mut self, code: Code, new: &mut Vec<(CodeIndex, Code)>) -> Option<CodeFrame> {
        let line = Some(code.first_line).filter(|line| *line > 0);
        if let Some(known) = self.by_code.get(&code) {
            return Some(CodeFrame { code: *known, line });
        }
        let number = u32::try_from(self.by_code.len()).ok().filter(|number| *number < CODES_MAX)?;
        let index = CodeIndex(FIRST_CODE.saturating_add(number));
        self.by_code.insert(code.clone(), index);
        new.push((index, code));
        Some(CodeFrame { code: index, line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check which files are a runtime's, and that names which only begin alike are not.
    #[test]
    fn runtimes() {
        let rows = [
            ("/usr/bin/node", "node"),
            ("/usr/local/bin/nodejs", "node"),
            ("/opt/node-v20/bin/node20", "node"),
            ("/usr/lib/x86_64-linux-gnu/libnode.so.108", "node"),
            ("/usr/lib/jvm/java-17-openjdk-amd64/lib/server/libjvm.so", "java"),
            ("/usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.0/libcoreclr.so", "dotnet"),
            ("/usr/lib/erlang/erts-13.1.5/bin/beam.smp", "erlang"),
            ("/usr/sbin/php-fpm8.2", "php"),
            ("/usr/bin/pypy3.9", "pypy"),
            ("/usr/lib/x86_64-linux-gnu/libruby-3.1.so.3.1.2", "ruby"),
            ("/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2", "luajit"),
            ("/usr/bin/node_exporter", ""),
            ("/usr/bin/nodetool", ""),
            ("/usr/lib/libphpcpp.so", ""),
            ("/usr/bin/python3.11", ""),
            ("", ""),
        ];
        for (path, expected) in rows {
            assert_eq!(Runtime::of(path).map_or("", |runtime| runtime.name), expected, "{path}");
        }
    }

    /// Check that the tiers of one function are one code, and that codes are as many as they may be.
    #[test]
    fn codes() {
        let (mut codes, mut new) = (Codes::default(), Vec::new());
        let mut told = |name: &str| codes.of_name(name, &mut new).map(|frame| (frame.code.0 - FIRST_CODE, frame.line));
        let tiers = ["JS:~f /w.js:3:1", "JS:*f /w.js:3:1", "JS:~g /w.js:4:1", "JS:~f /w.js:3:1", "Stub"];
        assert_eq!(
            tiers.map(&mut told),
            [Some((0, Some(3))), Some((0, Some(3))), Some((1, Some(4))), Some((0, Some(3))), Some((2, None))]
        );
        let many: Vec<_> = (0..CODES_MAX).map(|number| told(&format!("f{number}"))).collect();
        assert_eq!(many.iter().filter(|code| code.is_none()).count(), 3);
        assert_eq!(new.len(), CODES_MAX as usize);
    }
}

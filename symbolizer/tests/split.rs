//! Split DWARF: `.dwo` files and `.dwp` packages, of both compilers and both forms, and the wrong ones refused.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;

use std::{
    fmt::Write,
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use support::{Root, name};
use symbolizer::{Elf, ModuleSource, Settings, Symbolizer, TargetFiles};

/// What every form must give: the same as without splitting.
const FRAMES: &str = "\
in_area:
shapes::Box<int>::area() const (inlines.cpp:12) inlined
twice (inlines.cpp:20) inlined
shapes::Drawing::draw(std::vector<int, std::allocator<int> > const&) const (inlines.cpp:29)
in_main:
main (inlines.cpp:43)
";

/// What the skeleton and the symbol table tell.
const FRAMES_WITHOUT_PARTS: &str = "\
in_area:
shapes::Drawing::draw(std::vector<int, std::allocator<int> > const&) const (inlines.cpp:12)
in_main:
main (inlines.cpp:43)
";

fn frames(root: &Root, module: ModuleSource, program: &str) -> (String, Vec<String>) {
    let mut symbolizer = Symbolizer::new(Settings::default());
    let key = symbolizer.add(module);
    let mut text = String::new();
    for label in ["in_area", "in_main"] {
        let _ = write!(text, "{label}:\n{}", name(&mut symbolizer, key, root.address(program, label)));
    }
    // gcc's mark in the symbol's name, which only shows where the debug information has none; clang's longer one.
    let text = text.replace(" [clone .isra.0]", "").replace("shapes::(anonymous namespace)::twice(int)", "twice");
    (text, symbolizer.hints())
}

/// Builds `/prog/split` in `/build`, with its `.dwo` there. `false` when a tool is missing or too old.
fn build(root: &Root, compiler: &str, flags: &str) -> bool {
    root.source("inlines.cpp");
    root.folder("build");
    root.folder("prog");
    std::fs::rename(root.path("inlines.cpp"), root.path("build/inlines.cpp")).unwrap();
    // Compiled apart: else the linker's run of the compiler names the .dwo after the program.
    root.try_run_in("build", &format!("{compiler} {flags} -gsplit-dwarf -O2 -c -o inlines.o inlines.cpp"))
        && root.try_run_in("build", &format!("{compiler} -no-pie -Wl,--build-id=none -o ../prog/split inlines.o"))
}

const FORMS: [(&str, &str); 6] = [
    ("g++", "-gdwarf-4"),
    ("g++", "-gdwarf-5"),
    ("g++", "-gdwarf-5 -fdebug-types-section"),
    ("clang++", "-gdwarf-4"),
    ("clang++", "-gdwarf-5"),
    ("clang++", "-gdwarf-5 -fdebug-types-section"),
];

/// Check that a `.dwo` file gives what an unsplit program gives, that without it the skeleton's lines and the symbol
/// table's names stay, that a hint says where it was looked for, and that one of another build is refused.
#[test]
fn dwo_files() {
    for (compiler, flags) in FORMS {
        let root = Root::new();
        if !build(&root, compiler, flags) {
            continue;
        }
        assert_eq!(
            frames(&root, root.module("prog/split"), "prog/split"),
            (FRAMES.into(), vec![]),
            "{compiler} {flags}"
        );

        let dwo = root.path("build/inlines.dwo");
        let aside = root.path("aside.dwo");
        std::fs::rename(&dwo, &aside).unwrap();
        let (shown, hints) = frames(&root, root.module("prog/split"), "prog/split");
        assert_eq!(shown, FRAMES_WITHOUT_PARTS, "{compiler} {flags}");
        let expected = format!(
            "/prog/split shows no inlined calls in 1 of its units: their .dwo files are missing or of another build, \
             such as {}, and no /prog/split.dwp has them",
            dwo.display()
        );
        assert_eq!(hints, [expected], "{compiler} {flags}");

        for wrong in [std::fs::read(root.path("prog/split")).unwrap(), other(&root, compiler, flags), b"no ELF".into()]
        {
            std::fs::write(&dwo, wrong).unwrap();
            let shown = frames(&root, root.module("prog/split"), "prog/split").0;
            assert_eq!(shown, FRAMES_WITHOUT_PARTS, "{compiler} {flags}");
        }
        // Moved beside the program, as it is when only the results of a build are kept.
        std::fs::rename(&aside, root.path("prog/inlines.dwo")).unwrap();
        assert_eq!(frames(&root, root.module("prog/split"), "prog/split").0, FRAMES, "{compiler} {flags}");
    }
}

/// Check that a `.dwo` file may have more sections than a program: gcc puts each type into one.
#[test]
fn many_types() {
    let root = Root::new();
    root.source("inlines.cpp");
    let mut text = std::fs::read_to_string(root.path("inlines.cpp")).unwrap();
    text.extend((0..5000).map(|number| format!("struct Type{number} {{ int value; }} value{number};\n")));
    root.folder("build");
    root.folder("prog");
    std::fs::write(root.path("build/inlines.cpp"), text).unwrap();
    let flags = "-gdwarf-5 -fdebug-types-section -gsplit-dwarf -O2";
    if root.try_run_in("build", &format!("g++ {flags} -c -o inlines.o inlines.cpp"))
        && root.try_run_in("build", "g++ -no-pie -Wl,--build-id=none -o ../prog/split inlines.o")
    {
        let sections = root.run("readelf -h build/inlines.dwo").unwrap();
        assert!(sections.contains("Number of section headers:         50"), "{sections}");
        assert_eq!(frames(&root, root.module("prog/split"), "prog/split"), (FRAMES.into(), vec![]));
    }
}

/// The `.dwo` of a source that differs.
fn other(root: &Root, compiler: &str, flags: &str) -> Vec<u8> {
    root.folder("other");
    let text = std::fs::read_to_string(root.path("build/inlines.cpp")).unwrap();
    std::fs::write(root.path("other/inlines.cpp"), format!("int more;\n{text}")).unwrap();
    let built = root.try_run_in("other", &format!("{compiler} {flags} -gsplit-dwarf -O2 -c -o inlines.o inlines.cpp"));
    assert!(built);
    std::fs::read(root.path("other/inlines.dwo")).unwrap()
}

/// Check that a package beside the program, or beside its debug file, is as good as the files; that one which lacks
/// the unit, or is cut, is not.
#[test]
fn dwp_packages() {
    for (compiler, flags) in FORMS {
        let root = Root::new();
        if !build(&root, compiler, flags) {
            continue;
        }
        // Of binutils for GNU's form; it does not know the standard's.
        let tools = if flags.contains("dwarf-4") { &["dwp", "llvm-dwp"][..] } else { &["llvm-dwp"] };
        for tool in tools {
            // LLVM 14 never ends over what gcc writes as DWARF 5.
            if !root.try_run_in("build", &format!("timeout 3 {tool} -o ../prog/split.dwp inlines.dwo")) {
                continue;
            }
            std::fs::rename(root.path("build/inlines.dwo"), root.path("aside.dwo")).unwrap();
            assert_eq!(frames(&root, root.module("prog/split"), "prog/split").0, FRAMES, "{tool}: {compiler} {flags}");

            root.run("objcopy --only-keep-debug prog/split split.debug").unwrap();
            root.run("objcopy --strip-all --add-gnu-debuglink=split.debug prog/split prog/stripped").unwrap();
            root.folder("usr/lib/debug/prog");
            std::fs::rename(root.path("split.debug"), root.path("usr/lib/debug/prog/split.debug")).unwrap();
            let package = std::fs::read(root.path("prog/split.dwp")).unwrap();
            std::fs::rename(root.path("prog/split.dwp"), root.path("usr/lib/debug/prog/split.dwp")).unwrap();
            assert_eq!(
                frames(&root, root.module("prog/stripped"), "prog/split").0,
                FRAMES,
                "{tool}: {flags}, stripped"
            );

            for len in [package.len() / 2, package.len() / 10, 100] {
                std::fs::write(root.path("prog/split.dwp"), package.get(..len).unwrap()).unwrap();
                let shown = frames(&root, root.module("prog/split"), "prog/split").0;
                assert_eq!(shown, FRAMES_WITHOUT_PARTS, "{tool}: {compiler} {flags}, cut to {len}");
            }
            std::fs::remove_file(root.path("prog/split.dwp")).unwrap();
            std::fs::rename(root.path("aside.dwo"), root.path("build/inlines.dwo")).unwrap();
        }
    }
}

/// Check that compressed parts are read, too.
#[test]
fn compressed_parts() {
    let root = Root::new();
    if !build(&root, "g++", "-gdwarf-5") {
        return;
    }
    for how in ["zlib", "zstd"] {
        if root.try_run_in("build", &format!("objcopy --compress-debug-sections={how} inlines.dwo")) {
            assert_eq!(frames(&root, root.module("prog/split"), "prog/split").0, FRAMES, "{how}");
        }
    }
}

/// Check every byte of the code against the same program unsplit.
#[test]
fn as_unsplit() {
    for (compiler, flags) in FORMS {
        let root = Root::new();
        if !build(&root, compiler, flags)
            || !root.try_run_in("build", &format!("{compiler} {flags} -O2 -no-pie -o ../prog/plain inlines.cpp"))
        {
            continue;
        }
        let (mut split, key) = root.symbolizer("prog/split");
        let (mut plain, other) = root.symbolizer("prog/plain");
        assert_eq!(root.code("prog/split"), root.code("prog/plain"));
        for at in root.code("prog/split") {
            let (one, two) = (name(&mut split, key, at), name(&mut plain, other, at));
            assert_eq!(one, two, "{compiler} {flags} at {at:#x}");
        }
    }
}

/// Opens like the root, and keeps what was asked for.
#[derive(Debug)]
struct Counting(Arc<support::Below>, Mutex<Vec<PathBuf>>);

impl TargetFiles for Counting {
    fn open(&self, path: &str) -> Option<File> {
        self.1.lock().unwrap().push(path.into());
        self.0.open(path)
    }
}

/// Check that a missing part is looked for once, also when the debug information was dropped and read again, and that
/// no file of a part stays open.
#[test]
fn missing_costs_once() {
    let root = Root::new();
    if !build(&root, "g++", "-gdwarf-5") {
        return;
    }
    for present in [true, false] {
        if !present {
            std::fs::remove_file(root.path("build/inlines.dwo")).unwrap();
        }
        // So small that one module pushes out the other.
        let mut symbolizer = Symbolizer::new(Settings { memory: 1, ..Settings::default() });
        let files = Arc::new(Counting(root.files(), Mutex::default()));
        let elf = Elf::File(File::open(root.path("prog/split")).unwrap());
        let module = ModuleSource { path: "/prog/split".to_owned(), build_id: None, elf, files: files.clone() };
        let key = symbolizer.add(module);
        root.run("objcopy --strip-debug prog/split prog/bare").unwrap();
        let other = symbolizer.add(root.module("prog/bare"));
        let asked = |symbolizer: &mut Symbolizer, at| {
            name(symbolizer, key, at);
            name(symbolizer, other, at);
            std::mem::take(&mut *files.1.lock().unwrap()).len()
        };
        let at = root.address("prog/split", "main");
        let first = asked(&mut symbolizer, at);
        let second = asked(&mut symbolizer, at + 1);
        // The package, then the part where it was compiled, then beside the program.
        assert_eq!((first, second), if present { (2, 1) } else { (3, 0) }, "present: {present}");
        assert_eq!(open_parts(), 0);
    }
}

/// How many parts this process holds open.
fn open_parts() -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    links.filter(|link| std::fs::read_link(link.path()).is_ok_and(|to| to.to_string_lossy().ends_with(".dwo"))).count()
}

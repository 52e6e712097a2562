//! Lines from units opened one by one against the same from all units at once, as addr2line has it, with
//! `.debug_aranges`: the same frames at every address.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use crate::{
    dwarf::Sections,
    elf::ElfFile,
    image::Image,
    lines::{Found, Lines},
    meter::Meter,
    source::TargetFiles,
    split::SplitFiles,
    supplement::Link,
    unit::UnitLines,
};

/// More than any of these programs needs.
const MEMORY: usize = 4 << 30;

/// A folder for programs, and paths as they are.
struct Root(tempfile::TempDir);

struct Host;

impl TargetFiles for Host {
    fn open(&self, path: &str) -> Option<File> {
        File::open(path).ok().filter(|file| file.metadata().is_ok_and(|facts| facts.is_file()))
    }
}

impl Root {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a tool that may be absent, or too old: says so and gives false.
    fn try_run(&self, command: &str) -> bool {
        let mut words = command.split_whitespace();
        let run = Command::new(words.next().unwrap()).args(words).current_dir(self.0.path()).output();
        let done = run.is_ok_and(|done| done.status.success());
        if !done {
            println!("Skipped: {command}");
        }
        done
    }
}

fn elf(path: &Path) -> Arc<ElfFile> {
    Arc::new(ElfFile::parse(Image::of_file(File::open(path).unwrap()).unwrap()).unwrap())
}

/// All units at once.
fn whole(file: &Arc<ElfFile>, supplement: Option<&Arc<ElfFile>>) -> UnitLines {
    let meter = Arc::new(Meter::new(MEMORY));
    let open = |file| Sections::with_aranges(file, MEMORY).unwrap().dwarf(&meter);
    let mut dwarf = open(file);
    if let Some(supplement) = supplement {
        dwarf.set_sup(open(supplement));
    }
    dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
    UnitLines::open(dwarf, meter).unwrap()
}

/// Compares at about `count` addresses. Gives how many have lines, and how many inlined frames there are.
fn compare(path: &Path, supplement: Option<&Arc<ElfFile>>, count: usize) -> (usize, usize) {
    let file = elf(path);
    let split = || SplitFiles::new(Arc::new(Host), path.to_str().unwrap(), None);
    let (mut one_by_one, mut at_once) = (split(), split());
    let mut lines = Lines::open(&file, supplement, 96 << 20).unwrap();
    let mut whole = whole(&file, supplement);
    let code: Vec<_> = file.sections.iter().filter(|section| section.is_code()).collect();
    let bytes: u64 = code.iter().map(|section| section.size).sum();
    let step = usize::try_from(bytes).unwrap() / count + 1;
    let (mut with_lines, mut inlined) = (0, 0);
    for at in code.iter().flat_map(|section| (section.address..section.address + section.size).step_by(step)) {
        let found = lines.find(at, &mut one_by_one).unwrap();
        assert_eq!(found, whole.find(at, &mut at_once).unwrap_or_default(), "{} at {at:#x}", path.display());
        with_lines += usize::from(found.iter().any(|frame: &Found| frame.source.is_some()));
        inlined += found.iter().filter(|frame| frame.inlined).count();
    }
    println!("{}: {with_lines} with lines, {inlined} inlined, {} KiB", path.display(), lines.bytes() >> 10);
    lines.rest();
    (with_lines, inlined)
}

/// Three units that call each other, with a template that two of them have.
fn sources() -> Root {
    let root = Root(tempfile::tempdir().unwrap());
    let write = |name: &str, text: &str| std::fs::write(root.path(name), text).unwrap();
    write(
        "box.h",
        "template <class T> struct Box { T side; T area() const { return side * side; } };\n\
         struct Shape { virtual ~Shape(); virtual int size(int) const; int twice(int n) const; };\n\
         int outer(const Shape &, int); int inner(int);\n",
    );
    write(
        "main.cpp",
        "#include \"box.h\"\n#include <vector>\n#include <algorithm>\n\
         int main(int argc, char **argv) { Shape shape; std::vector<int> all;\n\
           for (int i = 0; i < argc + 100; i++) all.push_back(outer(shape, i));\n\
           std::sort(all.begin(), all.end()); return all[argc] & 1; }\n",
    );
    write(
        "outer.cpp",
        "#include \"box.h\"\n#include <string>\n\
         Shape::~Shape() {}\nint Shape::size(int n) const { return Box<int>{n}.area() + 1; }\n\
         int Shape::twice(int n) const { return size(n) + inner(n); }\n\
         int outer(const Shape &shape, int n) { std::string text = std::to_string(n);\n\
           return shape.twice(n) + int(text.size()) + inner(n + 1); }\n",
    );
    write(
        "inner.cpp",
        "#include \"box.h\"\n\
         static int deep(int n) { int sum = 0; for (int i = 0; i < n; i++) sum += Box<long>{i}.area() ^ n; return sum; }\n\
         int inner(int n) { return deep(n) + deep(n / 2); }\n",
    );
    write("inlines.rs", include_str!("../tests/fixtures/inlines.rs"));
    root
}

/// Check C++ and Rust, with and without optimization across units, in several forms.
#[test]
fn programs() {
    let root = sources();
    let all = "main.cpp outer.cpp inner.cpp";
    for (program, command) in [
        ("several", format!("g++ -g -O2 -o several {all}")),
        ("plain", format!("g++ -g -O0 -o plain {all}")),
        ("dwarf4", format!("g++ -gdwarf-4 -O2 -fdebug-types-section -ffunction-sections -o dwarf4 {all}")),
        ("lto", format!("g++ -g -O2 -flto -o lto {all}")),
        ("lto4", format!("g++ -gdwarf-4 -O2 -flto -o lto4 {all}")),
        ("clang", format!("clang++ -g -O2 -o clang {all}")),
        ("zlib", "objcopy --compress-debug-sections=zlib lto zlib".to_owned()),
        ("split", format!("g++ -g -O2 -gsplit-dwarf -o split {all}")),
        ("rust", "rustc -g -Copt-level=2 -o rust inlines.rs".to_owned()),
        ("rust_units", "rustc -g -Copt-level=3 -Ccodegen-units=8 -o rust_units inlines.rs".to_owned()),
        ("rust_lto", "rustc -g -Copt-level=2 -Clto=fat -o rust_lto inlines.rs".to_owned()),
        ("rust_thin", "rustc -g -Copt-level=2 -Clto=thin -o rust_thin inlines.rs".to_owned()),
    ] {
        if root.try_run(&command) {
            let (lines, inlined) = compare(&root.path(program), None, 5000);
            assert!(lines > 500 && (inlined > 50 || program == "plain"), "{program}: {lines}, {inlined}");
        }
    }
}

/// Check that damage here and there in the units' entries takes no more than it does from all units at once.
#[test]
fn damaged() {
    let root = sources();
    if !root.try_run("g++ -g -O2 -flto -o lto main.cpp outer.cpp inner.cpp") {
        return;
    }
    let whole = std::fs::read(root.path("lto")).unwrap();
    let info = elf(&root.path("lto")).section(".debug_info").cloned().unwrap();
    let (start, len) = (usize::try_from(info.offset).unwrap(), usize::try_from(info.size).unwrap());
    for at in (200..len).step_by(len / 40) {
        let mut bytes = whole.clone();
        bytes[start + at] ^= 0xff;
        std::fs::write(root.path("damaged"), bytes).unwrap();
        let (with_lines, _) = compare(&root.path("damaged"), None, 300);
        assert!(with_lines > 100, "{with_lines} when {at} is damaged");
    }
}

/// Check what `dwz` makes of them: units that refer to partial ones in the same file, and in a shared one.
#[test]
fn after_dwz() {
    let root = sources();
    for flags in ["-gdwarf-4", "-gdwarf-5"] {
        if !root.try_run(&format!("g++ {flags} -O2 -o one main.cpp outer.cpp inner.cpp"))
            || !root.try_run(&format!("g++ {flags} -O2 -flto -o two main.cpp outer.cpp inner.cpp"))
        {
            continue;
        }
        for program in ["one", "two"] {
            if root.try_run(&format!("dwz -o {program}.dwz {program}")) {
                let (lines, inlined) = compare(&root.path(&format!("{program}.dwz")), None, 5000);
                // In DWARF 4 addr2line takes partial units for ones with code, by their line table.
                let least = if flags == "-gdwarf-4" { 0 } else { 50 };
                assert!(lines > 500 && inlined >= least, "{flags} {program}: {lines}, {inlined}");
            }
        }
        if root.try_run("dwz -m common -M common one two") {
            for program in ["one", "two"] {
                let path = root.path(program);
                let shared = Link::of(&elf(&path)).and_then(|link| link.search(path.to_str().unwrap(), &Host));
                assert!(shared.is_some());
                let (lines, inlined) = compare(&path, shared.as_ref(), 5000);
                assert!(lines > 500 && inlined > 50, "{flags} {program} shared: {lines}, {inlined}");
            }
        }
    }
}

/// Check a large program, this test, and the C library's debug file where it is installed.
#[test]
fn large_ones() {
    let (lines, inlined) = compare(&std::env::current_exe().unwrap(), None, 2000);
    assert!(lines > 1000 && inlined > 1000, "{lines}, {inlined}");
    let library =
        ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"].map(Path::new).into_iter().find(|path| path.exists());
    let id = library.and_then(|path| elf(path).build_id.clone());
    let place = id.and_then(|id| crate::debugfile::place_of(&id)).filter(|place| Path::new(place).exists());
    if let Some(place) = place {
        let (lines, inlined) = compare(Path::new(&place), None, 20_000);
        assert!(lines > 1000 && inlined > 1000, "{lines}, {inlined}");
    }
}

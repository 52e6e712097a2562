//! Supplementary files made by `dwz`, in GNU's form and the standard's, where distributions place them, and the wrong
//! ones refused.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fmt::Write;

use support::{Root, name};
use symbolizer::{ModuleSource, Settings, Symbolizer};

fn frames(root: &Root, module: ModuleSource) -> (String, Vec<String>) {
    let mut symbolizer = Symbolizer::new(Settings::default());
    let key = symbolizer.add(module);
    let mut text = String::new();
    for label in ["in_area", "in_main"] {
        let _ = write!(text, "{label}:\n{}", name(&mut symbolizer, key, root.address("whole", label)));
    }
    (text, symbolizer.hints())
}

/// `whole` as gcc made it, `/prog/one` and `/prog/two` with what they have in common in `common`, linked as `link`.
fn build(root: &Root, flags: &str, more: &str, link: &str) -> bool {
    root.source("inlines.cpp");
    root.folder("prog");
    let text = std::fs::read_to_string(root.path("inlines.cpp")).unwrap();
    std::fs::write(root.path("two.cpp"), format!("int more() {{ return 3; }}\n{text}")).unwrap();
    let built = root.run(&format!("g++ {flags} -O2 -no-pie -Wl,--build-id=0xab01 -o whole inlines.cpp")).is_some()
        && root.run(&format!("g++ {flags} -O2 -no-pie -Wl,--build-id=0xab02 -o prog/two two.cpp")).is_some();
    if !built {
        return false;
    }
    std::fs::copy(root.path("whole"), root.path("prog/one")).unwrap();
    root.try_run(&format!("dwz {more} -m common -M {link} prog/one prog/two"))
}

const FORMS: [(&str, &str); 3] = [("-gdwarf-4", ""), ("-gdwarf-5", ""), ("-gdwarf-5", "--dwarf-5")];
const LINK: &str = "../share/.dwz/common.debug";

/// Check that the shared part is found where the link says, and where distributions place it; that all is as it was
/// before `dwz`; that without it a hint says so; and that another file in its place is refused.
#[test]
fn shared_part() {
    for (flags, more) in FORMS {
        let root = Root::new();
        if !build(&root, flags, more, LINK) {
            continue;
        }
        let expected = frames(&root, root.module("whole"));
        assert!(expected.0.contains("shapes::Box<int>::area() const (inlines.cpp:12) inlined\n"), "{}", expected.0);
        let places = ["share/.dwz/common.debug", "usr/lib/debug/.dwz/common.debug"];
        for place in places {
            root.folder(place.rsplit_once('/').unwrap().0);
            std::fs::copy(root.path("common"), root.path(place)).unwrap();
            assert_eq!(frames(&root, root.module("prog/one")), expected, "{flags} {more}: {place}");
            std::fs::remove_file(root.path(place)).unwrap();
        }
        let without = frames(&root, root.module("prog/one"));
        assert_ne!(without.0, expected.0, "{flags} {more}");
        assert!(without.0.starts_with("in_area:\n? (inlines.cpp:12) inlined missing: no_symbol\n"), "{}", without.0);
        let hint = format!(
            "/prog/one (build id ab01) shows some inlined calls without a name: they are in {LINK} (dwz), which is \
             missing or of another build; install the package that has it"
        );
        assert_eq!(without.1, [hint]);

        // A program, no ELF file, and half of the right one.
        let whole = std::fs::read(root.path("common")).unwrap();
        let half = whole.get(..whole.len() / 2).unwrap().to_vec();
        let wrong = [std::fs::read(root.path("whole")).unwrap(), b"no ELF file".to_vec(), half];
        for wrong in wrong {
            std::fs::write(root.path(places[0]), wrong).unwrap();
            assert_eq!(frames(&root, root.module("prog/one")).0, without.0, "{flags} {more}");
        }
    }
}

/// Check that a file with another build id or checksum is no shared part, whatever it holds.
#[test]
fn another_build() {
    for (flags, more) in FORMS {
        let root = Root::new();
        if !build(&root, flags, more, LINK) {
            continue;
        }
        let without = frames(&root, root.module("prog/one")).0;
        let mut bytes = std::fs::read(root.path("common")).unwrap();
        let proof = proof(&root, more);
        let at = bytes.windows(proof.len()).position(|window| window == proof).unwrap();
        bytes[at] ^= 1;
        root.folder("share/.dwz");
        std::fs::write(root.path("share/.dwz/common.debug"), &bytes).unwrap();
        assert_eq!(frames(&root, root.module("prog/one")).0, without, "{flags} {more}");
        bytes[at] ^= 1;
        std::fs::write(root.path("share/.dwz/common.debug"), &bytes).unwrap();
        assert_ne!(frames(&root, root.module("prog/one")).0, without, "{flags} {more}");
    }
}

/// The last bytes of the linking section, which are the proof.
fn proof(root: &Root, more: &str) -> Vec<u8> {
    let section = if more.is_empty() { ".gnu_debugaltlink" } else { ".debug_sup" };
    root.run(&format!("objcopy -O binary --only-section={section} --set-section-flags {section}=alloc prog/one link"));
    let link = std::fs::read(root.path("link")).unwrap();
    link.get(link.len() - 20..).unwrap().to_vec()
}

/// Check that a debug file that is found by build id leads to the shared part, relative to itself (Debian) and by the
/// shared part's own build id.
#[test]
fn through_a_debug_file() {
    let root = Root::new();
    if !build(&root, "-gdwarf-4", "", "../../.dwz/x86_64-linux-gnu/common.debug") {
        return;
    }
    let expected = frames(&root, root.module("whole"));
    root.folder("usr/lib/debug/.build-id/ab");
    root.folder("usr/lib/debug/.dwz/x86_64-linux-gnu");
    root.run("objcopy --only-keep-debug prog/one usr/lib/debug/.build-id/ab/01.debug").unwrap();
    root.run("strip prog/one").unwrap();
    let place = root.path("usr/lib/debug/.dwz/x86_64-linux-gnu/common.debug");
    std::fs::copy(root.path("common"), &place).unwrap();
    assert_eq!(frames(&root, root.module("prog/one")), expected);
    std::fs::remove_file(place).unwrap();
    assert_ne!(frames(&root, root.module("prog/one")).0, expected.0);

    let notes = root.run("readelf -n common").unwrap();
    let id = notes.rsplit_once("Build ID: ").unwrap().1.trim();
    let (first, rest) = id.split_at(2);
    root.folder(&format!("usr/lib/debug/.build-id/{first}"));
    std::fs::copy(root.path("common"), root.path(&format!("usr/lib/debug/.build-id/{first}/{rest}.debug"))).unwrap();
    assert_eq!(frames(&root, root.module("prog/one")), expected);
}

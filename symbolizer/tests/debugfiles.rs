//! Separate debug files: by build id, by link and checksum, inside the stripped file; and the wrong ones refused.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{Root, name};
use symbolizer::{Elf, ModuleSource, Settings, Symbolizer};

/// A stripped library in `/opt/lib`, its debug file `plain.debug` beside the sources, and the address of a static
/// function. `None` when the tools are not installed.
fn stripped(root: &Root, build_id: &str) -> Option<u64> {
    root.source("plain.c");
    root.folder("opt/lib");
    root.run(&format!("gcc -g -O1 -shared -fPIC -Wl,--build-id={build_id} -o whole plain.c"))?;
    root.run("objcopy --only-keep-debug whole plain.debug")?;
    root.run("objcopy --strip-all --add-gnu-debuglink=plain.debug whole opt/lib/libplain.so")?;
    Some(root.address("whole", "leaf"))
}

/// How the static function is named with what is there now.
fn leaf(root: &Root, at: u64) -> String {
    let mut symbolizer = Symbolizer::new(Settings::default());
    let module = symbolizer.add(root.module("opt/lib/libplain.so"));
    name(&mut symbolizer, module, at)
}

const NAMED: &str = "leaf (plain.c:4)\n";
const STRIPPED: &str = "? missing: stripped\n";

/// Check that the debug file is found by build id, and that one with another build id in its place is refused.
#[test]
fn by_build_id() {
    let root = Root::new();
    let Some(at) = stripped(&root, "0xabcdef01") else { return };
    root.folder("usr/lib/debug/.build-id/ab");
    assert_eq!(leaf(&root, at), STRIPPED);
    let place = root.path("usr/lib/debug/.build-id/ab/cdef01.debug");
    std::fs::copy(root.path("plain.debug"), &place).unwrap();
    assert_eq!(leaf(&root, at), NAMED);
    root.run("gcc -g -O1 -shared -fPIC -Wl,--build-id=0xabcdef02 -o other plain.c");
    std::fs::copy(root.path("other"), &place).unwrap();
    assert_eq!(leaf(&root, at), STRIPPED);
}

/// Check that the link is followed to each of its three places, that a file without build id must have the linked
/// checksum, and that a name with a path in it is no link.
#[test]
fn by_link_and_checksum() {
    for build_id in ["0xabcdef01", "none"] {
        let root = Root::new();
        let Some(at) = stripped(&root, build_id) else { return };
        assert_eq!(leaf(&root, at), STRIPPED);
        for folder in ["opt/lib", "opt/lib/.debug", "usr/lib/debug/opt/lib"] {
            root.folder(folder);
            let place = root.path(folder).join("plain.debug");
            std::fs::copy(root.path("plain.debug"), &place).unwrap();
            assert_eq!(leaf(&root, at), NAMED, "{folder}, build id {build_id}");
            let mut longer = std::fs::read(&place).unwrap();
            longer.push(0);
            std::fs::write(&place, longer).unwrap();
            let expected = if build_id == "none" { STRIPPED } else { NAMED };
            assert_eq!(leaf(&root, at), expected, "{folder}, checksum wrong, build id {build_id}");
            std::fs::remove_file(place).unwrap();
        }
    }
}

/// Check that a file whose link names itself, or leads to a folder, a cut file or no ELF file, stays without names.
#[test]
fn links_that_lead_nowhere() {
    let root = Root::new();
    let Some(at) = stripped(&root, "none") else { return };
    let place = root.path("opt/lib/plain.debug");
    std::fs::create_dir(&place).unwrap();
    assert_eq!(leaf(&root, at), STRIPPED);
    std::fs::remove_dir(&place).unwrap();
    let whole = std::fs::read(root.path("plain.debug")).unwrap();
    for bytes in [&whole[..whole.len() / 2], &whole[..40], b"no ELF file"] {
        std::fs::write(&place, bytes).unwrap();
        assert_eq!(leaf(&root, at), STRIPPED);
    }
    std::fs::copy(root.path("opt/lib/libplain.so"), &place).unwrap();
    assert_eq!(leaf(&root, at), STRIPPED);
}

/// Check that symbols packed into the file itself are found, beside the exported ones, as Fedora builds it.
#[test]
fn packed_inside() {
    let root = Root::new();
    let Some(at) = stripped(&root, "none") else { return };
    root.run("objcopy --strip-debug -R .comment whole mini").unwrap();
    root.run("objcopy --only-keep-debug mini mini.debug").unwrap();
    if !root.try_run("xz mini.debug") {
        return;
    }
    root.run("objcopy --strip-all --add-section .gnu_debugdata=mini.debug.xz whole opt/lib/libplain.so").unwrap();
    assert_eq!(leaf(&root, at), "leaf\n");
    let mut symbolizer = Symbolizer::new(Settings::default());
    let module = symbolizer.add(root.module("opt/lib/libplain.so"));
    assert_eq!(name(&mut symbolizer, module, root.address("whole", "exported")), "exported\n");
    assert_eq!(name(&mut symbolizer, module, 0x10), "? missing: no_symbol\n");

    let mut damaged = std::fs::read(root.path("mini.debug.xz")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    std::fs::write(root.path("mini.debug.xz"), damaged).unwrap();
    root.run("objcopy --strip-all --add-section .gnu_debugdata=mini.debug.xz whole opt/lib/libplain.so").unwrap();
    assert_eq!(leaf(&root, at), STRIPPED);
}

/// Check that a file that is cut while it is in use gives reasons, not a crash: mapped, it would kill us by SIGBUS.
#[test]
fn truncated_under_us() {
    let root = Root::new();
    let Some(at) = stripped(&root, "none") else { return };
    root.run("objcopy --strip-debug whole").unwrap();
    let mut symbolizer = Symbolizer::new(Settings::default());
    let module = symbolizer.add(root.module("whole"));
    assert_eq!(name(&mut symbolizer, module, at), "leaf\n");
    let exported = root.address("whole", "exported");
    let file = std::fs::File::options().write(true).open(root.path("whole")).unwrap();
    file.set_len(5000).unwrap();
    assert_eq!(name(&mut symbolizer, module, exported), "? missing: no_symbol\n", "its name is gone");
    assert_eq!(name(&mut symbolizer, module, at), "leaf\n", "named before");
    let elf = Elf::File(std::fs::File::open(root.path("whole")).unwrap());
    let cut = ModuleSource { path: "/cut".to_owned(), build_id: None, elf, files: root.files() };
    let module = symbolizer.add(cut);
    assert_eq!(name(&mut symbolizer, module, at), "? missing: no_file\n");
}

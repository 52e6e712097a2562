"""Stacks over the functions of walk.s, each laid out by hand from what its call frame information says.

The format is that of unwinder/src/fuzz/input.rs.
"""
import pathlib
import struct
import subprocess
import sys

CODE, BIAS, STACK = 0x1000, 0x10_0000, 0x7000_0000
SEGMENTS_ONLY, BLOCKED = 1, 2
SECTIONS = (".eh_frame", ".eh_frame_hdr", ".debug_frame", ".text")

source, folder = (pathlib.Path(name) for name in sys.argv[1:])


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def link(name, *flags, directive=""):
    """The sections and symbols of walk.s."""
    pathlib.Path(f"{name}.s").write_text(directive + source.read_text())
    run("gcc", "-c", "-o", f"{name}.o", f"{name}.s")
    run("ld", "-static", "-e", "root", "-Ttext=0x1000", "--section-start=.eh_frame=0x20000",
        "--section-start=.eh_frame_hdr=0x30000", "-z", "max-page-size=4096", "--build-id=none", *flags, "-o", name,
        f"{name}.o")
    sections = {}
    for section in SECTIONS:
        out = pathlib.Path("section")
        out.unlink(missing_ok=True)
        subprocess.run(["objcopy", "--dump-section", f"{section}={out}", name, "/dev/null"], capture_output=True)
        sections[section] = out.read_bytes() if out.exists() else b""
    symbols = {row[2]: int(row[0], 16) for row in map(str.split, run("nm", name).splitlines()) if len(row) == 3}
    return sections, symbols


def words(*values):
    return b"".join(struct.pack("<Q", value) for value in values)


def put(name, linked, at, stack, bp=0, what=0, ahead=0):
    sections, symbols = linked
    parts = [sections[section] for section in SECTIONS]
    head = struct.pack("<8H", what, symbols[at] + ahead - CODE, 0, bp, *map(len, parts))
    (folder / name).write_bytes(head + b"".join(parts) + stack)


def placed(size, places):
    """A stack with words at some places and 0 elsewhere."""
    stack = bytearray(size)
    for at, values in places.items():
        stack[at:at + 8 * len(values)] = words(*values)
    return bytes(stack)


def remote(linked, name):
    return linked[1][name] + BIAS


def chain(linked):
    """leaf <- framed <- realigned <- handmade <- root"""
    r = lambda name: remote(linked, name)
    return placed(256, {
        24: [r("framed.ret")],
        48: [STACK + 120, r("realigned.ret")],
        112: [STACK + 136, STACK + 200, r("handmade.ret")],
        152: [STACK + 160, r("root.ret")],
    })


table = link("table", "--eh-frame-hdr")
index = link("index", "--no-eh-frame-hdr")
debug = link("debug", "--no-eh-frame-hdr", directive=".cfi_sections .debug_frame\n")
for name, linked in (("table", table), ("index", index), ("debug_frame", debug)):
    put(f"chain_{name}", linked, "leaf.pc", chain(linked), bp=48)
    put(f"blocked_{name}", linked, "leaf.pc", chain(linked), what=BLOCKED)
put("segments", table, "leaf.pc", chain(table), bp=48, what=SEGMENTS_ONLY)

r = lambda name: remote(table, name)
many, root, bare = r("many.ret"), r("root.ret"), r("bare.ret")
put("plt", table, "plt.pc", words(0, many, root), bp=48, ahead=11)
for name, linked in (("signal", table), ("signal_index", index)):
    put(name, linked, "leaf.pc", placed(128, {
        24: [remote(linked, "signal.ret")],
        48: [STACK + 88, STACK + 96, remote(linked, "leaf.pc")],
        112: [remote(linked, "root.ret")],
    }))
put("many", table, "leaf.pc", words(0, 0, 0, many, many, many, root))
put("vfork", table, "inregister.pc", words(0, many, root))
put("bare", table, "bare", words(0, 0, STACK + 32, bare, 0, root, 0, 0), bp=16, ahead=8)
frames = placed(96, {24: [bare], 48: [STACK + 80, bare], 80: [0, root]})
put("bare_blocked", table, "leaf.pc", frames, bp=48, what=BLOCKED)
put("bare_rbp", table, "leaf.pc", frames, bp=48)
put("start", table, "before.ret", words(many, root))
put("recursion", table, "leaf.pc", words(0, 0, 0, *[many] * 100, root))
(folder / "empty").write_bytes(bytes(16))

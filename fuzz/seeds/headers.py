"""From the seed `shared`: files without section headers, cut, and of other kinds."""
import struct
import sys

folder = sys.argv[1]
shared = bytearray(open(f"{folder}/shared", "rb").read())


def put(name, content):
    open(f"{folder}/{name}", "wb").write(content)


put("cut", shared[:700])
section_headers = struct.unpack_from("<Q", shared, 40)[0]
shared[40:48] = bytes(8)
shared[58:64] = struct.pack("<HHH", 64, 0, 0)
put("no_section_headers", shared[:section_headers])
put("header", shared[:64])
shared[4] = 1
put("bits32", shared[:64])
shared[4:6] = b"\x02\x02"
put("big_endian", shared[:64])

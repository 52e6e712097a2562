"""ClickHouse's HTTP interface on loopback in front of chDB, the whole engine as a Python module: for tests and benches.

    serve.py --data DIR [--port PORT] [--user NAME --password WORD]

Prints `http://127.0.0.1:PORT` once it serves, and ends cleanly on SIGTERM. Needs
`pip install --no-deps chdb-core==26.9.0 lz4 clickhouse-cityhash`; also runs on chdb 3.7.2 (engine 25.8).

Is faithful in SQL, types, formats, part files and what they survive; not in the shell of a real server. What that leaves
untested is in docs/clickhouse.md. `POST /control?drop=N` makes it carry out the next N inserts and hang up without an
answer: what a client sees of a server that dies between the commit and its answer.
"""

import argparse
import contextlib
import hmac
import json
import os
import re
import signal
import socket
import struct
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.block
from clickhouse_cityhash.cityhash import CityHash128

# A request larger than this, or a block of one, is refused: the machine that runs the tests has little memory.
BODY_MAX = 512 << 20
BLOCK_MAX = 64 << 20
# Answers are cut into blocks of this size before compression, as ClickHouse does.
BLOCK_OUT = 1 << 20
# A peer that sends or takes nothing for so long is cut off.
IDLE_SECONDS = 60
# Queries end after that, unless they ask for less.
QUERY_SECONDS = 120
# How long a clean end waits for what is running.
END_SECONDS = 20

# Parameters of the address that are no settings.
NO_SETTINGS = {
    "query", "database", "default_format", "compress", "decompress", "query_id", "session_id", "user", "password",
    "wait_end_of_query", "role", "buffer_size", "quota_key",
}
# The HTTP status that ClickHouse gives with a code; 500 with all others.
STATUS = {
    **dict.fromkeys((6, 25, 26, 27, 33, 36, 38, 41, 42, 43, 44, 46, 47, 53, 62, 70, 72, 73, 115, 117, 130), 400),
    **dict.fromkeys((192, 193, 194, 497, 516), 403),
    **dict.fromkeys((16, 60, 81), 404),
    **dict.fromkeys((159, 160), 408),
    48: 501,
    242: 503,
}
INSERT = re.compile(r"\s*(insert\s+into\b.*?)\s+format\s+(\w+)\s*\Z", re.IGNORECASE | re.DOTALL)
FORMAT = re.compile(r"\bformat\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
NAME = re.compile(r"\w{1,128}\Z", re.ASCII)


class Refused(Exception):
    """What is answered as ClickHouse answers: a code and its text."""

    def __init__(self, code, text, status=None):
        super().__init__(f"Code: {code}. DB::Exception: {text}")
        self.code, self.status = code, status or STATUS.get(code, 500)


def refused(error):
    """What the engine's own errors say, as a `Refused`."""
    found = re.search(r"Code: (\d+)", str(error))
    code = int(found.group(1)) if found else 1001
    one = Refused(code, "")
    one.args = (str(error),)
    return one


def checksum(block):
    low_high = CityHash128(bytes(block))
    if isinstance(low_high, tuple):
        return struct.pack("<QQ", *low_high)
    return struct.pack("<QQ", low_high >> 64, low_high & (2**64 - 1))


def frame(plain):
    """ClickHouse's own framing: checksum, method, both sizes, LZ4."""
    out = bytearray()
    for at in range(0, len(plain), BLOCK_OUT):
        piece = plain[at : at + BLOCK_OUT]
        packed = lz4.block.compress(piece, store_size=False)
        block = b"\x82" + struct.pack("<II", len(packed) + 9, len(piece)) + packed
        out += checksum(block) + block
    return bytes(out)


def unframe(framed):
    out, at = bytearray(), 0
    while at < len(framed):
        if len(framed) - at < 25:
            raise Refused(3, "Unexpected end of a compressed block", 400)
        method = framed[at + 16]
        packed, plain = struct.unpack_from("<II", framed, at + 17)
        if packed < 9 or plain > BLOCK_MAX or at + 16 + packed > len(framed) or len(out) + plain > BODY_MAX:
            raise Refused(271, "Cannot decompress: the sizes of a block do not fit", 400)
        block = framed[at + 16 : at + 16 + packed]
        if checksum(block) != framed[at : at + 16]:
            raise Refused(40, "Checksum doesn't match: corrupted data", 400)
        if method == 0x82:
            out += lz4.block.decompress(block[9:], uncompressed_size=plain)
        elif method == 0x02:
            out += block[9:]
        else:
            raise Refused(89, f"Unknown codec {method:#x}", 400)
        at += 16 + packed
    return bytes(out)


def multipart(kind, body):
    """The fields of a form: `query`, and `param_...` that are too long for an address."""
    found = re.search(r'boundary="?([^";,]+)"?', kind)
    if not found:
        raise Refused(36, "No boundary in the type of the content", 400)
    fields = {}
    for piece in body.split(b"--" + found.group(1).encode())[1:-1]:
        head, gap, value = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if not gap or not name:
            raise Refused(36, "A part of the form has no name", 400)
        fields[name.group(1).decode()] = value.removesuffix(b"\r\n").decode()
    return fields


class Engine:
    """chDB, and who is using it."""

    def __init__(self, data):
        self.data = data
        # Held to the end: with its last connection the engine itself ends.
        self.root = chdb.connect(data)
        self.running = 0
        self.idle = threading.Condition()
        # Engine 25.8 as a module dies of two queries at once.
        self.turn = contextlib.nullcontext() if hasattr(self.root, "send_insert") else threading.Lock()
        # Inserts to be carried out without an answer.
        self.drop = 0

    @contextlib.contextmanager
    def connection(self, database, settings):
        with self.idle:
            self.running += 1
        try:
            with self.turn:
                yield from self.connected(database, settings)
        finally:
            with self.idle:
                self.running -= 1
                self.idle.notify_all()

    def connected(self, database, settings):
        connection = chdb.connect(self.data)
        try:
            for name, value in settings.items():
                if not NAME.match(name):
                    raise Refused(115, f"Unknown setting '{name[:64]}'")
                connection.query("SET %s = '%s'" % (name, value.replace("\\", "\\\\").replace("'", "\\'")))
            if database:
                if not NAME.match(database):
                    raise Refused(81, "Database does not exist")
                connection.query(f"USE `{database}`")
            yield connection
        finally:
            connection.close()

    def end(self):
        with self.idle:
            self.idle.wait_for(lambda: self.running == 0, END_SECONDS)
        self.root.close()

    def insert(self, connection, sql, form, rows):
        """Rows written."""
        if hasattr(connection, "send_insert"):
            with connection.send_insert(sql, form) as insert:
                for at in range(0, len(rows), BLOCK_OUT):
                    insert.append(rows[at : at + BLOCK_OUT])
                return insert.finish().rows_written
        # Engine 25.8 as a module takes rows from a file alone.
        with tempfile.NamedTemporaryFile(suffix=".bin") as file:
            file.write(rows)
            file.flush()
            connection.query(f"{sql} FROM INFILE '{file.name}' FORMAT {form}")
            return 0

    def takes_silently(self):
        with self.idle:
            self.drop, was = max(self.drop - 1, 0), self.drop
        return was > 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    engine = None
    account = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve(b"", readonly=True)

    def do_POST(self):
        try:
            body = self.body()
        except Refused as error:
            self.close_connection = True
            return self.fail(error)
        except (ValueError, OSError):
            self.close_connection = True
            return None
        return self.serve(body, readonly=False)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            length = int(self.headers.get("Content-Length", 0))
            if not 0 <= length <= BODY_MAX:
                raise Refused(307, "The body is too large", 413)
            whole = self.rfile.read(length)
            if len(whole) < length:
                raise ValueError("the body ends early")
            return whole
        whole = bytearray()
        while True:
            length = int(self.rfile.readline(64).split(b";")[0], 16)
            if length < 0 or len(whole) + length > BODY_MAX:
                raise Refused(307, "The body is too large", 413)
            piece = self.rfile.read(length + 2)
            if len(piece) < length + 2:
                # Half an insert is none.
                raise ValueError("the body ends early")
            whole += piece[:length]
            if length == 0:
                return bytes(whole)

    def serve(self, body, readonly):
        address = urlsplit(self.path)
        given = dict(parse_qsl(address.query, keep_blank_values=True))
        try:
            if address.path == "/ping":
                return self.answer(200, b"Ok.\n")
            self.authenticate(given)
            if address.path == "/control":
                self.engine.drop = int(given.get("drop", "0"))
                return self.answer(200, b"")
            if address.path != "/":
                return self.answer(404, b"There is no handle " + address.path[:200].encode())
            return self.run(given, body, readonly)
        except Refused as error:
            return self.fail(error)
        except (BrokenPipeError, ConnectionError, socket.timeout):
            self.close_connection = True
        except Exception as error:  # The engine's are RuntimeError, ValueError and its own.
            return self.fail(refused(error))
        return None

    def authenticate(self, given):
        if not self.account:
            return
        user = self.headers.get("X-ClickHouse-User", given.get("user", "default"))
        password = self.headers.get("X-ClickHouse-Key", given.get("password", ""))
        name, word = self.account
        if user != name or not hmac.compare_digest(password.encode(), word.encode()):
            raise Refused(516, f"{user}: Authentication failed: password is incorrect, or there is no user with such name.")

    def run(self, given, body, readonly):
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            given, body = {**given, **multipart(kind, body)}, b""
        if given.get("decompress") == "1" and body:
            body = unframe(body)
        settings = {"max_execution_time": str(QUERY_SECONDS)}
        settings |= {k: v for k, v in given.items() if k not in NO_SETTINGS and not k.startswith("param_")}
        if readonly:
            settings["readonly"] = "2"
        sql = given.get("query", "")
        insert = INSERT.match(sql)
        database = given.get("database") or self.headers.get("X-ClickHouse-Database")
        with self.engine.connection(database, settings) as connection:
            if insert:
                rows = self.engine.insert(connection, insert.group(1), insert.group(2), body) if body else 0
                if self.engine.takes_silently():
                    self.close_connection = True
                    return self.connection.shutdown(socket.SHUT_RDWR)
                return self.answer(200, b"", {"X-ClickHouse-Summary": json.dumps({"written_rows": str(rows)})})
            sql += ("\n" if sql and body else "") + body.decode()
            named = FORMAT.search(sql)
            form = named.group(1) if named else given.get("default_format", "TabSeparated")
            params = {k[6:]: v for k, v in given.items() if k.startswith("param_")}
            result = connection.query(sql, form, **({"params": params} if params else {}))
            data = bytes(result.bytes() or b"") if result is not None else b""
        if given.get("compress") == "1":
            data = frame(data)
        return self.answer(200, data, {"X-ClickHouse-Format": form})

    def fail(self, error):
        self.answer(error.status, str(error).encode(), {"X-ClickHouse-Exception-Code": str(error.code)})

    def answer(self, status, data, headers=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", default="default")
    parser.add_argument("--password")
    given = parser.parse_args()

    Handler.engine = engine = Engine(os.path.abspath(given.data))
    Handler.account = (given.user, given.password) if given.password is not None else None
    server = Server(("127.0.0.1", given.port), Handler)
    # `shutdown` waits for the loop, which runs in this thread.
    end = lambda *_: threading.Thread(target=server.shutdown).start()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.socket.close()
    engine.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())

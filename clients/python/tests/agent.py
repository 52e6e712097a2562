"""A stand-in of the agent for tests: the control socket by the contract, faults on demand, and a reader of boards.

It decides by a function of the test's, gives made-up profiles, and writes down every window that it ever saw on the board
of any process that registered. It samples nothing.
"""

import json
import os
import socket
import struct
import threading
import time

KINDS = {1: "run", 2: "transaction", 3: "function", 4: "block"}
MAGIC = 0x3144_5242_4650_5353
READ_EVERY = 0.005

PROFILE = {
    "frames": [{"function": "work", "module": "shop", "filename": "shop.py", "abs_path": "/srv/shop.py", "lineno": 3, "in_app": True}],
    "stacks": [[0]],
    "samples": [
        {"elapsed_since_start_ns": "9900000", "stack_id": 0, "thread_id": "1"},
        {"elapsed_since_start_ns": "19800000", "stack_id": 0, "thread_id": "1"},
    ],
    "thread_metadata": {"1": {"name": "MainThread"}},
}


def decision(body, pid):
    """As an agent without settings of its own decides: by the code's options alone."""
    options = body["options"]
    rate = options.get("profiles_sample_rate")
    by_transaction = bool(rate) or options.get("profiles_sampler")
    session_rate = options.get("profile_session_sample_rate")
    sampled = bool(by_transaction or session_rate)
    return {
        "target": "test",
        "mode": "transaction" if by_transaction else "continuous",
        "sampled": sampled,
        "reason": None if sampled else "no profile_session_sample_rate is set",
        "options": {
            "profile_lifecycle": options.get("profile_lifecycle", "manual"),
            "profile_session_sample_rate": session_rate,
            "traces_sample_rate": options.get("traces_sample_rate"),
            "profiles_sample_rate": rate,
            "profiles_sampler": "code" if options.get("profiles_sampler") else None,
        },
        "warnings": [],
        "running": None,
    }


def decode(memory):
    """Header and windows of a board, oldest first."""
    header = dict(zip(("magic", "changes", "open", "lost", "names"), struct.unpack_from("=5Q", memory)))
    windows = []
    for offset in range(64, 64 + 255 * 64, 64):
        sequence, kind, thread, start, end = struct.unpack_from("=5Q", memory, offset)
        if sequence == 0:
            continue
        (name_at,) = struct.unpack_from("=Q", memory, offset + 56)
        name = None
        if name_at:
            at = 16384 + name_at - 1
            (length,) = struct.unpack_from("=H", memory, at)
            assert length <= 256 and at + 2 + length <= 16384 + header["names"], "a name outside of the names"
            name = memory[at + 2 : at + 2 + length].decode()
        windows.append(
            {
                "sequence": sequence,
                "kind": KINDS[kind],
                "thread": thread,
                "start": start,
                "end": end,
                "id": memory[offset + 40 : offset + 56].hex(),
                "name": name,
            }
        )
    return header, sorted(windows, key=lambda window: window["sequence"])


def whole(memory, length, address):
    """So many bytes of a process. `OSError`: it is ending, and has none any more, or a part."""
    data = os.pread(memory.fileno(), length, address)
    if len(data) < length:
        raise OSError("{} of {} bytes are there".format(len(data), length))
    return data


class Agent:
    def __init__(self, path, decide=decision):
        self.path = path
        self.decide = decide
        self.registered = []  # (pid, body)
        self.answers = {}  # of pid
        self.boards = {}  # of pid: address
        self.seen = {}  # of (pid, sequence): window
        self.headers = {}  # of pid
        self.asked = []  # ids of profiles
        self.profile_delay = 0.0
        self.profile_of = lambda id: (200, None)
        self.raw_answer = None  # bytes sent instead of any answer
        self.stall = threading.Event()  # while set, nothing is answered
        self.waiting = set()  # pids that wait for a change
        self._condition = threading.Condition()
        self._reading = threading.Lock()  # what was read last is what is kept last
        self._connections = set()
        self._listeners = []
        self._alive = True

    # Life.

    def start(self):
        self._alive = True
        # Whoever connects to the second one has its board read before that is closed: nobody needs to wait and hope that it was.
        for path, serve in ((self.path, self._serve), (self.path + ".look", self._look)):
            if os.path.exists(path):
                os.unlink(path)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(path)
            listener.listen(64)
            self._listeners.append(listener)
            threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()
        threading.Thread(target=self._read_boards, daemon=True).start()
        return self

    def kill(self):
        """As by SIGKILL: everything is closed at once, and nothing is remembered."""
        self._alive = False
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._listeners = []
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for path in (self.path, self.path + ".look"):
            if os.path.exists(path):
                os.unlink(path)
        self.answers.clear()
        self.boards.clear()
        with self._condition:
            self._condition.notify_all()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    # What a test asks.

    def change(self, pid, **keys):
        with self._condition:
            answer = dict(self.answers[pid])
            answer.update(keys)
            answer["change"] += 1
            self.answers[pid] = answer
            self._condition.notify_all()

    def windows(self, pid=None, kind=None):
        self.read_now()
        with self._reading:
            seen = list(self.seen.items())
        return [
            window
            for (of, _), window in sorted(seen, key=lambda item: (item[1]["start"], item[0]))
            if (pid is None or of == pid) and (kind is None or window["kind"] == kind)
        ]

    def wait_for(self, condition, timeout=30.0):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            result = condition()
            if result:
                return result
            time.sleep(0.01)
        raise AssertionError("waited {} s in vain".format(timeout))

    def connections(self):
        return len(self._connections)

    # The boards.

    def read_now(self):
        with self._reading:
            for pid, address in list(self.boards.items()):
                try:
                    with open("/proc/{}/mem".format(pid), "rb", buffering=0) as memory:
                        self._read(pid, memory, address)
                except (OSError, ValueError):
                    continue

    def _read(self, pid, memory, address):
        """Only what is the same twice: the process may be writing."""
        magic, changes = struct.unpack("=2Q", whole(memory, 16, address))
        known = self.headers.get(pid)
        if magic != MAGIC or (known is not None and known["changes"] == changes):
            return
        data = b""
        for _ in range(10):
            again = whole(memory, 32768, address)
            if again == data:
                break
            data = again
        else:
            return
        header, windows = decode(data)
        if header["magic"] != MAGIC:
            return
        self.headers[pid] = header
        for window in windows:
            self.seen[pid, window["sequence"]] = window

    def _read_boards(self):
        while self._alive:
            try:
                self.read_now()
            except Exception:
                if self._alive:
                    raise
            time.sleep(READ_EVERY)

    # The socket.

    def _accept(self, listener, serve):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def _look(self, connection):
        try:
            self.read_now()
        finally:
            connection.close()

    def _serve(self, connection):
        self._connections.add(connection)
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        reader = connection.makefile("rb")
        try:
            while self._alive:
                request = reader.readline().decode().split()
                if len(request) < 2:
                    return
                length = 0
                while True:
                    line = reader.readline().decode().strip().lower()
                    if not line:
                        break
                    if line.startswith("content-length:"):
                        length = int(line.split(":")[1])
                body = reader.read(length)
                while self.stall.is_set() and self._alive:
                    time.sleep(0.01)
                status, document = self._answer(pid, request[0], request[1], body)
                if self.raw_answer is not None:
                    connection.sendall(self.raw_answer)
                    continue
                content = json.dumps(document).encode()
                head = "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n".format(status, len(content))
                connection.sendall(head.encode() + content)
        except OSError:
            pass
        finally:
            self._connections.discard(connection)
            reader.close()
            connection.close()

    def _answer(self, pid, method, target, body):
        path, _, query = target.partition("?")
        asked = dict(pair.split("=") for pair in query.split("&") if pair)
        if method == "POST" and path == "/v1/self":
            return self._register(pid, json.loads(body))
        if pid not in self.answers:
            return 404, {"error": "no entry has this process"}
        if path == "/v1/self":
            return self._changed(pid, int(asked["after"]), float(asked["wait"]))
        if path.startswith("/v1/self/profiles/"):
            return self._profile(pid, path.rsplit("/", 1)[1], float(asked["wait"]))
        return 404, {"error": "no such path"}

    def _register(self, pid, body):
        self.registered.append((pid, body))
        answer = self.decide(body, pid)
        if isinstance(answer, tuple):
            return answer
        answer = dict(answer, change=answer.get("change", 1))
        self.answers[pid] = answer
        if "board" in body:
            self.boards[pid] = body["board"]["address"]
        return 200, answer

    def _changed(self, pid, after, wait):
        with self._condition:
            self.waiting.add(pid)
            self._condition.wait_for(lambda: not self._alive or pid not in self.answers or self.answers[pid]["change"] > after, wait)
            answer = self.answers.get(pid)
        return (200, answer) if answer else (404, {"error": "no entry has this process"})

    def _profile(self, pid, id, wait):
        self.asked.append(id)
        end = time.monotonic() + wait
        while True:
            window = next((w for w in self.windows(pid) if w["id"] == id), None)
            ready = window is not None and window["end"] and time.monotonic_ns() - window["end"] > self.profile_delay * 1e9
            if ready or time.monotonic() > end:
                break
            time.sleep(0.002)
        if not ready:
            return 404, {"error": "no such window"}
        status, profile = self.profile_of(id)
        if status != 200:
            return status, {"error": "fewer than two ticks", **(profile or {})}
        now, mono = time.time(), time.monotonic_ns()
        return 200, {
            "start": now - (mono - window["start"]) / 1e9,
            "end": now - (mono - window["end"]) / 1e9,
            "platform": "python",
            "cut": False,
            "ticks": 2,
            "profile": profile or PROFILE,
        }

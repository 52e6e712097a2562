"""The agent's control socket: HTTP/1.1 with JSON bodies over a unix socket, and what the agent answers.

Leaves out when to ask and what follows. Its own HTTP, because each exchange has one deadline whatever the agent does (says
nothing, a byte a second, gigabytes), and because the socket must be the operating system's under gevent too.
"""

from __future__ import annotations

import json
import os
from time import monotonic
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from sentry_profiled import native

DEFAULT_PATH = "/run/sentry-profiled/control.sock"

#: What the agent takes as a body; it answers 413 to more.
BODY_MAX = 64 * 1024
#: Of an answer that is not a profile; real ones have 1 KiB.
ANSWER_MAX = 1024 * 1024
#: Receivers of profiles take no more.
PROFILE_MAX = 50 * 1024 * 1024
_HEAD_MAX = 16 * 1024
_BACKLOG_DELAY = 0.01


class ControlError(Exception):
    """The agent could not be asked, or what it said is no answer."""


class Closed(ControlError):
    """The agent closed the connection before it answered; a kept one may have been closed while nobody used it."""


class Refused(ControlError):
    """The agent answered, but not with 200."""

    def __init__(self, status: int, error: str, hint: str) -> None:
        super().__init__("{} ({})".format(error, status) if error else "status {}".format(status))
        self.status = status
        self.error = error
        self.hint = hint


class Connection:
    """One connection, kept open between requests. For one thread at a time."""

    def __init__(self, path: str, make_socket: Callable[[], Any] = native.unix_socket) -> None:
        self.path = path
        self._make_socket = make_socket
        self._socket: Any = None
        self._unread = b""
        self._interrupted = False

    def request(self, method: str, target: str, body: bytes = b"", timeout: float = 1.0, limit: int = ANSWER_MAX) -> Tuple[int, bytes]:
        """Status and body of the answer, within `timeout` in all. Every failure is a `ControlError`."""
        deadline = monotonic() + timeout
        kept = self._socket is not None
        try:
            try:
                return self._exchange(method, target, body, deadline, limit)
            except Closed:
                if not kept:
                    raise
                self.close()
                return self._exchange(method, target, body, deadline, limit)
        except ControlError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise ControlError(str(error) or type(error).__name__) from error

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._unread = b""

    def disown(self) -> None:
        """In a forked child: lets go of the parent's connection without ending it."""
        self.close()

    def interrupt(self) -> None:
        """Called by another thread: wakes the one that waits here, and lets no request begin any more."""
        self._interrupted = True
        try:
            if self._socket is not None:
                self._socket.shutdown(2)
        except OSError:
            pass

    def _exchange(self, method: str, target: str, body: bytes, deadline: float, limit: int) -> Tuple[int, bytes]:
        if self._socket is None:
            self._connect(deadline)
        if self._interrupted:
            raise ControlError("interrupted")
        head = "{} {} HTTP/1.1\r\nhost: localhost\r\n".format(method, target)
        if body or method == "POST":
            head += "content-type: application/json\r\ncontent-length: {}\r\n".format(len(body))
        self._limit(deadline)
        try:
            self._socket.sendall(head.encode("ascii") + b"\r\n" + body)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from error
        status, headers = self._head(deadline)
        content = self._body(headers, deadline, limit)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, content

    def _connect(self, deadline: float) -> None:
        while True:
            connection = self._make_socket()
            try:
                connection.settimeout(max(0.001, deadline - monotonic()))
                connection.connect(self.path)
            except BlockingIOError:  # more processes are connecting at this moment than the agent's backlog holds
                connection.close()
                if monotonic() + _BACKLOG_DELAY >= deadline:
                    raise
                native.sleep(_BACKLOG_DELAY)
            except BaseException:
                connection.close()
                raise
            else:
                self._socket = connection
                return

    def _limit(self, deadline: float) -> None:
        left = deadline - monotonic()
        if left <= 0:
            raise ControlError("timed out")
        self._socket.settimeout(left)

    def _receive(self, deadline: float) -> bytes:
        self._limit(deadline)
        try:
            received: bytes = self._socket.recv(65536)
        except ConnectionResetError as error:
            raise Closed(str(error)) from error
        return received

    def _head(self, deadline: float) -> Tuple[int, Dict[str, str]]:
        data = self._unread
        while b"\r\n\r\n" not in data:
            received = self._receive(deadline)
            if not received:
                raise ControlError("the answer ends in its head") if data else Closed("the connection was closed")
            data += received
            if len(data) > _HEAD_MAX and b"\r\n\r\n" not in data:
                raise ControlError("the answer's head does not end")
        head, self._unread = data.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise ControlError("not an answer in HTTP/1.1")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(words[1]), headers

    def _body(self, headers: Dict[str, str], deadline: float, limit: int) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunked(deadline, limit)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            raise ControlError("an answer of {} bytes is not taken".format(length[:20]))
        return self._take(int(length), deadline)

    def _take(self, length: int, deadline: float) -> bytes:
        parts, have = [self._unread], len(self._unread)
        while have < length:
            received = self._receive(deadline)
            if not received:
                raise ControlError("the answer is cut short")
            parts.append(received)
            have += len(received)
        data = b"".join(parts)
        self._unread = data[length:]
        return data[:length]

    def _line(self, deadline: float) -> bytes:
        while b"\r\n" not in self._unread:
            if len(self._unread) > _HEAD_MAX:
                raise ControlError("a line of the answer does not end")
            received = self._receive(deadline)
            if not received:
                raise ControlError("the answer is cut short")
            self._unread += received
        line, self._unread = self._unread.split(b"\r\n", 1)
        return line

    def _chunked(self, deadline: float, limit: int) -> bytes:
        parts: List[bytes] = []
        have = 0
        while True:
            size = int(self._line(deadline).split(b";", 1)[0].strip(), 16)
            have += size
            if size < 0 or have > limit:
                raise ControlError("an answer of more than {} bytes is not taken".format(limit))
            if size == 0:
                while self._line(deadline):  # trailers
                    pass
                return b"".join(parts)
            parts.append(self._take(size, deadline))
            self._line(deadline)


class Answer(NamedTuple):
    """What the agent decided about this process."""

    target: str
    mode: str
    sampled: bool
    reason: Optional[str]
    #: `profile_lifecycle` is "trace"
    trace: bool
    profiles_sample_rate: Any
    #: `profiles_sampler` of the agent's file; None: it has none, or the code's own holds
    rules: Optional[List[Dict[str, Any]]]
    warnings: List[str]
    #: profiler id of a run that was not started by this process
    running: Optional[str]
    change: int
    #: the operator's, for a program whose code sets none
    traces_sample_rate: Optional[float] = None


def _share(value: Any) -> Optional[float]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else None


def read_answer(status: int, body: bytes) -> Answer:
    """Of `/v1/self`. Trusts nothing: an agent of another version, or another program, may sit behind the socket."""
    try:
        document = json.loads(body.decode("utf-8"))
    except ValueError:
        document = None
    if status != 200:
        said = document if isinstance(document, dict) else {}
        raise Refused(status, _text(said.get("error")) or "", _text(said.get("hint")) or "")
    if not isinstance(document, dict) or document.get("mode") not in ("continuous", "transaction", "off"):
        raise ControlError("what it says is no answer of an agent")
    options = document.get("options")
    options = options if isinstance(options, dict) else {}
    rules = options.get("profiles_sampler")
    warnings = document.get("warnings")
    change = document.get("change")
    return Answer(
        target=_text(document.get("target")) or "",
        mode=document["mode"],
        sampled=document.get("sampled") is True,
        reason=_text(document.get("reason")),
        trace=options.get("profile_lifecycle") == "trace",
        profiles_sample_rate=options.get("profiles_sample_rate"),
        rules=[rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else None,
        warnings=[w for w in warnings if isinstance(w, str)][:20] if isinstance(warnings, list) else [],
        running=_profiler_id(document.get("running")),
        change=change if isinstance(change, int) and not isinstance(change, bool) and change >= 0 else 0,
        traces_sample_rate=_share(options.get("traces_sample_rate")),
    )


def path_of(given: Optional[str]) -> str:
    return given or os.environ.get("SENTRY_PROFILED_CONTROL") or DEFAULT_PATH


def _text(value: Any) -> Optional[str]:
    return value[:1000] if isinstance(value, str) and value else None


def _profiler_id(value: Any) -> Optional[str]:
    if not isinstance(value, str) or len(value) != 32:
        return None
    return value.lower() if all(digit in "0123456789abcdefABCDEF" for digit in value) else None

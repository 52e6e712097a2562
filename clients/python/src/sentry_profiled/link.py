"""The link to the agent: registers this process, waits for what the agent says next, finds it again after its restart.

Holds the background thread, which sleeps in the kernel until the agent has something to say, and what a fork means for it.
Leaves out what follows from an answer: that is `session`.
"""

from __future__ import annotations

import os
import random
import time
from time import monotonic
from typing import Callable, List, Optional

from sentry_profiled import counters, native
from sentry_profiled.board import forked_since
from sentry_profiled.control import Answer, Connection, ControlError, Refused, read_answer
from sentry_profiled.log import logger
from sentry_profiled.session import Session

#: Seconds that the agent holds our question back while it has nothing to say; it may hold it 60, and ends connections that are
#: silent for 75.
WAIT = 50
#: Beyond `WAIT`, before an agent that says nothing is taken for dead.
GRACE = 10
#: For the answer to a registration from the background, where nobody waits for it.
REGISTER_TIMEOUT = 5.0
#: Between two tries to find an agent that is gone, in seconds: doubled each time.
BACKOFF_MIN, BACKOFF_MAX = 0.1, 30.0
#: Until an agent that does not have this process is asked again: its file may have been changed.
REFUSED_DELAY = 60.0


class Link:
    def __init__(self, session: Session, path: str, body: bytes) -> None:
        self.session = session
        self.path = path
        self.body = body
        self.pid = os.getpid()
        #: Called with each answer, in the thread that got it.
        self.on_answer: Callable[[Answer], None] = lambda answer: None
        self._connection = Connection(path)
        #: The thread that watches goes on while this is its own.
        self._watch: Optional[object] = None
        self._forked_hooks: List[Callable[[], None]] = []

    def register(self, timeout: float) -> Answer:
        """Asks within `timeout`, in the calling thread. Raises `ControlError`."""
        connection = Connection(self.path)
        try:
            return read_answer(*self._post(connection, timeout))
        finally:
            connection.close()

    def watch(self, answer: Optional[Answer]) -> bool:
        """Starts the background thread; None: it is to register first. False: no thread can be had."""
        watch = self._watch = object()
        self._connection = Connection(self.path)
        return native.start_thread(self._run, watch, self._connection, answer)

    def end(self) -> None:
        self._watch = None
        self._connection.interrupt()

    def on_fork(self, hook: Callable[[], None]) -> None:
        """`hook` is called in a forked child, before it registers."""
        self._forked_hooks.append(hook)

    def check_fork(self) -> None:
        """Notices a fork that Python was not told of (uWSGI forks in C)."""
        if forked_since(self.session.board, self.pid):
            self.forked()

    def forked(self) -> None:
        """In a forked child. Registers in the background, at once: a worker that waits for its first request is then known before
        that comes."""
        pid = os.getpid()
        if pid == self.pid:
            return
        self.pid = pid
        counters.forget()
        counters.state = "registering"
        self._connection.disown()
        self.session.forked()
        for hook in self._forked_hooks:
            hook()
        if self._watch is not None:
            self.watch(None)

    def _post(self, connection: Connection, timeout: float) -> "tuple[int, bytes]":
        return connection.request("POST", "/v1/self", self.body, timeout)

    def _run(self, watch: object, connection: Connection, answer: Optional[Answer]) -> None:
        backoff = _Backoff()
        failures = 0
        while self._watch is watch:
            asked = monotonic()
            try:
                if answer is None:
                    new = read_answer(*self._post(connection, REGISTER_TIMEOUT))
                else:
                    target = "/v1/self?after={}&wait={}".format(answer.change, WAIT)
                    new = read_answer(*connection.request("GET", target, timeout=WAIT + GRACE))
            except ControlError as error:
                if self._watch is not watch:
                    break
                known, answer = answer is not None, None
                failures += 1
                if known:
                    # It may just have been restarted: one more try before anything ends here.
                    continue
                if self.session.connected:
                    logger.info("The agent at %s is gone: %s. Nothing is profiled until it is back.", self.path, error)
                self.session.apply(None)
                native.sleep(REFUSED_DELAY if isinstance(error, Refused) and error.status == 404 else backoff.next())
                continue
            if self._watch is not watch:
                break
            if failures:
                counters.bump("reconnects")
            failures = 0
            changed = answer is None or new != answer
            if answer is not None and not changed and monotonic() - asked < 1.0:
                native.sleep(1.0)  # it answers at once, with nothing new: not in a hurry, then
            answer = new
            backoff.reset()
            if changed:
                self.session.apply(new)
                self.on_answer(new)
        connection.close()


class _Backoff:
    """Grows, with some chance in it: the workers of a server do not come back all at once."""

    def __init__(self) -> None:
        self._random = random.Random()  # the program may have seeded the global one for its own ends
        self.reset()

    def reset(self) -> None:
        self._seconds = BACKOFF_MIN

    def next(self) -> float:
        seconds = self._seconds
        self._seconds = min(BACKOFF_MAX, seconds * 2)
        return seconds * (0.75 + self._random.random() / 2)


def patiently(action: Callable[[], Answer], timeout: float) -> Answer:
    """`action()`, in a thread of its own while gevent runs the program's: this one's hub must go on."""
    if not native.is_patched():
        return action()
    results: List[object] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as error:
            results.append(error)

    if not native.start_thread(run):
        return action()
    deadline = monotonic() + timeout
    while not results and monotonic() < deadline + 0.1:
        time.sleep(0.002)  # gevent's: lets other greenlets run
    result = results[0] if results else ControlError("timed out")
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, Answer)
    return result

"""Transactions that wait for their profile: fetched from the agent in the background, then sent on to the transport.

A transaction waits at most `HOLD` seconds, and is then sent without. Leaves out what decides that a transaction is profiled
(`transaction`), and every wait of the program's threads but those in `flush`, which are there to wait.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from time import monotonic
from typing import Any, Callable, Deque, Dict, List, Optional, Set, Tuple

from sentry_profiled import counters, native
from sentry_profiled.control import PROFILE_MAX, Connection, ControlError
from sentry_profiled.log import logger

#: Seconds that a transaction waits for its profile.
HOLD = 2.0
#: Seconds after a transaction's end before its profile is asked for: the agent sees the end at its next tick, and the thread that asks
#: would only take the interpreter from the program's.
SETTLE = 0.025
#: Seconds between two looks of the thread that asks. It is not woken for each transaction: that would cost the program's thread more than
#: all the rest (40 us).
LOOK = 0.025
#: Seconds without a transaction after which it looks no more, until it is woken.
LINGER = 1.0
#: With more transactions waiting than this, a second thread asks too.
ONE_WORKER_MAX = 8
#: Transactions that may wait at once. One with 1,000 spans has about 500 KiB.
HELD_MAX = 256
#: Of the four connections that a process may have, one is the link's and one is for registering.
WORKERS = 2
#: Seconds that the agent is asked to wait for one profile before the next one's turn: a slow one must not hold up the others.
SLICE_MAX = 0.25
#: Of the time that `flush` has, the part for profiles. The rest is the transport's, which has nothing to send before.
FLUSH_SHARE = 2 / 3
_PROFILE_KEY = re.compile(rb'\A\s*\{[^{]*?"profile"\s*:\s*')

#: Counter and reason of the client report for each way in which a profile is lost.
_LOST = {
    "late": ("profiles_late", "internal_sdk_error"),
    "unreachable": ("profiles_unreachable", "internal_sdk_error"),
    "overflow": ("profiles_overflow", "queue_overflow"),
    "too short": ("profiles_too_short", "insufficient_data"),
    "no slot": ("profiles_no_slot", "buffer_overflow"),
}


class Held:
    """A transaction's envelope, and all that its profile's item needs but the profile."""

    __slots__ = ("transport", "send", "envelope", "id", "fields", "deadline")

    def __init__(self, transport: Any, send: Callable[[Any], None], envelope: Any, id: str, fields: Dict[str, Any]) -> None:
        self.transport = transport
        self.send = send
        self.envelope = envelope
        self.id = id
        self.fields = fields
        self.deadline = monotonic() + HOLD


class Attacher:
    def __init__(self, path: str) -> None:
        self.path = path
        self._connections: List[Connection] = []
        self._start_over()

    def _start_over(self) -> None:
        self._lock = native.RLock()
        #: Made when first needed: gevent may patch the program after `install()`.
        self._primitives: Optional[native.OfTheProgram] = None
        #: Wakes a thread that looks no more.
        self._queue: Any = None
        #: Those that are to be asked for. Of a fork's parent and child each has its own.
        self._waiting: Deque[Held] = deque()
        #: The transport that was woken last.
        self._awake: Any = None
        #: Whoever takes an envelope out of here sends it; nobody else does.
        self._held: Dict[int, Held] = {}
        self._workers = 0
        #: Threads that look no more.
        self._asleep: Set[object] = set()

    def forked(self) -> None:
        """In a forked child: what the parent holds, the parent sends."""
        for connection in self._connections:
            connection.disown()
        self._connections = []
        self._start_over()

    def hold(self, held: Held) -> None:
        if len(self._held) >= HELD_MAX:
            lose(held.transport, "overflow")
            held.send(held.envelope)
            return
        if held.transport is not self._awake:
            self._awake = held.transport
            _wake(held.transport)
        primitives = self._primitives or self._prepare()
        self._held[id(held)] = held
        self._waiting.append(held)
        if self._asleep:  # asked after it was noted: whoever is about to sleep looks once more
            self._queue.put(None)
        if self._workers == 0 or (self._workers < WORKERS and len(self._waiting) > ONE_WORKER_MAX):
            self._workers += 1
            connection = Connection(self.path, primitives.unix_socket)
            self._connections.append(connection)
            if not primitives.start_thread(self._run, self._queue, connection):
                # At the interpreter's end no thread can be had. `flush` comes after.
                self._workers -= 1

    def _prepare(self) -> native.OfTheProgram:
        with self._lock:
            if self._primitives is None:
                primitives = native.of_the_program()
                self._queue = primitives.queue()
                self._primitives = primitives
            return self._primitives

    def waiting(self) -> int:
        return len(self._held)

    def drain(self, transport: Any, timeout: float) -> float:
        """Waits until nothing of `transport` is held; what still is after its share of `timeout` goes without. Returns what is left of
        the time."""
        start = monotonic()
        end = start + timeout * FLUSH_SHARE
        connection: Optional[Connection] = None
        while self._of(transport) and monotonic() < end:
            if self._workers:
                time.sleep(0.002)  # gevent's, where it runs the program
                continue
            connection = connection or Connection(self.path)
            held = self._next()
            if held is None:
                break
            self._fetch(connection, held, end)
        if connection is not None:
            connection.close()
        for held in self._of(transport):
            self._release(held, None, "late")
        return max(0.0, timeout - (monotonic() - start))

    def _of(self, transport: Any) -> List[Held]:
        return [held for held in list(self._held.values()) if held.transport is transport]

    def _next(self) -> Optional[Held]:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _run(self, queue: Any, connection: Connection) -> None:
        waiting, quiet = self._waiting, 0.0
        while waiting is self._waiting:  # greenlets, unlike threads, live on in a forked child
            held = self._next()
            if held is None:
                if quiet < LINGER:
                    time.sleep(LOOK)
                    quiet += LOOK
                else:
                    self._sleep(queue, connection)
                    quiet = 0.0
                continue
            quiet = 0.0
            early = held.deadline - HOLD + SETTLE - monotonic()
            if early > 0:
                time.sleep(early)
            try:
                self._fetch(connection, held, held.deadline)
            except Exception:
                logger.debug("A transaction is sent without its profile.", exc_info=True)
                self._release(held, None, "unreachable")

    def _sleep(self, queue: Any, worker: object) -> None:
        """Until a transaction comes."""
        self._asleep.add(worker)
        try:
            if not self._waiting:
                queue.get()
        finally:
            self._asleep.discard(worker)

    def _fetch(self, connection: Connection, held: Held, deadline: float) -> None:
        """Asks once for it; what is not ready goes back into the queue."""
        if id(held) not in self._held:  # `drain` sent it meanwhile
            return
        asked = monotonic()
        left = min(held.deadline, deadline) - asked
        if left <= 0:
            self._release(held, None, "late")
            return
        wait = min(left, SLICE_MAX, 1.0 / (1 + len(self._waiting)))
        target = "/v1/self/profiles/{}?wait={:.3f}".format(held.id, wait)
        try:
            status, body = connection.request("GET", target, timeout=left, limit=PROFILE_MAX)
        except ControlError as error:
            late = monotonic() >= min(held.deadline, deadline) - 0.01
            logger.debug("A transaction is sent without its profile: %s.", error)
            self._release(held, None, "late" if late else "unreachable")
            return
        if status == 200:
            self._release(held, body, "unreachable")
        elif status == 410:
            self._release(held, None, "overflow" if _was_dropped(body) else "too short")
        elif status == 404:
            if monotonic() - asked < wait / 2:  # it does not wait: it may not have seen the window yet
                time.sleep(min(0.02, left))
            self._waiting.append(held)
        else:
            self._release(held, None, "unreachable")

    def _release(self, held: Held, answer: Optional[bytes], otherwise: str) -> None:
        """Sends it, with its profile if `answer` has one, else counted as lost by `otherwise`. The first to come does it."""
        if self._held.pop(id(held), None) is None:
            return
        payload = None
        if answer is not None:
            try:
                payload = profile_payload(answer, held.fields)
            except Exception:
                logger.debug("What the agent gave for a profile is none.", exc_info=True)
        try:
            if payload is None:
                lose(held.transport, otherwise)
            else:
                _insert(held.envelope, payload)
                counters.bump("profiles_attached")
            _refresh(held.envelope)
        except Exception:
            logger.debug("A transaction is sent without its profile.", exc_info=True)
        try:
            held.send(held.envelope)
        except Exception:
            logger.debug("The transport does not take a transaction.", exc_info=True)


def _was_dropped(refusal: bytes) -> bool:
    """Whether the agent had a profile, or could have, and had no room or no time for it."""
    try:
        return "dropped" in json.loads(refusal.decode("utf-8"))
    except ValueError:
        return False


def _wake(transport: Any) -> None:
    """Has the transport start its thread now, as it does when it is given something: when the profile has come, the program may be at
    its end, where no thread can be started any more (Python 3.12)."""
    from sentry_sdk.worker import BackgroundWorker

    worker = getattr(transport, "_worker", None)
    if isinstance(worker, BackgroundWorker):
        try:
            worker.start()
        except Exception:
            logger.debug("The transport's thread cannot be started ahead of time.", exc_info=True)


def lose(transport: Any, how: str) -> None:
    """Counts a profile that is not to be, here and in the SDK's client report."""
    counter, reason = _LOST[how]
    counters.bump(counter)
    try:
        if transport is not None:
            transport.record_lost_event(reason, data_category="profile")
    except Exception:  # a transport of the program's own
        logger.debug("The transport takes no client report.", exc_info=True)


def profile_payload(answer: bytes, fields: Dict[str, Any]) -> bytes:
    """The item of sample format v1: our fields, and the agent's `profile` as it came."""
    times, profile = _split(answer)
    fields = dict(fields)
    transaction = dict(fields["transactions"][0])
    transaction["relative_end_ns"] = str(max(0, int((float(times["end"]) - float(times["start"])) * 1e9)))
    fields["transactions"] = [transaction]
    return json.dumps(fields).encode("utf-8")[:-1] + b', "profile": ' + profile + b"}"


def _split(answer: bytes) -> Tuple[Dict[str, Any], bytes]:
    """The agent's answer without its `profile`, and that as it came: parsing it would hold the interpreter's lock for the program's
    threads to feel (100 ms for 10 MB)."""
    found = _PROFILE_KEY.match(answer)
    if found is not None:
        # Nothing else in the answer has braces: the profile goes from the first one after its key to the last but one.
        start, end = found.end(), answer.rfind(b"}", 0, answer.rfind(b"}")) + 1
        try:
            rest = json.loads((answer[:start] + b"null" + answer[end:]).decode("utf-8"))
            if isinstance(rest, dict) and answer[start : start + 1] == b"{" and end > start + 2:
                return rest, answer[start:end]
        except ValueError:
            pass
    document = json.loads(answer.decode("utf-8"))
    profile = document.pop("profile")
    if not isinstance(profile, dict) or not profile.get("samples"):
        raise ValueError("a profile without samples")
    return document, json.dumps(profile).encode("utf-8")


def _insert(envelope: Any, payload: bytes) -> None:
    from sentry_sdk.envelope import Item, PayloadRef

    item = Item(payload=PayloadRef(bytes=payload), type="profile", content_type="application/json")
    envelope.items.insert(0, item)  # as the SDK has it: in front of its transaction


def _refresh(envelope: Any) -> None:
    """The time of sending, by which a receiver sets a wrong clock right."""
    from datetime import datetime, timezone

    if "sent_at" in envelope.headers:
        envelope.headers["sent_at"] = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

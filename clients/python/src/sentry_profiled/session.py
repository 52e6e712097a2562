"""What is profiled in this process, and under which id: from what the program wants and what the agent allows.

Holds runs, root spans, and functions and blocks, and notes them on the board. Leaves out how the agent is asked (`link`),
transactions' own profiles (`attach`) and everything of sentry-sdk (`sdk`).

Any thread may call in at any moment, and so may a signal handler or the garbage collector in the middle of such a call. So
one lock guards all of it; a thread that comes in again while it holds the lock leaves its note for its own outer call
to take, instead of waiting for itself for ever.
"""

from __future__ import annotations

import random
from collections import deque
from time import monotonic_ns
from typing import Any, Callable, Deque, Dict, Optional, Tuple

from sentry_profiled import board as boards
from sentry_profiled import counters, native
from sentry_profiled.board import Board, Window
from sentry_profiled.control import Answer
from sentry_profiled.log import logger

#: A root span that begins this soon after the last one ended goes on under its profiler id. It is about a tick: the SDK's
#: own profiler, too, only notices at its next tick that nothing is open.
RUN_REUSE_NS = 10_000_000
#: The same for functions and blocks: one called in a loop would else open a new id, and with it a chunk of its own, each time.
BLOCK_REUSE_NS = 1_000_000_000

_UUID4_MASK = ~((0xF << 76) | (0x3 << 62))
_UUID4_BITS = (0x4 << 76) | (0x2 << 62)


class Session:
    def __init__(self, board: Board) -> None:
        self.board = board
        #: What the agent decided; None: it has not answered (yet), as in a child that has just been forked.
        self.answer: Optional[Answer] = None
        self.connected = False
        self.mode = "off"
        #: What spans of every thread are stamped with.
        self.run_id: Optional[str] = None
        #: start_profiler() was called, and stop_profiler() was not.
        self.wanted = False
        self.trace = False
        self._start_over()

    def _start_over(self) -> None:
        self._lock = native.RLock()
        self._busy = False
        self._deferred: Deque[Tuple[Callable[[Any], None], Any]] = deque()
        self._random = random.Random()
        self._allowed = False
        #: Id of a run that the agent, or its operator, started.
        self._foreign: Optional[str] = None
        self._roots = 0
        self._run: Optional[Window] = None
        self._last_run: Tuple[str, int] = ("", 0)
        #: Open functions and blocks under the id in `_last_block`, which is theirs alone and no run's.
        self._calls = 0
        self._last_block: Tuple[str, int] = ("", 0)
        #: Open windows of functions and blocks, the first one first, and in which thread; how many in each thread.
        self._marks: Dict[Window, int] = {}
        self._marked: Dict[int, int] = {}
        #: What spans of those threads are stamped with while nothing runs.
        self._marks_id: Optional[str] = None

    # What the agent says.

    def apply(self, answer: Optional[Answer]) -> None:
        """An answer came. None: the agent is gone, or no longer has this process; what runs ends until it is back."""
        self._do(self._apply, answer)

    def forked(self) -> None:
        """In a forked child: forgets what the parent had open. A run that the program started goes on here under an id of its
        own, once the agent has answered: whoever starts it in a server's master means the workers."""
        self.board.clear()
        self.answer, self.connected, self.run_id = None, False, None
        self._start_over()

    # What the program wants.

    def start(self) -> None:
        self._do(self._start)

    def stop(self) -> None:
        self._do(self._stop)

    def open_root(self) -> "Root":
        root = Root(self)
        self._do(self._open_root, root)
        return root

    def open_window(self, kind: int) -> Window:
        """Under a new id. Not noted (its `base` is 0) if no slot was free."""
        window = Window(kind, self.mint())
        self._do(self._begin, window)
        return window

    def close_window(self, window: Window) -> None:
        if window.open:
            window.open = False
            self._do(self.board.end, window)

    def open_call(self, kind: int, name: str, runs: bool = True) -> Optional["Call"]:
        """A function or block begins, to be resumed later unless it `runs`. None: nothing here is profiled now."""
        if not self._allowed:
            return None
        call = Call(self, kind, name)
        self._do(self._open_and_resume if runs else self._open_call, call)
        return call

    def profiler_id(self) -> Optional[str]:
        """What a span that begins now, in this thread, is stamped with."""
        run_id = self.run_id
        if run_id is not None or not self._marked:
            return run_id
        return self._marks_id if native.get_ident() in self._marked else None

    def mint(self) -> str:
        """A new id, as uuid4 makes them, which asks the kernel each time."""
        return "%032x" % (self._random.getrandbits(128) & _UUID4_MASK | _UUID4_BITS)

    # With the lock held.

    def _do(self, operation: Callable[[Any], Any], argument: Any = None) -> None:
        with self._lock:
            if self._busy or self._deferred:  # we are in the middle of another note of this very thread
                self._deferred.append((operation, argument))
                if not self._busy:
                    self._do_deferred()
                return
            self._busy = True
            try:
                operation(argument)
            except Exception:  # nothing of this may reach the program
                logger.debug("A note failed.", exc_info=True)
            finally:
                self._busy = False
                if self._deferred:
                    self._do_deferred()

    def _do_deferred(self) -> None:
        while self._deferred:
            self._busy = True
            try:
                operation, argument = self._deferred.popleft()
                operation(argument)
            except Exception:  # not least IndexError: a signal handler came just before, and did them all
                logger.debug("A note failed, or was made before.", exc_info=True)
            finally:
                self._busy = False

    def _apply(self, answer: Optional[Answer]) -> None:
        self.connected = answer is not None
        if answer is not None:
            self.answer = answer
            self.mode = answer.mode
            self.trace = answer.trace
            counters.state = answer.mode
        else:
            counters.state = "agent lost"
        self._foreign = answer.running if answer is not None else None
        self._allowed = answer is not None and answer.mode == "continuous" and answer.sampled
        self._settle()

    def _start(self, _: Any) -> None:
        self.wanted = True
        self._settle()

    def _stop(self, _: Any) -> None:
        self.wanted = False
        self._settle()

    def _open_root(self, root: "Root") -> None:
        root.generation = self.board.generation
        self._roots += 1
        if self._run is None:
            self._settle()

    def _close_root(self, root: "Root") -> None:
        if root.generation != self.board.generation:  # closed before, or it is a forked parent's
            return
        root.generation = 0
        self._roots -= 1
        if self._roots == 0:
            self._settle()

    def _begin(self, window: Window) -> None:
        self.board.begin(window)

    def _settle(self) -> None:
        """Opens or closes the run, so that it is open if and only if it should be."""
        run = self._run
        if self._allowed and (self._roots > 0 if self.trace else self.wanted):
            if run is None:
                run = Window(boards.RUN, self._id_of_a_run())
                if self.board.begin(run):
                    self._run = run
                else:
                    run = None
        elif run is not None:
            self._last_run = (run.id, self.board.end(run))
            self._run = run = None
        # The agent's own comes first: so it is in the samples, too.
        self.run_id = self._foreign or (run.id if run is not None else None)

    def _id_of_a_run(self) -> str:
        if self._foreign is not None:  # it is profiled already: the program's start adds nothing but its own end
            return self._foreign
        id, ended = self._last_run
        return id if self.trace and id and monotonic_ns() - ended < RUN_REUSE_NS else self.mint()

    def _open_call(self, call: "Call") -> None:
        if self.run_id is not None:
            call.id = self.run_id
        elif self._marks_id is not None:
            call.id = self._marks_id
        else:
            id, ended = self._last_block
            if self._calls == 0 and monotonic_ns() - ended > BLOCK_REUSE_NS:
                id = self.mint()
                self._last_block = (id, 0)
            call.id = id
        if call.id == self._last_block[0]:
            self._calls += 1
        call.generation = self.board.generation

    def _open_and_resume(self, call: "Call") -> None:
        self._open_call(call)
        self._resume(call)

    def _resume(self, call: "Call") -> None:
        if call.generation != self.board.generation or call.window is not None:
            return
        thread = native.get_ident()
        window = Window(call.kind, call.id, thread, call.name)
        if self.board.begin(window):
            call.window = window
            self._marks[window] = thread
            self._marked[thread] = self._marked.get(thread, 0) + 1
            self._settle_marks()

    def _suspend(self, call: "Call") -> None:
        window = call.window
        if window is None or call.generation != self.board.generation:
            return
        call.window = None
        self.board.end(window)
        thread = self._marks.pop(window)
        self._marked[thread] -= 1
        if self._marked[thread] == 0:
            del self._marked[thread]
        self._settle_marks()

    def _settle_marks(self) -> None:
        """Without a run, all that is marked is told under the id of the first."""
        self._marks_id = next(iter(self._marks)).id if self._marks else None

    def _close_call(self, call: "Call") -> None:
        self._suspend(call)
        if call.generation == self.board.generation and call.id == self._last_block[0]:
            self._calls -= 1
            self._last_block = (call.id, monotonic_ns())
        call.generation = 0


class Root:
    """A root span that is open. Stands where sentry-sdk has its `ContinuousProfile`."""

    __slots__ = ("_session", "_open", "generation")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open = True
        self.generation = 0

    def stop(self) -> None:
        """The root span ended; the second call does nothing."""
        if self._open:
            self._open = False
            self._session._do(self._session._close_root, self)

    def __del__(self) -> None:
        """It was thrown away unfinished."""
        try:
            self.stop()
        except Exception:  # the interpreter may be half gone
            pass


class Call:
    """A call of a profiled function, or a block: profiled in the thread and for the time in which it really runs."""

    __slots__ = ("_session", "kind", "name", "id", "window", "generation")

    def __init__(self, session: Session, kind: int, name: str) -> None:
        self._session = session
        self.kind = kind
        self.name = name
        self.id = ""
        self.window: Optional[Window] = None
        self.generation = 0

    def resume(self) -> None:
        self._session._do(self._session._resume, self)

    def suspend(self) -> None:
        self._session._do(self._session._suspend, self)

    def close(self) -> None:
        self._session._do(self._session._close_call, self)

    def __del__(self) -> None:
        """It was thrown away open: a block that was entered and never left, or an exception (Ctrl-C) just after it began."""
        try:
            if self.generation:
                self.close()
        except Exception:  # the interpreter may be half gone
            pass

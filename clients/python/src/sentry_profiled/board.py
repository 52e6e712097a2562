"""The board: memory of this process in which windows of time are noted, for the agent to read from outside.

Holds the layout and the order of the stores. Leaves out why a window begins or ends (that is `session`) and every lock:
whoever writes here holds the session's. The layout is the agent's, word for word: `docs/control.md`.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections import deque
from struct import Struct
from time import monotonic_ns
from typing import Deque, Dict, Optional

from sentry_profiled import counters

VERSION = 1
SIZE = 32768
MAGIC = 0x3144_5242_4650_5353  # "SSPFBRD1"

# Indices of 8-byte words.
_CHANGES, _OPEN, _LOST, _NAMES = 1, 2, 3, 4
_SLOTS = 8
_SLOT_WORDS = 8
_SLOT_COUNT = 255
_NAMES_AT = 16384
#: Of one name, in bytes of UTF-8.
NAME_MAX = 256
#: What a window is called when there is no room for its own name: one without any would not be told. Its room is kept free.
MORE_NAMES = "(more names)"

RUN, TRANSACTION, FUNCTION, BLOCK = 1, 2, 3, 4

#: linux/mman.h: a forked child finds zeroes here (Linux 4.14). Then not even a fork that Python does not hear of, as uWSGI's,
#: lets the child's board show its parent's windows.
_MADV_WIPEONFORK = 18

_read_id = Struct("=QQ").unpack
_NAME_LENGTH = Struct("=H")


class Window:
    """A window of time: made by the thread that opens it, noted by `Board.begin`."""

    __slots__ = ("kind", "id", "thread", "name", "start", "open", "base", "generation")

    def __init__(self, kind: int, id: str, thread: int = 0, name: Optional[str] = None, start: int = 0) -> None:
        self.kind = kind
        self.id = id
        self.thread = thread
        self.name = name
        self.start = start or monotonic_ns()
        self.open = True
        #: Its slot's first word; 0: not noted (yet, or any more).
        self.base = 0
        #: Which board of this process's line of forks it is on.
        self.generation = 0


class Board:
    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.wiped_on_fork = False
        try:
            self._memory.madvise(_MADV_WIPEONFORK)
            self.wiped_on_fork = True
        except (AttributeError, OSError, ValueError):  # Python 3.7; older kernels
            pass
        #: Each assignment is one 8-byte store.
        self.words = memoryview(self._memory).cast("Q")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self.generation = 1
        self._changes = 0
        self._start_over()

    def clear(self) -> None:
        """In a forked child: nothing of the parent's stays."""
        self.words[0] = 0
        self._memory[8:SIZE] = bytes(SIZE - 8)
        self.generation += 1
        self._changes += 1
        self._start_over()

    def _start_over(self) -> None:
        self._sequence = 0
        self._lost = 0
        #: First the slots that were never used, then in the order in which their windows ended: the front is what to take.
        self._free: Deque[int] = deque(range(_SLOTS, _SLOTS + _SLOT_COUNT * _SLOT_WORDS, _SLOT_WORDS))
        self._names: Dict[str, int] = {}
        self._names_end = 0
        self.words[_CHANGES] = self._changes
        self.words[0] = MAGIC

    def begin(self, window: Window) -> bool:
        """Notes a window. False: no slot was free, and the agent does not know of it."""
        words = self.words
        if not self._free:
            self._lost += 1
            words[_LOST] = self._lost
            words[_CHANGES] = self._changes = self._changes + 1
            counters.bump("windows_lost")
            return False
        name = self._name(window.name) if window.name else 0
        base = self._free.popleft()
        sequence = self._sequence = self._sequence + 1
        # The sequence is 0 while the rest is neither the old window nor the new one.
        words[base] = 0
        words[base + 1] = window.kind
        words[base + 2] = window.thread
        words[base + 3] = window.start
        words[base + 4] = 0
        words[base + 5], words[base + 6] = _read_id(bytes.fromhex(window.id))
        words[base + 7] = name
        words[base] = sequence
        window.base = base
        window.generation = self.generation
        words[_OPEN] = _SLOT_COUNT - len(self._free)
        words[_CHANGES] = self._changes = self._changes + 1
        return True

    def end(self, window: Window) -> int:
        """Notes that a window ended, and says when: 0 if it is not on this board, or ended before."""
        base = window.base
        if base == 0 or window.generation != self.generation:
            return 0
        window.base = 0
        words = self.words
        now = monotonic_ns()
        words[base + 4] = now
        self._free.append(base)
        words[_OPEN] = _SLOT_COUNT - len(self._free)
        words[_CHANGES] = self._changes = self._changes + 1
        return now

    def noted(self) -> int:
        """How many windows there were so far."""
        return self._sequence

    def _name(self, name: str) -> int:
        """Its offset among the names plus one."""
        known = self._names.get(name)
        if known is not None:
            return known
        encoded = name.encode("utf-8", "replace")
        if len(encoded) > NAME_MAX:  # cut between characters
            encoded = encoded[:NAME_MAX].decode("utf-8", "ignore").encode("utf-8")
        offset = self._names_end
        end = offset + _NAME_LENGTH.size + len(encoded)
        reserved = 0 if name == MORE_NAMES else _NAME_LENGTH.size + len(MORE_NAMES)
        if end > SIZE - _NAMES_AT - reserved:
            counters.bump("names_lost")
            return self._name(MORE_NAMES)
        self._memory[_NAMES_AT + offset : _NAMES_AT + end] = _NAME_LENGTH.pack(len(encoded)) + encoded
        self._names_end = end
        self.words[_NAMES] = end
        self._names[name] = offset + 1
        return offset + 1


def forked_since(board: Board, pid: int) -> bool:
    """Whether this process is a forked child that nobody told of its birth; cheap, asked often."""
    if board.wiped_on_fork:
        return bool(board.words[0] != MAGIC)
    return os.getpid() != pid



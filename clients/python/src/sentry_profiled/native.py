"""The interpreter's own threads, locks and sockets, also where gevent has put its own in their place.

Our background threads must be threads of the operating system: as greenlets they would run in the hub's thread, and their
waits would have to go through the hub. And a window names the thread that the agent sees, which is not the greenlet.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Callable, NamedTuple

import _socket

try:
    from _queue import SimpleQueue  # the C type itself; gevent replaces `queue.SimpleQueue`
except ImportError:  # pragma: no cover - interpreters other than CPython
    from queue import SimpleQueue

__all__ = ["RLock", "SimpleQueue", "get_ident", "is_patched", "of_the_program", "sleep", "start_thread", "unix_socket"]

#: What the kernel shows as our threads' name; it keeps 15 bytes.
_THREAD_NAME = b"sentry_profiled"


def _original(module: str, name: str) -> Any:
    """`module.name` as it was before gevent patched it, whether it has done so or is yet to."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        try:
            return monkey.get_original(module, name)
        except Exception:
            pass
    return getattr(importlib.import_module(module), name)


RLock: Callable[[], Any] = _original("_thread", "RLock")
get_ident: Callable[[], int] = _original("_thread", "get_ident")
sleep: Callable[[float], None] = _original("time", "sleep")
_start_new_thread = _original("_thread", "start_new_thread")


def unix_socket() -> _socket.socket:
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)


def is_patched() -> bool:
    """Whether the program's threads are greenlets, so that its waits must go through gevent's hub."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


class OfTheProgram(NamedTuple):
    """The same as the program has them: under gevent greenlets, and sockets and queues that wait in the hub."""

    start_thread: Callable[..., bool]
    unix_socket: Callable[[], Any]
    queue: Callable[[], Any]


def of_the_program() -> OfTheProgram:
    """For threads that call into the program: what they call may take locks of gevent's, which only its hub may wait for."""
    if not is_patched():
        return OfTheProgram(start_thread, unix_socket, SimpleQueue)
    import _thread
    import queue
    import socket

    def start_greenlet(target: Callable[..., None], *args: Any) -> bool:
        _thread.start_new_thread(target, args)
        return True

    return OfTheProgram(start_greenlet, lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), queue.SimpleQueue)


def start_thread(target: Callable[..., None], *args: Any) -> bool:
    """Runs `target` in a thread that does not keep the process from exiting. False: no thread can be had (any more).

    Not a `threading.Thread`: sentry-sdk, and others, patch those to carry the starting request's scope into the new
    thread, which would hold that request's objects for as long as the thread lives.
    """
    try:
        _start_new_thread(_run, (target, args))
    except (RuntimeError, MemoryError):
        return False
    return True


def _run(target: Callable[..., None], args: Any) -> None:
    try:
        name = os.open("/proc/thread-self/comm", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(name, _THREAD_NAME)
        finally:
            os.close(name)
    except OSError:
        pass
    try:
        target(*args)
    except BaseException:
        # Nobody waits for this thread, and a traceback on the program's stderr would help nobody.
        try:
            from sentry_profiled.log import logger

            logger.debug("A background thread ended early.", exc_info=True)
        except BaseException:
            pass

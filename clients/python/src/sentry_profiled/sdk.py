"""Installing, and this process's session with the agent: got when a client is made, given up when there is no agent.

Leaves out what is replaced in sentry-sdk for that (`patches`, `scheduler`).
"""

from __future__ import annotations

import os
import threading
from typing import Any, Dict, Optional, Tuple

import sentry_sdk
from sentry_sdk import tracing_utils
from sentry_sdk.profiler import continuous_profiler, transaction_profiler

from sentry_profiled import __version__, counters, options
from sentry_profiled.attach import Attacher
from sentry_profiled.board import SIZE, VERSION, Board
from sentry_profiled.control import Answer, ControlError, Refused, path_of
from sentry_profiled.link import Link, patiently
from sentry_profiled.log import logger, mark_said, warn_once
from sentry_profiled.scheduler import TRANSACTION_MODE, Scheduler
from sentry_profiled.session import Session

_lock = threading.RLock()
_installed: Optional["Installed"] = None


def install(control: Optional[str] = None, timeout: float = 1.0) -> None:
    global _installed
    with _lock:
        if _installed is not None:
            return
        from sentry_profiled import patches

        installed = Installed(path_of(control), timeout)
        patches.apply(installed)
        _installed = installed
        counters.state = "waiting for init"
        os.register_at_fork(after_in_child=_forked)
        client = sentry_sdk.get_client()
        if client.is_active():
            _adopt_late(installed, client, patches.default_options())
            if installed.adopted:
                patches.hook_transport(installed.attacher, client.transport)


def current() -> Optional[Session]:
    """The session with the agent, if there is one."""
    installed = _installed
    if installed is None or not installed.adopted or installed.link is None:
        return None
    installed.link.check_fork()
    return installed.session


def noted_and_held() -> Tuple[int, int]:
    """Windows noted so far, and transactions that wait right now."""
    if _installed is None:
        return 0, 0
    session = _installed.session
    return session.board.noted() if session is not None else 0, _installed.attacher.waiting()


def streaming_traces() -> Any:
    """The module of streamed spans, if this client streams; only the newest releases have it."""
    if _installed is None or not _installed.streaming:
        return None
    from sentry_sdk import traces

    return traces


class Installed:
    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._session: Optional[Session] = None
        #: Once there was an agent.
        self.session: Optional[Session] = None
        self.link: Optional[Link] = None
        self.attacher = Attacher(path)
        #: The agent has this process: the SDK's own profiler must not run.
        self.adopted = False
        #: Of the client that was registered last.
        self.streaming = False
        self.sampler: Any = None

    def adopt(self, given: Dict[str, Any], client_options: Dict[str, Any]) -> bool:
        """Registers a client's options. False: there is no agent for this process, and the SDK is to do as it would."""
        with _lock:
            try:
                self._register(given, client_options)
            except Refused as error:
                self._let_go()
                where = "The agent at {} does not profile this process: {}.".format(self.path, error)
                hint = error.hint or "Add a target to its settings that has this process."
                warn_once("no agent", "%s Sentry's own profiler is used instead. %s", where, hint)
            except Exception as error:
                self._let_go()
                if not isinstance(error, ControlError):
                    logger.debug("Cannot register.", exc_info=True)
                warn_once(
                    "no agent",
                    "No agent answers at %s (%s). Sentry's own profiler is used instead. Start `sentry-profiled daemon`, or set "
                    "SENTRY_PROFILED_CONTROL to the path of its socket.",
                    self.path,
                    error,
                )
            return self.adopted

    def _register(self, given: Dict[str, Any], client_options: Dict[str, Any]) -> None:
        # Kept even if the agent refuses: it knows the address from then on, and must not find something else there.
        session = self._session = self._session or Session(Board())
        board = {"version": VERSION, "address": session.board.address, "size": SIZE}
        body = options.body(given, client_options, sentry_sdk.VERSION, __version__, board)
        link = Link(session, self.path, body)
        answer = patiently(lambda: link.register(self.timeout), self.timeout)
        self._take_over(session)
        self.session, self.link, self.adopted = session, link, True
        self.streaming = _streams(client_options)
        self.sampler = client_options.get("profiles_sampler")
        link.on_answer = lambda answer: _tell(answer, given, self.streaming)
        session.apply(answer)
        link.on_answer(answer)
        rate = answer.traces_sample_rate
        if rate is not None and client_options.get("traces_sample_rate") is None and client_options.get("traces_sampler") is None:
            # The operator's, where the code says nothing: without traces neither lifecycle trace nor transactions have anything to profile.
            client_options["traces_sample_rate"] = rate
        scheduler = Scheduler(session, link, client_options)
        setattr(continuous_profiler, "_scheduler", scheduler)  # noqa: B010
        link.on_fork(self.attacher.forked)
        link.on_fork(scheduler.forked)
        link.watch(answer)

    def _take_over(self, session: Session) -> None:
        """What an earlier client had running ends, as it does in the SDK; its samples so far are sent."""
        if self.link is not None:
            self.link.end()
            session.stop()
        old = continuous_profiler._scheduler
        if old is not None and not isinstance(old, Scheduler):
            old.teardown()
        transaction_profiler.teardown_profiler()

    def _let_go(self) -> None:
        self.adopted = False
        if isinstance(continuous_profiler._scheduler, Scheduler):
            continuous_profiler._scheduler = None
        if self.link is not None and self.session is not None:
            self.link.end()
            self.session.apply(None)
        self.link = None
        counters.state = "sdk"


def _adopt_late(installed: Installed, client: Any, defaults: Dict[str, Any]) -> None:
    """`init` came before `install`: the SDK's own profiler may be at work, and the program expects it to go on."""
    old = continuous_profiler._scheduler
    was_running = bool(old is not None and old.running and old.lifecycle == "manual")
    if installed.adopt(options.given_before(client.options, defaults), client.options) and was_running:
        continuous_profiler.start_profiler()


def _forked() -> None:
    """In a forked child, before any of its code runs."""
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it
    try:
        if _installed is not None and _installed.link is not None:
            _installed.link.forked()
    except Exception:
        logger.debug("The forked child is not profiled.", exc_info=True)


def _tell(answer: Answer, given: Dict[str, Any], streaming: bool) -> None:
    """The agent's warnings, and ours about what the code asks for in vain."""
    for warning in answer.warnings:
        if "profile_session_sample_rate" in warning and answer.mode == "transaction":
            mark_said(TRANSACTION_MODE[0])
        warn_once("agent: " + warning, "%s", warning)
    if answer.mode != "transaction":
        return
    if given.get("profile_session_sample_rate"):
        warn_once(*TRANSACTION_MODE)
    if streaming:
        warn_once(
            "streaming",
            'Profiles of transactions have no effect with trace_lifecycle="stream", which has no transactions. Set '
            "profile_session_sample_rate instead.",
        )


def _streams(client_options: Dict[str, Any]) -> bool:
    enabled = getattr(tracing_utils, "has_span_streaming_enabled", None)
    return enabled is not None and bool(enabled(client_options))

"""What sentry-sdk asks in place of its own `ContinuousScheduler`: it samples nothing, it passes on to the session.

sentry-sdk keeps its continuous profiler in `continuous_profiler._scheduler` and asks that for everything: start and stop, the
root spans of lifecycle "trace", the id for spans. So an object of ours in that place is enough, and works for functions that a
program imported before.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from sentry_profiled.link import Link
from sentry_profiled.log import warn_once
from sentry_profiled.session import Root, Session

#: Kind and sentence of the warning about what has no effect in mode "transaction".
TRANSACTION_MODE = (
    "both modes",
    "profiles_sample_rate or profiles_sampler is set, so transactions are profiled; profile_session_sample_rate, start_profiler() and "
    "stop_profiler() have no effect.",
)


class Scheduler:
    mode = "sentry-profiled"

    def __init__(self, session: Session, link: Link, client_options: Dict[str, Any]) -> None:
        self._session = session
        self._link = link
        self._auto_start = bool((client_options.get("_experiments") or {}).get("continuous_profiling_auto_start"))
        #: Once a process, as in the SDK.
        self._auto_started = False

    @property
    def sampled(self) -> bool:
        answer = self._session.answer
        return answer is not None and answer.mode == "continuous" and answer.sampled

    @property
    def lifecycle(self) -> str:
        return "trace" if self._session.trace else "manual"

    @property
    def running(self) -> bool:
        return self._session.run_id is not None

    @property
    def profiler_id(self) -> Optional[str]:
        self._link.check_fork()
        return self._session.profiler_id()

    def is_auto_start_enabled(self) -> bool:
        return self._auto_start and not self._auto_started and not self._session.trace

    def auto_start(self) -> Optional[Root]:
        """A sampled root span begins."""
        session = self._session
        if not session.trace or session.mode != "continuous":
            return None
        self._link.check_fork()
        return session.open_root()

    def manual_start(self) -> None:
        self._link.check_fork()
        self._auto_started = True
        why = self._why_not()
        if why is not None:
            warn_once(*why)
        self._session.start()

    def manual_stop(self) -> None:
        self._link.check_fork()
        self._session.stop()

    teardown = manual_stop

    def forked(self) -> None:
        self._auto_started = False

    def _why_not(self) -> Optional[Tuple[str, ...]]:
        """Kind and sentence of the warning, if starting has no effect."""
        answer = self._session.answer
        if answer is None:
            return None  # a forked child that is registering: it starts when that is done
        if answer.mode == "transaction":
            return TRANSACTION_MODE
        if answer.mode == "off" or not answer.sampled:
            reason = answer.reason or "the agent did not say why"
            return ("start", "start_profiler() has no effect: %s.", reason.rstrip("."))
        if answer.trace:
            return ("start", 'start_profiler() has no effect: profile_lifecycle is "trace", so root spans start and stop the profiler.')
        return None

"""Profiles of single transactions: decided as sentry-sdk decides, recorded by the agent.

`TransactionProfile` stands where sentry-sdk has its `Profile`. Leaves out how the recorded profile gets into the envelope:
that is `attach`.
"""

from __future__ import annotations

import platform
import random
from typing import Any, Dict, Optional

import sentry_sdk
from sentry_sdk.profiler.transaction_profiler import Profile
from sentry_sdk.utils import is_valid_sample_rate

from sentry_profiled import attach, native, rules
from sentry_profiled import board as boards
from sentry_profiled.board import Window
from sentry_profiled.log import logger, warn_once
from sentry_profiled.session import Session

#: What is the same for every profile of this process.
_MACHINE: Dict[str, Any] = {
    "platform": "python",
    "version": "1",
    "device": {"architecture": platform.machine()},
    "os": {"name": platform.system(), "version": platform.release()},
    "runtime": {"name": platform.python_implementation(), "version": platform.python_version()},
}


class Pending(Dict[str, Any]):
    """The item that `attach` is to complete: all but the profile itself, whose id is `event_id`."""


class TransactionProfile(Profile):
    """From the transaction's creation, not from its `with`: so a transaction that is finished without one has a profile too."""

    def __init__(self, session: Session, sampled: Optional[bool], sampler: Any = None) -> None:
        # Not the SDK's own __init__: it makes room for samples, 5 us of which nothing is used.
        self._session = session
        #: `profiles_sampler` of the program's own code.
        self._sampler = sampler
        self.sampled = sampled
        self.active = False
        self.active_thread_id = None
        self._default_active_thread_id = native.get_ident()
        self._window: Optional[Window] = None
        self.event_id = ""
        self.start_ns = 0
        self.stop_ns = 0
        self.unique_samples = 0
        self.scheduler = None
        self._hub = None

    def _set_initial_sampling_decision(self, sampling_context: Any) -> None:
        try:
            self.sampled = bool(self.sampled) and _decide(self._session, self._sampler, sampling_context)
        except Exception:
            logger.debug("Cannot decide; the transaction is not profiled.", exc_info=True)
            self.sampled = False
        self.start()

    def start(self) -> None:
        """Safe to call again: `__enter__` does."""
        if not self.sampled or self._window is not None:
            return
        self.active = True
        if self._session.connected:
            self._window = self._session.open_window(boards.TRANSACTION)
            self.event_id = self._window.id

    def stop(self) -> None:
        self.active = False
        if self._window is not None:
            self._session.close_window(self._window)

    def __del__(self) -> None:
        """Its transaction was thrown away unfinished."""
        try:
            self.stop()
        except Exception:  # the interpreter may be half gone
            pass

    def write(self, ts: int, sample: Any) -> None:
        """Samples are the agent's business."""

    def valid(self) -> bool:
        """Whether there will be a profile. If not, says so in the client report, as the SDK does."""
        self.stop()
        client = sentry_sdk.get_client()
        if not client.is_active():
            return False
        if not self.sampled:
            if client.transport:
                client.transport.record_lost_event("sample_rate", data_category="profile")
            return False
        window = self._window
        if window is None:
            attach.lose(client.transport, "unreachable")
        elif window.generation == 0:
            attach.lose(client.transport, "no slot")
        elif window.generation == self._session.board.generation:
            return True
        return False  # (the last case: it began in a parent that forked since)

    def to_json(self, event_opt: Any, options: Any) -> Dict[str, Any]:
        trace = event_opt.get("contexts", {}).get("trace") or {}
        thread = self._default_active_thread_id if self.active_thread_id is None else self.active_thread_id
        return Pending(
            _MACHINE,
            event_id=self.event_id,
            environment=event_opt.get("environment"),
            release=event_opt.get("release", ""),
            timestamp=event_opt.get("start_timestamp"),
            transactions=[
                {
                    "id": event_opt.get("event_id"),
                    "name": event_opt.get("transaction"),
                    "relative_start_ns": "0",
                    "trace_id": trace.get("trace_id"),
                    "active_thread_id": str(thread),
                }
            ],
        )


class NoProfile:
    """For every transaction while the agent profiles by session: one object for all, as it keeps nothing."""

    sampled = False
    active = False
    active_thread_id: Optional[int] = None

    def _set_initial_sampling_decision(self, sampling_context: Any) -> None:
        pass

    def update_active_thread_id(self) -> None:
        pass

    def valid(self) -> bool:
        return False

    def __enter__(self) -> "NoProfile":
        return self

    def __exit__(self, *_: Any) -> None:
        pass


NO_PROFILE = NoProfile()


def _decide(session: Session, sampler: Any, sampling_context: Any) -> bool:
    """As `Profile._set_initial_sampling_decision`, with the rates that hold of all sources."""
    answer = session.answer
    rate: Any
    if callable(sampler):
        try:
            rate = sampler(sampling_context)
        except Exception:
            warn_once("sampler raised", "profiles_sampler raised; transactions for which it does are not profiled.")
            logger.debug("profiles_sampler raised; the transaction is not profiled.", exc_info=True)
            return False
    elif answer is not None and answer.rules is not None:
        rate = rules.rate_of(answer.rules, sampling_context)
    else:
        rate = answer.profiles_sample_rate if answer is not None else None
    if rate is None:
        return False
    if type(rate) is float and 0.0 <= rate <= 1.0:  # as nearly always; the SDK's check takes longer than all the rest
        pass
    elif not is_valid_sample_rate(rate, source="Profiling"):
        warn_once("rate", "%r is no rate for profiles; it must be a boolean or a number between 0 and 1. Not profiled.", rate)
        return False
    return random.random() < float(rate)

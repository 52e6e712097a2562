"""What `sentry_profiled.stats()` tells. Each loss has a name of its own."""

from __future__ import annotations

from typing import Any, Dict

#: Counters are bumped without a lock by the thread that comes by: two at the same instant may count as one.
_counts: Dict[str, int] = {}

_NAMES = (
    "windows_lost",  # found no free slot on it
    "names_lost",  # found no room among its names
    "reconnects",  # to an agent that had gone
    "profiles_attached",  # to their transaction
    "profiles_too_short",  # fewer than two ticks
    "profiles_late",  # not there when the transaction could wait no longer
    "profiles_overflow",  # more transactions were waiting than may wait, or the agent had no room or time for it
    "profiles_unreachable",  # no agent, or one that no longer knows the window
    "profiles_no_slot",  # no slot was free on the board
)

#: "not installed", "waiting for init", "sdk" (the SDK's own profiler is used), "registering" (a forked child), else the agent's mode, or
#: "agent lost".
state = "not installed"


def bump(name: str, by: int = 1) -> None:
    _counts[name] = _counts.get(name, 0) + by


def snapshot(windows: int, held: int) -> Dict[str, Any]:
    """`windows`: noted on the board so far. `held`: transactions that wait for their profile right now."""
    result: Dict[str, Any] = {"state": state, "windows": windows, "profiles_held": held}
    for name in _NAMES:
        result[name] = _counts.get(name, 0)
    return result


def forget() -> None:
    """In a forked child, and for tests: as in a new process."""
    _counts.clear()

"""The logger `sentry_profiled`. A warning of one kind is said once in the life of a process."""

from __future__ import annotations

import logging
from typing import Any, Set

logger = logging.getLogger("sentry_profiled")

_said: Set[str] = set()


def warn_once(kind: str, message: str, *args: Any) -> None:
    """Logs at WARNING, unless something of this kind was said before (in a forked child: also by its parent)."""
    if kind in _said:
        return
    _said.add(kind)
    logger.warning(message, *args)


def mark_said(kind: str) -> None:
    """Somebody else (the agent, by its `warnings`) has said it."""
    _said.add(kind)


def forget() -> None:
    """For tests: as in a new process."""
    _said.clear()

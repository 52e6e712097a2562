"""What a program calls: `install()` and `stats()`.

Cheap to import: the modules that do the work come with `install()`, so that a `.pth` file may import this one in every
interpreter that asks for it.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

__version__ = "0.1.0"
__all__ = ["install", "stats", "__version__"]


def install(control: Optional[str] = None, timeout: float = 1.0) -> None:
    """Makes the profiling options and functions of sentry-sdk drive the agent.

    May be called before or after `sentry_sdk.init()`, and more than once: the first call counts. It never raises.

    control: path of the agent's control socket. Without it `SENTRY_PROFILED_CONTROL`, else `/run/sentry-profiled/control.sock`.
    timeout: seconds that `sentry_sdk.init()` may wait for the agent's answer, in all.
    """
    try:
        from sentry_profiled import sdk

        sdk.install(control, timeout)
    except Exception:
        # A profiler must not be what ends a program.
        import logging

        logging.getLogger("sentry_profiled").debug("Cannot install; sentry-sdk is left as it is.", exc_info=True)


def stats() -> Dict[str, Any]:
    """What happened in this process so far: its state, and counters of what was noted, attached and lost."""
    import sys

    from sentry_profiled import counters

    sdk = sys.modules.get("sentry_profiled.sdk")
    return counters.snapshot(*(sdk.noted_and_held() if sdk is not None else (0, 0)))

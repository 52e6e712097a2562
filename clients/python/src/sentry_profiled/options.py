"""What this process tells the agent about itself: the options that its own code set, as `POST /v1/self` wants them.

Leaves out what holds in the end, of all sources: that is the agent's answer.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, Dict, Mapping, Optional, Tuple

from sentry_sdk.utils import get_default_release

from sentry_profiled.control import BODY_MAX
from sentry_profiled.log import logger, warn_once

#: Options that a release of sentry-sdk may not know (yet, or any more): its `init` would raise, so it is not shown them.
PROFILING = ("profile_session_sample_rate", "profile_lifecycle", "profiles_sample_rate", "profiles_sampler", "profiler_mode")

_RATES = ("traces_sample_rate", "profile_session_sample_rate", "profiles_sample_rate")
_TEXTS = ("dsn", "environment", "release", "dist", "profile_lifecycle", "project_root")
_LISTS = ("in_app_include", "in_app_exclude")
#: Options that the SDK takes from here when the code sets none.
_ENVIRONMENT = {"dsn": "SENTRY_DSN", "environment": "SENTRY_ENVIRONMENT", "release": "SENTRY_RELEASE"}


def given_to(args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Dict[str, Any]:
    """What the arguments of `sentry_sdk.init` set, in all its spellings."""
    rest = list(args)
    given: Dict[str, Any] = {}
    dsn = rest.pop(0) if rest and (rest[0] is None or isinstance(rest[0], (str, bytes))) else None
    if rest:
        given.update(rest[0])
    given.update(kwargs)
    if dsn is not None and given.get("dsn") is None:
        given["dsn"] = dsn
    return given


def given_before(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> Dict[str, Any]:
    """The same of a client that was made before `install()`, as far as its options still tell."""
    given = {key: value for key, value in options.items() if key in defaults and value != defaults[key]}
    for key, variable in _ENVIRONMENT.items():
        if given.get(key) == os.environ.get(variable):
            given.pop(key, None)
    if "release" in given and given["release"] == get_default_release():  # of git, or of a platform's variables
        given.pop("release")
    if given.get("environment") == "production":  # the SDK's own default
        given.pop("environment")
    given.pop("project_root", None)  # likewise: the working directory
    return given


def body(given: Mapping[str, Any], options: Mapping[str, Any], sdk: str, client: str, board: Mapping[str, int]) -> bytes:
    """The registration. `given`: what the code set; `options`: what sentry-sdk made of it."""
    document: Dict[str, Any] = {
        "client": {"name": "sentry-profiled.python", "version": client, "sdk": sdk},
        "options": code_options(given, options),
        # What the SDK writes into its events, from wherever it has it; beyond the contract, which has the agent ignore it.
        "resolved": {key: _text(options.get(key)) for key in ("environment", "release", "dist", "project_root")},
        "board": dict(board),
    }
    encoded = json.dumps(document).encode("utf-8")
    if len(encoded) > BODY_MAX:
        logger.debug("The options are too long for the agent; the lists of modules are left out.")
        for key in _LISTS:
            document["options"].pop(key, None)
        encoded = json.dumps(document).encode("utf-8")
    return encoded


def code_options(given: Mapping[str, Any], options: Mapping[str, Any]) -> Dict[str, Any]:
    experiments = given.get("_experiments") or {}
    result: Dict[str, Any] = {}
    for key in _TEXTS:
        text = _text(given.get(key))
        if text is None and key in _ENVIRONMENT:
            text = _set_at_run_time(_ENVIRONMENT[key])
        if text is not None:
            result[key] = text
    rates = dict(given)
    if rates.get("profiles_sample_rate") is None:
        rates["profiles_sample_rate"] = experiments.get("profiles_sample_rate")
    if rates.get("traces_sample_rate") is None and given.get("enable_tracing") is True:
        rates["traces_sample_rate"] = 1.0
    for key in _RATES:
        if rates.get(key) is not None:
            result[key] = _rate(key, rates[key])
    for key in _LISTS:
        if given.get(key):
            result[key] = [str(module) for module in given[key]]
    # Of `options`: without a DSN, the SDK itself sets samplers for Spotlight.
    for key in ("profiles_sampler", "traces_sampler"):
        if callable(options.get(key)) or callable(given.get(key)):
            result[key] = True
    if given.get("send_client_reports") is not None:
        result["send_client_reports"] = bool(given["send_client_reports"])
    return result


def _text(value: Any) -> Optional[str]:
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value).strip()


def _rate(key: str, value: Any) -> float:
    """As the SDK reads a rate, which takes what `float` takes. What is not between 0 and 1 is for the agent to judge."""
    try:
        rate = float(value)
    except (TypeError, ValueError):
        rate = float("nan")
    if not math.isfinite(rate):
        warn_once("option " + key, "%s is %r, which is no number between 0 and 1; it is taken as 0.", key, value)
        return 0.0
    return rate


def _set_at_run_time(variable: str) -> Optional[str]:
    """The variable's value if the program itself set it, as those do that read a .env file. What it was started with, the agent sees
    for itself."""
    value = os.environ.get(variable)
    if not value:
        return None
    try:
        with open("/proc/self/environ", "rb") as environ:
            started_with = environ.read().split(b"\0")
    except OSError:
        return None
    return None if os.fsencode("{}={}".format(variable, value)) in started_with else value.strip()

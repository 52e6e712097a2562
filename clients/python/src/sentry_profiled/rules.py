"""`profiles_sampler` as rules of the agent's file: which rate a sampling context gets. Knows no SDK and no agent."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Dict, List, Mapping, Pattern

#: These keys are the transaction context's; any other is a dotted path into the sampling context.
_OF_THE_TRANSACTION = ("op", "name", "source")

_MISSING = object()


def rate_of(rules: List[Dict[str, Any]], sampling_context: Mapping[str, Any]) -> Any:
    """The rate of the first rule whose every key matches; 0.0 if none does."""
    for rule in rules:
        if all(_matches(pattern, _value(sampling_context, key)) for key, pattern in rule.items() if key != "rate"):
            return rule.get("rate", 0.0)
    return 0.0


def _value(context: Mapping[str, Any], key: str) -> Any:
    if key in _OF_THE_TRANSACTION:
        context = context.get("transaction_context") or {}
        return context.get(key, _MISSING)
    return _at(context, key)


def _at(context: Any, path: str) -> Any:
    """A whole path wins over its parts: keys of a context may have dots themselves."""
    if not isinstance(context, Mapping):
        return _MISSING
    if path in context:
        return context[path]
    cut = path.rfind(".")
    while cut > 0:
        if path[:cut] in context:
            return _at(context[path[:cut]], path[cut + 1 :])
        cut = path.rfind(".", 0, cut)
    return _MISSING


def _matches(pattern: Any, value: Any) -> bool:
    if value is _MISSING:
        return False
    if isinstance(pattern, dict):  # a dotted key of TOML that arrived as nested tables
        return all(_matches(inner, _at(value, key)) for key, inner in pattern.items())
    if isinstance(pattern, str):
        return isinstance(value, str) and _expression(pattern).fullmatch(value) is not None
    if isinstance(pattern, bool) or isinstance(value, bool):  # True is 1 in Python, but not in a rule
        return pattern is value
    return isinstance(value, (int, float)) and bool(pattern == value)


@lru_cache(maxsize=256)
def _expression(pattern: str) -> Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)

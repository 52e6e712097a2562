"""The item of sample format v1, from what the agent answers."""

import json

import pytest
from agent import PROFILE

from sentry_profiled.attach import profile_payload

FIELDS = {"version": "1", "transactions": [{"name": "a"}]}
BRACES = dict(PROFILE, thread_metadata={"1": {"name": 'a } "profile": {'}})


def answer(profile, *order):
    whole = {"start": 10.0, "end": 11.5, "platform": "python", "cut": False, "ticks": 2, "profile": profile}
    return json.dumps({key: whole[key] for key in order} if order else whole).encode()


@pytest.mark.parametrize("profile", [PROFILE, BRACES])
@pytest.mark.parametrize("order", [(), ("profile", "start", "end"), ("cut", "end", "platform", "profile", "start", "ticks")])
def test_whatever_the_order_of_the_keys(profile, order):
    payload = json.loads(profile_payload(answer(profile, *order), FIELDS).decode())
    assert payload == {"version": "1", "transactions": [{"name": "a", "relative_end_ns": "1500000000"}], "profile": profile}


def test_a_profile_is_not_parsed():
    """Check that the bytes are the agent's own: parsing them would keep the program's threads from the interpreter."""
    raw = answer(PROFILE).replace(b'"lineno": 3', b'"lineno":    3')
    assert b'"lineno":    3' in profile_payload(raw, FIELDS)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{}",
        b"[]",
        b'{"profile": {}}',
        b'{"profile": [1], "start": 1, "end": 2}',
        answer(PROFILE, "profile"),
        b'{"profile": ' + b"[" * 100_000,
        b'{"profile": "' + b"x" * 100_000 + b'", "start": 1, "end": 2}',
    ],
)
def test_what_is_no_profile(said):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError, RecursionError)):
        profile_payload(said, FIELDS)

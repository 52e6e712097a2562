"""Without an agent for this process, everything is as if this package were not installed; and it costs no time."""

import time

import pytest
from conftest import PRELUDE

PROGRAM = """
def timed_init():
    start = time.monotonic()
    init(traces_sample_rate=1.0, %s)
    return time.monotonic() - start
took = timed_init()
sentry_sdk.profiler.start_profiler()
@sentry_sdk.profile()
def f(): return 1
with sentry_sdk.start_transaction(name="a"):
    with sentry_sdk.start_profiling_span(description="b"):
        f()
    until(sampled_by_the_sdk)
sentry_sdk.profiler.stop_profiler()
sentry_sdk.flush()
print(json.dumps([min(took, timed_init()), sentry_profiled.stats()["state"]]))
"""
CONTINUOUS = PROGRAM % "profile_session_sample_rate=1.0"
TRANSACTION = PROGRAM % "profiles_sample_rate=1.0"
#: Waits for an answer no longer than it would by default.
SHORT = PRELUDE.replace("timeout=20", "timeout=1.0")


def check(ran, receiver, item):
    assert len(receiver.items(item)) == 1
    assert len(receiver.items("transaction")) == 1
    assert receiver.items("transaction")[0]["spans"] == []
    assert ran.result[1] == "sdk"


@pytest.mark.parametrize("program, item", [(CONTINUOUS, "profile_chunk"), (TRANSACTION, "profile")])
def test_no_agent(run, agent, receiver, program, item):
    agent.kill()
    ran = run(program)
    check(ran, receiver, item)
    assert ran.result[0] < 1.0
    (warning,) = ran.warnings
    assert warning.startswith("No agent answers at {} (".format(agent.path))
    assert warning.endswith(
        "Sentry's own profiler is used instead. Start `sentry-profiled daemon`, or set SENTRY_PROFILED_CONTROL to the path of its socket."
    )


@pytest.mark.parametrize("status", [404, 503, 429, 400])
def test_the_agent_does_not_have_this_process(run, agent, receiver, status):
    agent.decide = lambda body, pid: (status, {"error": "no entry has this process", "hint": "Add [[target]]."})
    ran = run(CONTINUOUS)
    check(ran, receiver, "profile_chunk")
    assert ran.warnings == [
        "The agent at {} does not profile this process: no entry has this process ({}). Sentry's own profiler is used instead. "
        "Add [[target]].".format(agent.path, status)
    ]


def test_an_agent_that_does_not_answer(run, agent, receiver):
    agent.stall.set()
    ran = run(CONTINUOUS, prelude=SHORT)
    check(ran, receiver, "profile_chunk")
    assert 0.9 < ran.result[0] < 1.6, ran.warnings


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n",
        b"\xff" * 1000,
    ],
)
def test_something_else_behind_the_socket(run, agent, receiver, raw):
    agent.raw_answer = raw
    ran = run(CONTINUOUS, prelude=SHORT)
    check(ran, receiver, "profile_chunk")
    assert len(ran.warnings) == 1


def test_mode_off_is_an_answer(run, agent, receiver):
    """Check that the SDK's own sampler stays off where the agent says that nothing is to be profiled."""
    decide = agent.decide
    agent.decide = lambda body, pid: dict(decide(body, pid), mode="off", sampled=False, reason="the budget of the host is spent")
    ran = run(CONTINUOUS)
    assert receiver.items("profile_chunk") == []
    assert ran.result[1] == "off"
    assert ran.warnings == ["start_profiler() has no effect: the budget of the host is spent."]


def test_an_agent_that_comes_later_is_found_by_the_next_init(run, agent):
    agent.kill()
    process = run.start(
        """
        init(profile_session_sample_rate=1.0)
        sentry_sdk.profiler.start_profiler()
        print("sdk", flush=True)
        sys.stdin.readline()
        init(profile_session_sample_rate=1.0)
        sentry_sdk.profiler.start_profiler()
        time.sleep(0.05)
        print(json.dumps([t.name for t in threading.enumerate() if "profiler" in t.name]))
        """
    )
    process.stdout.readline()
    time.sleep(0.1)
    agent.start()
    ran = run.finish(process, "\n")
    assert ran.result == []
    assert [w["kind"] for w in agent.windows()] == ["run"]


def test_an_sdk_that_lacks_what_is_taken_hold_of_is_left_as_it_is(run):
    ran = run(
        """
        import os, json, sentry_sdk
        from sentry_sdk import scope
        del scope.try_profile_lifecycle_trace_start
        before = sentry_sdk.Client.__init__
        import sentry_profiled
        sentry_profiled.install()
        print(json.dumps([sentry_sdk.Client.__init__ is before, sentry_profiled.stats()["state"]]))
        """,
        prelude="",
    )
    assert ran.result == [True, "not installed"]


def test_stats_before_anything(run):
    ran = run("import json, sentry_profiled; print(json.dumps(sentry_profiled.stats()))", prelude="")
    assert (ran.result["state"], ran.result["windows"]) == ("not installed", 0)

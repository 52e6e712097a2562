"""Under gevent, whose threads are greenlets of one thread: ours are the system's, and its hub goes on."""

import pytest
from conftest import PRELUDE

pytest.importorskip("gevent")

PATCHED = """
import gevent.monkey
gevent.monkey.patch_all()
"""

BODY = """
import gevent, _thread
native_ident = gevent.monkey.get_original("_thread", "get_ident")()
"""


def test_lifecycle_trace_of_overlapping_greenlets(run, agent, receiver):
    program = """
init(traces_sample_rate=1.0, profile_session_sample_rate=1.0, profile_lifecycle="trace")
def request(n):
    with sentry_sdk.start_transaction(name="r%d" % n):
        time.sleep(0.05)
gevent.joinall([gevent.spawn(request, n) for n in range(5)])
with sentry_sdk.start_profiling_span("block"):
    pass
print(json.dumps(native_ident))
"""
    ran = run(program, prelude=PATCHED + PRELUDE + BODY)
    runs, blocks = agent.windows(kind="run"), agent.windows(kind="block")
    assert (len(runs), bool(runs[0]["end"])) == (1, True)
    assert {t["contexts"]["profile"]["profiler_id"] for t in receiver.items("transaction")} == {runs[0]["id"]}
    assert blocks[0]["thread"] == ran.result
    assert receiver.items("transaction")[0]["contexts"]["trace"]["data"]["thread.id"] == str(ran.result)


def test_the_hub_goes_on_while_the_agent_is_slow(run, agent):
    agent.stall.set()
    ran = run(
        """
        turns = []
        def ticker():
            while True:
                turns.append(1)
                gevent.sleep(0.01)
        gevent.spawn(ticker)
        tries = []
        while len(tries) < 10 and not (tries and tries[-1][0] < 1.0 and tries[-1][1] > 15):  # on a busy machine, some are late
            del turns[:]
            start = time.monotonic()
            init(profile_session_sample_rate=0.0)
            tries.append([time.monotonic() - start, len(turns)])
        print(json.dumps(tries[-1]))
        """,
        prelude=PATCHED + PRELUDE.replace("timeout=20", "timeout=0.5") + BODY,
    )
    took, turns = ran.result
    assert 0.45 < took < 1.0
    assert turns > 15


def test_profiles_of_transactions_in_greenlets(run, agent, receiver):
    agent.profile_delay = 1.0
    ran = run(
        """
        init(traces_sample_rate=1.0, profiles_sample_rate=1.0)
        turns = []
        def ticker():
            while True:
                turns.append(1)
                gevent.sleep(0.01)
        def request(n):
            with sentry_sdk.start_transaction(name="r%d" % n):
                gevent.sleep(0.02)
        gevent.joinall([gevent.spawn(request, n) for n in range(3)])
        gevent.spawn(ticker)
        sentry_sdk.flush()
        print(json.dumps(len(turns)))
        """,
        prelude=PATCHED + PRELUDE + BODY,
    )
    assert ran.result > 5
    assert sorted(p["transactions"][0]["name"] for p in receiver.items("profile")) == ["r0", "r1", "r2"]


def test_a_forked_worker(run, agent):
    ran = run(
        """
        init(traces_sample_rate=1.0, profile_session_sample_rate=1.0)
        sentry_sdk.profiler.start_profiler()
        pid = os.fork()
        if pid == 0:
            until(lambda: sentry_profiled.sdk._installed.session.run_id is not None)
            look()
            os._exit(0)
        os.waitpid(pid, 0)
        print(json.dumps(pid))
        """,
        prelude=PATCHED + PRELUDE + BODY,
    )
    assert [len(agent.windows(pid)) for pid in (ran.pid, ran.result)] == [1, 1]

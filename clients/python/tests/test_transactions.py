"""Transaction mode: which transactions are profiled, how the profile gets to them, and what becomes of those that do not."""

import pytest
from agent import PROFILE

RATE = "init(traces_sample_rate=1.0, profiles_sample_rate=1.0)\n"


def profiles(receiver):
    """Names of transactions whose envelope has their profile."""
    names = []
    for _, items in receiver.envelopes:
        types = [type for type, _ in items if type in ("profile", "transaction")]
        if types == ["profile", "transaction"]:
            profile, transaction = (payload for type, payload in items if type in ("profile", "transaction"))
            assert profile["transactions"][0]["id"] == transaction["event_id"]
            names.append(profile["transactions"][0]["name"])
        else:
            assert "profile" not in types
    return names


def transactions(receiver):
    return [transaction["transaction"] for transaction in receiver.items("transaction")]


def lost_profiles(receiver):
    return {reason: count for (reason, category), count in receiver.lost().items() if category == "profile"}


def test_the_profile_is_in_front_of_its_transaction(run, agent, receiver):
    ran = run(
        """
        init(traces_sample_rate=1.0, profiles_sample_rate=1.0, release="shop@1", environment="testing")
        with sentry_sdk.start_transaction(op="task", name="a"):
            time.sleep(0.05)
        print(json.dumps(threading.get_ident()))
        """
    )
    (window,) = agent.windows()
    ((header, items),) = [envelope for envelope in receiver.envelopes if envelope[1][0][0] == "profile"]
    (_, profile), (_, transaction) = items[:2]
    import platform

    end = int(profile["transactions"][0].pop("relative_end_ns"))
    assert abs(end - (window["end"] - window["start"])) < 1000
    assert profile == {
        "version": "1",
        "platform": "python",
        "event_id": window["id"],
        "environment": "testing",
        "release": "shop@1",
        "timestamp": transaction["start_timestamp"],
        "device": {"architecture": platform.machine()},
        "os": {"name": platform.system(), "version": platform.release()},
        "runtime": {"name": "CPython", "version": platform.python_version()},
        "transactions": [
            {
                "id": transaction["event_id"],
                "name": "a",
                "trace_id": transaction["contexts"]["trace"]["trace_id"],
                "active_thread_id": str(ran.result),
                "relative_start_ns": "0",
            }
        ],
        "profile": PROFILE,
    }
    assert "profile" not in transaction["contexts"]
    assert (window["kind"], window["thread"], window["name"]) == ("transaction", 0, None)
    assert header["event_id"] == transaction["event_id"]
    assert lost_profiles(receiver) == {}


def test_the_codes_sampler_decides_with_all_of_the_context(run, agent, receiver):
    run(
        """
        def sampler(context):
            name = context["transaction_context"]["name"]
            if name == "raises":
                raise ValueError
            rates = {"always": 1.0, "true": True, "never": 0.0, "nonsense": "x", "more": 2, "nan": float("nan")}
            return rates.get(name, context.get("mine", 0))
        init(traces_sample_rate=1.0, profiles_sample_rate=1.0, profiles_sampler=sampler)
        for name in ("always", "true", "never", "nonsense", "more", "nan", "raises", "custom"):
            with sentry_sdk.start_transaction(name=name, custom_sampling_context={"mine": 1}):
                pass
        """
    )
    assert sorted(profiles(receiver)) == ["always", "custom", "true"]
    assert len(transactions(receiver)) == 8
    assert len(agent.windows()) == 3
    assert lost_profiles(receiver) == {"sample_rate": 5}


def test_a_bad_rate_and_a_sampler_that_raises_are_warned_of(run):
    ran = run(
        """
        def sampler(context):
            if context["transaction_context"]["name"] == "raises":
                raise ValueError
            return "often"
        init(traces_sample_rate=1.0, profiles_sampler=sampler)
        for name in ("raises", "nonsense") * 3:
            with sentry_sdk.start_transaction(name=name):
                pass
        """
    )
    assert ran.warnings == [
        "profiles_sampler raised; transactions for which it does are not profiled.",
        "'often' is no rate for profiles; it must be a boolean or a number between 0 and 1. Not profiled.",
    ]


def test_the_rules_of_the_agents_file(run, agent, receiver):
    rules = [{"op": "http.server", "name": "*/api/*", "rate": 1.0}, {"rate": 0.0}]
    decide = agent.decide

    def decide_by_file(body, pid):
        answer = decide(body, pid)
        return dict(answer, mode="transaction", sampled=True, options=dict(answer["options"], profiles_sampler=rules))

    agent.decide = decide_by_file
    run(
        """
        init(traces_sample_rate=1.0)
        for name in ("/api/a", "/static/b", "/api/c"):
            with sentry_sdk.start_transaction(op="http.server", name=name):
                pass
        """
    )
    assert sorted(profiles(receiver)) == ["/api/a", "/api/c"]
    assert lost_profiles(receiver) == {"sample_rate": 1}


def test_an_unsampled_transaction_is_not_profiled(run, agent, receiver):
    run(RATE + "with sentry_sdk.start_transaction(name='a', sampled=False): pass")
    assert (agent.windows(), transactions(receiver), lost_profiles(receiver)) == ([], [], {})


def test_both_modes(run, agent, receiver):
    ran = run(
        """
        init(traces_sample_rate=1.0, profiles_sample_rate=1.0, profile_session_sample_rate=1.0)
        sentry_sdk.profiler.start_profiler()
        with sentry_sdk.start_transaction(name="a"):
            pass
        sentry_sdk.profiler.stop_profiler()
        """
    )
    assert profiles(receiver) == ["a"]
    assert [w["kind"] for w in agent.windows()] == ["transaction"]
    assert ran.warnings == [
        "profiles_sample_rate or profiles_sampler is set, so transactions are profiled; profile_session_sample_rate, "
        "start_profiler() and stop_profiler() have no effect."
    ]


def test_a_dropped_transaction_takes_its_profile_with_it(run, agent, receiver):
    run(
        """
        init(traces_sample_rate=1.0, profiles_sample_rate=1.0, before_send_transaction=lambda event, hint: None)
        with sentry_sdk.start_transaction(name="a"):
            pass
        """
    )
    assert (len(agent.windows()), agent.asked, transactions(receiver)) == (1, [], [])
    assert not any(type == "profile" for _, items in receiver.envelopes for type, _ in items)


@pytest.mark.parametrize("ending", ["transaction.finish()", "transaction.__enter__(); transaction.finish()"])
def test_a_transaction_finished_without_with_has_its_profile(run, agent, receiver, ending):
    run(RATE + "transaction = sentry_sdk.start_transaction(name='a')\ntime.sleep(0.02)\n" + ending)
    assert [bool(w["end"]) for w in agent.windows()] == [True]
    assert profiles(receiver) == ["a"]


def test_a_transaction_thrown_away_ends_its_window(run, agent):
    run(RATE + "transaction = sentry_sdk.start_transaction(name='a')\ndel transaction\nimport gc; gc.collect(); time.sleep(0.02)")
    assert [bool(w["end"]) for w in agent.windows()] == [True]


def test_fewer_than_two_ticks(run, agent, receiver):
    agent.profile_of = lambda id: (410, None)
    run(RATE + "with sentry_sdk.start_transaction(name='a'): pass")
    assert (transactions(receiver), profiles(receiver), lost_profiles(receiver)) == (["a"], [], {"insufficient_data": 1})


def test_a_profile_that_the_agent_dropped_is_not_waited_for(run, agent, receiver):
    agent.profile_of = lambda id: (410, {"dropped": "not_fetched"})
    ran = run(
        RATE
        + "with sentry_sdk.start_transaction(name='a'): time.sleep(0.02)\n"
        + "start = time.monotonic(); sentry_sdk.flush(); print(json.dumps(time.monotonic() - start))"
    )
    assert (transactions(receiver), profiles(receiver), lost_profiles(receiver)) == (["a"], [], {"queue_overflow": 1})
    assert ran.result < 1


def test_a_profile_that_takes_long_holds_neither_the_program_nor_other_transactions(run, agent, receiver):
    agent.profile_of = lambda id: (404 if id in {w["id"] for w in agent.windows() if w["sequence"] <= 2} else 200, None)
    process = run.start(
        RATE
        + """
for name in ("slow", "slow too", "quick", "quick too"):
    with sentry_sdk.start_transaction(name=name):
        time.sleep(0.01)
print("done", flush=True)
sys.stdin.readline()
held = sentry_profiled.stats()["profiles_held"]
sentry_sdk.flush(timeout=0.1)
print(json.dumps([held, sentry_profiled.stats()["profiles_held"]]))
"""
    )
    assert process.stdout.readline() == "done\n"
    agent.wait_for(lambda: {"quick", "quick too"} <= set(profiles(receiver)), timeout=15)
    ran = run.finish(process, "\n")
    assert ran.result == [2, 0]
    assert sorted(profiles(receiver)) == ["quick", "quick too"]
    assert sorted(transactions(receiver)) == ["quick", "quick too", "slow", "slow too"]


def test_a_profile_that_never_comes(run, agent, receiver):
    agent.profile_delay = 1e6
    ran = run(
        RATE
        + """
sentry_profiled.attach.HOLD = 1.0
start = time.monotonic()
for name in "abc":
    with sentry_sdk.start_transaction(name=name):
        pass
assert sentry_profiled.stats()["profiles_held"] == 3
until(lambda: not sentry_profiled.stats()["profiles_held"])
print(json.dumps([time.monotonic() - start, sentry_profiled.stats()["profiles_late"]]))
"""
    )
    took, late = ran.result
    assert (0.9 < took < 5.0, late) == (True, 3)
    assert (sorted(transactions(receiver)), profiles(receiver)) == (["a", "b", "c"], [])
    assert lost_profiles(receiver) == {"internal_sdk_error": 3}


@pytest.mark.parametrize("end", ["sentry_sdk.flush()", "sentry_sdk.get_client().close()", "pass"])
def test_flush_close_and_exit_wait_for_profiles(run, agent, receiver, end):
    agent.profile_delay = 0.3
    run(RATE + "with sentry_sdk.start_transaction(name='a'): pass\n" + end + "\n" + ("" if end == "pass" else "os._exit(0)"))
    assert profiles(receiver) == ["a"]


def test_a_flush_leaves_time_for_sending(run, agent, receiver):
    agent.profile_delay = 1e6
    ran = run(
        RATE
        + """
sentry_profiled.attach.FLUSH_SHARE = 0.1
with sentry_sdk.start_transaction(name='a'): pass
start = time.monotonic()
sentry_sdk.flush(timeout=6)
print(json.dumps(time.monotonic() - start), flush=True)
os._exit(0)
"""
    )
    assert 0.5 < ran.result < 5.0  # of 6, and of 20 that it may wait without a flush
    assert (transactions(receiver), profiles(receiver)) == (["a"], [])


def test_more_transactions_than_may_wait(run, agent, receiver):
    agent.profile_delay = 1e6
    ran = run(
        "init(traces_sample_rate=1.0, profiles_sample_rate=1.0, transport_queue_size=1000)\n"
        + """
for number in range(300):
    with sentry_sdk.start_transaction(name="a"):
        pass
stats = sentry_profiled.stats()
print(json.dumps([stats["profiles_held"] <= 256, stats["profiles_overflow"] >= 300 - 256 - stats["profiles_late"]]), flush=True)
os._exit(0)
"""
    )
    assert ran.result == [True, True]


def test_the_agent_is_killed_while_transactions_wait(run, agent, receiver):
    agent.profile_delay = 1e6
    process = run.start(
        RATE
        + """
with sentry_sdk.start_transaction(name="waits"):
    pass
print("waits", flush=True)
until(lambda: sentry_profiled.stats()["state"] == "agent lost")
sys.stdin.readline()
with sentry_sdk.start_transaction(name="later"):
    pass
sentry_sdk.flush()
print(json.dumps(sentry_profiled.stats()))
"""
    )
    process.stdout.readline()
    agent.kill()
    agent.wait_for(lambda: transactions(receiver) == ["waits"], timeout=15)  # before its time is over
    ran = run.finish(process, "\n")
    assert transactions(receiver) == ["waits", "later"]
    assert (ran.result["profiles_unreachable"], ran.result["state"]) == (2, "agent lost")
    assert ran.warnings == []


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ngarbage",
        b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"profile":1}',
        b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n",
        b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n",
        b"\0\1\2\3\r\n\r\n",
    ],
)
def test_garbage_for_a_profile(run, agent, receiver, raw):
    process = run.start(
        RATE
        + """
print("registered", flush=True)
sys.stdin.readline()
with sentry_sdk.start_transaction(name="a"):
    pass
sentry_sdk.flush()
"""
    )
    process.stdout.readline()
    agent.raw_answer = raw
    ran = run.finish(process, "\n")
    assert (transactions(receiver), profiles(receiver), ran.code) == (["a"], [], 0)


def test_a_large_profile_is_passed_on_as_it_came(run, agent, receiver):
    large = dict(PROFILE, samples=PROFILE["samples"] * 2_000)
    agent.profile_of = lambda id: (200, large)
    run(RATE + "with sentry_sdk.start_transaction(name='a'): pass")
    assert receiver.items("profile")[0]["profile"] == large


def test_a_full_board(run, agent, receiver):
    ran = run(
        "init(traces_sample_rate=1.0, profiles_sample_rate=1.0, transport_queue_size=1000)\n"
        + """
open_ones = [sentry_sdk.start_transaction(name="open") for _ in range(255)]
with sentry_sdk.start_transaction(name="no slot"):
    pass
print(json.dumps([sentry_profiled.stats()[name] for name in ("windows", "windows_lost", "profiles_no_slot")]))
sentry_sdk.flush()
os._exit(0)
"""
    )
    assert ran.result == [255, 1, 1]
    assert lost_profiles(receiver) == {"buffer_overflow": 1}


def test_no_client_reports_where_the_code_wants_none(run, agent, receiver):
    agent.profile_of = lambda id: (410, None)
    run(
        "init(traces_sample_rate=1.0, profiles_sample_rate=1.0, send_client_reports=False)\n"
        "with sentry_sdk.start_transaction(name='a'): pass"
    )
    assert (transactions(receiver), receiver.lost()) == (["a"], {})


def test_a_view_in_a_workers_thread_is_the_active_one(run, receiver):
    """Check what the integrations of ASGI frameworks do for a handler that runs in another thread."""
    ran = run(
        RATE
        + """
with sentry_sdk.start_transaction(name="a"):
    scope = sentry_sdk.get_isolation_scope()
    idents = []
    def view():
        idents.append(threading.get_ident())
        scope.profile.update_active_thread_id()
    thread = threading.Thread(target=view)
    thread.start(); thread.join()
print(json.dumps(idents))
"""
    )
    assert receiver.items("profile")[0]["transactions"][0]["active_thread_id"] == str(ran.result[0])


def test_the_experimental_spelling_of_the_rate(run, agent, receiver):
    run(
        """
        init(traces_sample_rate=1.0, _experiments={"profiles_sample_rate": 1.0})
        with sentry_sdk.start_transaction(name="a"):
            pass
        """
    )
    assert agent.registered[0][1]["options"]["profiles_sample_rate"] == 1.0
    assert profiles(receiver) == ["a"]


def test_a_transport_of_the_programs_own(run, agent):
    ran = run(
        """
        got = []
        class Mine(sentry_sdk.Transport):
            def capture_envelope(self, envelope):
                got.append([item.type for item in envelope.items])
        init(traces_sample_rate=1.0, profiles_sample_rate=1.0, transport=Mine)
        with sentry_sdk.start_transaction(name="a"):
            pass
        sentry_sdk.flush()
        print(json.dumps(got))
        """
    )
    assert ran.result == [["profile", "transaction"]]


def test_a_transport_in_an_event_loop(run, agent, receiver):
    """Check that a flush waits for profiles without holding up the loop that it is awaited in."""
    transport = pytest.importorskip("sentry_sdk.transport")
    if not getattr(transport, "ASYNC_TRANSPORT_AVAILABLE", False):
        pytest.skip("this environment has no asynchronous transport")
    agent.profile_delay = 0.4
    ran = run(
        """
        import asyncio
        from sentry_sdk.integrations.asyncio import AsyncioIntegration
        async def main():
            experiments = {"transport_async": True}
            init(traces_sample_rate=1.0, profiles_sample_rate=1.0, integrations=[AsyncioIntegration()], _experiments=experiments)
            turns = []
            async def turn():
                while True:
                    turns.append(1)
                    await asyncio.sleep(0.01)
            turning = asyncio.ensure_future(turn())
            with sentry_sdk.start_transaction(name="a"):
                await asyncio.sleep(0.01)
            before = len(turns)
            await sentry_sdk.flush_async(timeout=3)
            print(json.dumps(len(turns) - before))
            await sentry_sdk.get_client().close_async(timeout=2)
        asyncio.run(main())
        """
    )
    assert ran.result > 10
    assert profiles(receiver) == ["a"]


@pytest.mark.parametrize(
    "code, operator, mode, sent",
    [
        ("", 1.0, "transaction", True),
        ("", 1.0, "trace", True),
        ("", 0.0, "transaction", False),
        ("", 7, "transaction", False),
        ("traces_sample_rate=0.0", 1.0, "trace", False),
        ("traces_sampler=lambda context: 0.0", 1.0, "transaction", False),
        ("traces_sample_rate=1.0", 0.0, "transaction", True),
    ],
)
def test_the_operators_rate_of_traces_where_the_code_sets_none(run, agent, receiver, code, operator, mode, sent):
    """Check that an operator alone can have a program profiled whose code has nothing but a DSN."""

    def decide(body, pid):
        options = {"traces_sample_rate": operator, "profiles_sample_rate": 1.0, "profile_lifecycle": "trace"}
        return {"target": "t", "mode": "transaction" if mode == "transaction" else "continuous", "sampled": True, "options": options}

    agent.decide = decide
    run("init({})\nwith sentry_sdk.start_transaction(name='a'): pass".format(code))
    assert transactions(receiver) == ["a"] * sent
    assert profiles(receiver) == ["a"] * (sent and mode == "transaction")
    assert [w["kind"] for w in agent.windows()] == [{"transaction": "transaction", "trace": "run"}[mode]] * sent
    if sent and mode == "trace":
        assert receiver.items("transaction")[0]["contexts"]["profile"] == {"profiler_id": agent.windows()[0]["id"]}

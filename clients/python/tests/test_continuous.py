"""Continuous mode: programs as users write them, and what the board and the receiver got of them."""

import time

import pytest
import sentry_sdk

RATE = "profile_session_sample_rate=1.0"
STREAMING = tuple(int(part) for part in sentry_sdk.VERSION.split(".")[:2]) >= (2, 60)


def kinds(agent):
    return [(w["kind"], "ended" if w["end"] else "open") for w in agent.windows()]


def test_manual(run, agent, receiver):
    ran = run(
        """
        from sentry_sdk.profiler import start_profiler
        init(traces_sample_rate=1.0, profile_session_sample_rate=1.0)
        def transaction(name):
            with sentry_sdk.start_transaction(op="task", name=name):
                with sentry_sdk.start_span(op="db", name="query"):
                    pass
        transaction("before")
        start_profiler()
        transaction("profiled")
        time.sleep(0.05)
        sentry_sdk.profiler.stop_profiler()
        transaction("after")
        sentry_sdk.profiler.start_profiler()
        time.sleep(0.05)
        sentry_sdk.profiler.stop_profiler()
        print(json.dumps([t.name for t in threading.enumerate() if "profiler" in t.name]))
        """
    )
    first, second = agent.windows()
    assert kinds(agent) == [("run", "ended"), ("run", "ended")]
    assert first["id"] != second["id"]
    assert (first["thread"], first["name"]) == (0, None)
    stamps = {}
    for transaction in receiver.items("transaction"):
        data = transaction["contexts"]["trace"]["data"]
        child = transaction["spans"][0]["data"]
        stamps[transaction["transaction"]] = [
            transaction["contexts"].get("profile"),
            data.get("profiler_id"),
            child.get("profiler_id"),
            data["thread.name"],
            data["thread.id"] == child["thread.id"],
        ]
    id = first["id"]
    nothing = [None, None, None, "MainThread", True]
    assert stamps == {"before": nothing, "profiled": [{"profiler_id": id}, id, id, "MainThread", True], "after": nothing}
    assert receiver.items("profile_chunk") == []
    assert ran.result == []  # the SDK's own sampler has no thread
    assert ran.warnings == []


def test_the_registration_tells_what_the_code_set(run, agent, receiver):
    run(
        """
        os.environ["SENTRY_RELEASE"] = "set@run.time"
        init(traces_sample_rate=0.5, profile_session_sample_rate=True, profile_lifecycle="manual", dist=7, environment="testing",
             in_app_include=["acme"], in_app_exclude=("vendor",), project_root="/srv/acme", send_client_reports=False)
        """
    )
    ((pid, body),) = agent.registered
    assert body["options"] == {
        "dsn": receiver.dsn,
        "environment": "testing",
        "release": "set@run.time",
        "dist": "7",
        "traces_sample_rate": 0.5,
        "profile_session_sample_rate": 1.0,
        "profile_lifecycle": "manual",
        "in_app_include": ["acme"],
        "in_app_exclude": ["vendor"],
        "project_root": "/srv/acme",
        "send_client_reports": False,
    }
    assert body["client"] == {"name": "sentry-profiled.python", "version": "0.1.0", "sdk": sentry_sdk.VERSION}
    assert (body["board"]["version"], body["board"]["size"], body["board"]["address"] % 4096) == (1, 32768, 0)


def test_what_the_environment_says_is_for_the_agent_to_read(run, agent, receiver):
    run("sentry_sdk.init(auto_enabling_integrations=False)", SENTRY_ENVIRONMENT="staging", SENTRY_RELEASE="shop@1")
    assert agent.registered[0][1]["options"] == {}


def test_a_start_without_effect_says_why_once(run, agent):
    ran = run(
        """
        init()
        sentry_sdk.profiler.start_profiler()
        sentry_sdk.profiler.start_profile_session()
        sentry_sdk.profiler.stop_profile_session()
        """
    )
    assert ran.warnings == ["start_profiler() has no effect: no profile_session_sample_rate is set."]
    assert agent.windows() == []


def test_a_start_in_lifecycle_trace_says_that_root_spans_do_that(run, agent):
    ran = run(
        """
        init(profile_session_sample_rate=1.0, profile_lifecycle="trace")
        sentry_sdk.profiler.start_profiler()
        """
    )
    assert ran.warnings == ['start_profiler() has no effect: profile_lifecycle is "trace", so root spans start and stop the profiler.']
    assert agent.windows() == []


def test_lifecycle_trace(run, agent, receiver):
    run(
        """
        init(traces_sample_rate=1.0, profile_session_sample_rate=1.0, profile_lifecycle="trace")
        def request(name, together=1):
            with sentry_sdk.start_transaction(op="http.server", name=name):
                barriers[together].wait()
        barriers = {n: threading.Barrier(n) for n in (1, 2)}
        request("alone")
        time.sleep(0.1)
        threads = [threading.Thread(target=request, args=("both", 2)) for _ in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        time.sleep(0.05)
        with sentry_sdk.start_transaction(name="unsampled", sampled=False):
            time.sleep(0.02)
        """
    )
    alone, both = agent.windows()
    assert kinds(agent) == [("run", "ended"), ("run", "ended")]
    named = [(t["transaction"], t["contexts"]["profile"]["profiler_id"]) for t in receiver.items("transaction")]
    assert sorted(named) == sorted([("alone", alone["id"]), ("both", both["id"]), ("both", both["id"])])


@pytest.mark.parametrize(
    "ending",
    [
        "transaction.finish()",
        "transaction.__enter__(); transaction.finish(); transaction.__exit__(None, None, None)",
        "del transaction; import gc; gc.collect()",
        "transaction.set_http_status(404); transaction.finish()",
    ],
)
def test_however_a_root_span_ends_the_run_does(run, agent, ending):
    run(
        "init(traces_sample_rate=1.0, profile_session_sample_rate=1.0, profile_lifecycle='trace')\n"
        "transaction = sentry_sdk.start_transaction(name='a')\n"
        "time.sleep(0.03)\n" + ending + "\n"
        "time.sleep(0.03)\n"
    )
    assert kinds(agent) == [("run", "ended")]


def test_a_root_span_left_open_runs_to_the_end(run, agent):
    run(
        """
        init(traces_sample_rate=1.0, profile_session_sample_rate=1.0, profile_lifecycle="trace")
        sentry_sdk.start_transaction(name="a").__enter__()
        look()
        os._exit(0)
        """
    )
    assert kinds(agent) == [("run", "open")]


def test_auto_start_starts_at_the_first_transaction(run, agent, receiver):
    run(
        """
        init(traces_sample_rate=1.0, profile_session_sample_rate=1.0, _experiments={"continuous_profiling_auto_start": True})
        time.sleep(0.02)
        for name in "ab":
            with sentry_sdk.start_transaction(name=name):
                time.sleep(0.02)
        sentry_sdk.profiler.stop_profiler()
        with sentry_sdk.start_transaction(name="c"):
            pass
        """
    )
    (window,) = agent.windows()
    stamps = [(t["transaction"], (t["contexts"].get("profile") or {}).get("profiler_id")) for t in receiver.items("transaction")]
    assert stamps == [("a", window["id"]), ("b", window["id"]), ("c", None)]


@pytest.mark.skipif(not STREAMING, reason="this release does not stream spans")
def test_streamed_spans(run, agent, receiver):
    run(
        """
        init(traces_sample_rate=1.0, profile_session_sample_rate=1.0, profile_lifecycle="trace", trace_lifecycle="stream")
        with sentry_sdk.traces.start_span(name="root"):
            with sentry_sdk.traces.start_span(name="child"):
                time.sleep(0.03)
        time.sleep(0.03)
        thrown_away = sentry_sdk.traces.start_span(name="unfinished", active=False)
        time.sleep(0.03)
        del thrown_away
        import gc; gc.collect()
        time.sleep(0.03)
        span = sentry_sdk.traces.start_span(name="ended")
        time.sleep(0.03)
        span.end()
        """
    )
    assert kinds(agent) == [("run", "ended")] * 3
    first, _, last = agent.windows()
    spans = {span["name"]: span["attributes"] for batch in receiver.items("span") for span in batch["items"]}
    ids = {name: spans[name]["sentry.profiler_id"]["value"] for name in ("root", "child", "ended")}
    assert ids == {"root": first["id"], "child": first["id"], "ended": last["id"]}
    assert spans["child"]["thread.name"]["value"] == "MainThread"


def test_a_run_that_the_operator_starts_and_stops(run, agent, receiver):
    process = run.start(
        """
        from sentry_sdk.profiler.continuous_profiler import get_profiler_id
        init(traces_sample_rate=1.0)
        running = None
        for name in ("before", "during", "after"):
            until(lambda: get_profiler_id() == running)
            with sentry_sdk.start_transaction(name=name):
                pass
            print(name, flush=True)
            running = sys.stdin.readline().strip() or None
        """
    )
    assert process.stdout.readline() == "before\n"
    for running in ("ab" * 16, None):
        agent.change(process.pid, running=running)
        process.stdin.write((running or "") + "\n")
        process.stdin.flush()
        process.stdout.readline()
    run.finish(process, "\n")
    stamps = [(t["transaction"], (t["contexts"].get("profile") or {}).get("profiler_id")) for t in receiver.items("transaction")]
    assert stamps == [("before", None), ("during", "ab" * 16), ("after", None)]


def test_an_agent_that_restarts(run, agent):
    process = run.start(
        """
        init(profile_session_sample_rate=1.0)
        sentry_sdk.profiler.start_profiler()
        print("started", flush=True)
        until(lambda: sentry_profiled.stats()["state"] == "agent lost")
        print("lost", flush=True)
        sys.stdin.readline()
        print(json.dumps(sentry_profiled.stats()))
        """
    )
    process.stdout.readline()
    agent.wait_for(lambda: len(agent.windows()) == 1)
    agent.kill()
    assert process.stdout.readline() == "lost\n"
    agent.start()
    agent.wait_for(lambda: len(agent.windows()) == 2)
    ran = run.finish(process, "\n")
    first, second = agent.windows()
    assert (first["end"] > 0, first["id"] != second["id"]) == (True, True)
    assert [pid for pid, _ in agent.registered] == [process.pid] * 2
    assert (ran.result["state"], ran.result["reconnects"]) == ("continuous", 1)
    assert ran.warnings == []


def test_a_target_that_is_taken_out_of_the_agents_file(run, agent):
    process = run.start(
        """
        init(profile_session_sample_rate=1.0)
        sentry_sdk.profiler.start_profiler()
        print("started", flush=True)
        sys.stdin.readline()
        print(json.dumps(sentry_profiled.stats()["state"]))
        """
    )
    process.stdout.readline()
    agent.decide = lambda body, pid: (404, {"error": "no entry has this process"})
    with agent._condition:
        del agent.answers[process.pid]
        agent._condition.notify_all()
    agent.wait_for(lambda: agent.windows()[0]["end"])
    assert run.finish(process, "\n").result == "agent lost"


def test_a_second_init(run, agent):
    ran = run(
        """
        init(profile_session_sample_rate=1.0, release="one")
        sentry_sdk.profiler.start_profiler()
        time.sleep(0.02)
        init(profile_session_sample_rate=1.0, release="two")
        time.sleep(0.02)
        sentry_sdk.profiler.start_profiler()
        time.sleep(0.02)
        sentry_profiled.install()
        """
    )
    assert [body["options"]["release"] for _, body in agent.registered] == ["one", "two"]
    assert len({body["board"]["address"] for _, body in agent.registered}) == 1
    assert kinds(agent) == [("run", "ended"), ("run", "open")]
    assert ran.warnings == []


def test_install_after_init(run, agent, receiver):
    """Check that the SDK's own sampler, already at work, makes room for the agent."""
    ran = run(
        """
        import logging, os, sys, json, time, threading
        import sentry_sdk
        sentry_sdk.init(os.environ["SENTRY_DSN"], auto_enabling_integrations=False, traces_sample_rate=1.0, profile_session_sample_rate=1.0)
        sentry_sdk.profiler.start_profiler()
        until(sampled_by_the_sdk)
        import sentry_profiled
        sentry_profiled.install(timeout=20)
        with sentry_sdk.start_transaction(name="a"):
            time.sleep(0.05)
        sentry_sdk.profiler.stop_profiler()
        print(json.dumps([t.name for t in threading.enumerate() if "profiler" in t.name]))
        """,
        prelude="",
    )
    (window,) = agent.windows()
    assert agent.registered[0][1]["options"] == {"traces_sample_rate": 1.0, "profile_session_sample_rate": 1.0}
    assert receiver.items("transaction")[0]["contexts"]["profile"] == {"profiler_id": window["id"]}
    assert len(receiver.items("profile_chunk")) == 1  # what the SDK had sampled before
    assert ran.result == []


def test_the_agents_warnings_are_logged_once(run, agent):
    decide = agent.decide
    agent.decide = lambda body, pid: dict(decide(body, pid), warnings=["The host of the DSN is not on the list."])
    ran = run("init(); init()")
    assert ran.warnings == ["The host of the DSN is not on the list."]


def test_an_idle_program_exits_at_once(run):
    ran = run("init(profile_session_sample_rate=1.0); sentry_sdk.profiler.start_profiler(); print(time.monotonic())")
    assert time.monotonic() - ran.result < 5


def test_options_that_this_sdk_does_not_know(run, agent):
    ran = run(
        """
        from sentry_sdk import client
        del client.DEFAULT_OPTIONS["profile_session_sample_rate"], client.DEFAULT_OPTIONS["profile_lifecycle"]
        init(profile_session_sample_rate=1.0, profile_lifecycle="manual")
        sentry_sdk.profiler.start_profiler()
        time.sleep(0.02)
        sentry_sdk.profiler.stop_profiler()
        """
    )
    assert kinds(agent) == [("run", "ended")]
    assert ran.warnings == []

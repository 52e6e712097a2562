"""Forked children: each is a process of its own, with its own board, answer and ids."""

import time

FORK = """
def fork(child):
    pid = os.fork()
    if pid == 0:
        try:
            child()
            sentry_sdk.flush()
            look()
        finally:
            os._exit(0)
    return pid
def registered():
    until(lambda: sentry_profiled.sdk._installed.session.answer is not None)
def transaction(name):
    with sentry_sdk.start_transaction(name=name):
        time.sleep(0.03)
"""


def stamps(receiver):
    return {t["transaction"]: (t["contexts"].get("profile") or {}).get("profiler_id") for t in receiver.items("transaction")}


def test_a_run_of_a_servers_master_goes_on_in_its_workers_under_ids_of_their_own(run, agent, receiver):
    ran = run(
        FORK
        + """
init(traces_sample_rate=1.0, profile_session_sample_rate=1.0)
sentry_sdk.profiler.start_profiler()
def child():
    with sentry_sdk.start_transaction(name="unanswered %d" % os.getpid()) as t:
        before = t._data.get("profiler_id")
    registered()
    transaction("worker %d" % os.getpid())
pids = [fork(child) for _ in range(2)]
for pid in pids: os.waitpid(pid, 0)
transaction("master")
print(json.dumps(pids))
"""
    )
    pids = [ran.pid] + ran.result
    assert sorted(pid for pid, _ in agent.registered) == sorted(pids)
    ids = {pid: [w["id"] for w in agent.windows(pid)] for pid in pids}
    assert [len(of) for of in ids.values()] == [1, 1, 1]
    assert len({of[0] for of in ids.values()}) == 3
    seen = stamps(receiver)
    assert seen["master"] == ids[ran.pid][0]
    for pid in ran.result:
        assert seen["worker {}".format(pid)] == ids[pid][0]
        assert seen["unanswered {}".format(pid)] in (None, ids[pid][0])


def test_a_child_that_is_not_answered_stamps_nothing(run, agent, receiver):
    process = run.start(
        FORK
        + """
init(traces_sample_rate=1.0, profile_session_sample_rate=1.0)
sentry_sdk.profiler.start_profiler()
print("started", flush=True)
sys.stdin.readline()
pid = fork(lambda: transaction("child"))
os.waitpid(pid, 0)
"""
    )
    process.stdout.readline()
    agent.stall.set()
    run.finish(process, "\n")
    assert stamps(receiver) == {"child": None}


def test_a_root_span_open_at_the_fork_does_not_keep_the_child_running(run, agent):
    ran = run(
        FORK
        + """
init(traces_sample_rate=1.0, profile_session_sample_rate=1.0, profile_lifecycle="trace")
open_in_the_parent = sentry_sdk.start_transaction(name="parent")
open_in_the_parent.__enter__()
def child():
    registered()
    time.sleep(0.02)
    transaction("child")
    time.sleep(0.02)
    open_in_the_parent.__exit__(None, None, None)
    time.sleep(0.02)
pid = fork(child)
os.waitpid(pid, 0)
open_in_the_parent.__exit__(None, None, None)
time.sleep(0.02)
print(json.dumps(pid))
"""
    )
    assert [bool(w["end"]) for w in agent.windows(ran.result)] == [True]
    assert [bool(w["end"]) for w in agent.windows(ran.pid)] == [True]
    child, parent = agent.windows(ran.result)[0], agent.windows(ran.pid)[0]
    assert child["id"] != parent["id"]
    assert parent["end"] > child["end"]


def test_transactions_of_children_have_their_profiles(run, agent, receiver):
    ran = run(
        FORK
        + """
init(traces_sample_rate=1.0, profiles_sample_rate=1.0)
transaction("parent")
sentry_sdk.flush()
def child():
    registered()
    transaction("child")
pids = [fork(child) for _ in range(3)]
for pid in pids: os.waitpid(pid, 0)
print(json.dumps(pids))
"""
    )
    names = [p["transactions"][0]["name"] for p in receiver.items("profile")]
    assert sorted(names) == ["child"] * 3 + ["parent"]
    assert [len(agent.windows(pid)) for pid in ran.result] == [1, 1, 1]


def test_what_waits_in_the_parent_is_sent_by_the_parent_alone(run, agent, receiver):
    agent.profile_delay = 0.3
    run(
        FORK
        + """
init(traces_sample_rate=1.0, profiles_sample_rate=1.0, shutdown_timeout=2)
transaction("parent")
pid = fork(lambda: time.sleep(0.4))
os.waitpid(pid, 0)
"""
    )
    assert [t["transaction"] for t in receiver.items("transaction")] == ["parent"]
    assert len(receiver.items("profile")) == 1


def test_a_fork_in_a_thread_while_others_note(run, agent):
    """Check that a lock that another thread held at the fork does not stop the child."""
    ran = run(
        FORK
        + """
init(traces_sample_rate=1.0, profile_session_sample_rate=1.0, profile_lifecycle="trace")
sys.setswitchinterval(1e-5)
stop = []
session = sentry_profiled.sdk._installed.session
def busy():
    while not stop:
        session.open_root().stop()
threads = [threading.Thread(target=busy) for _ in range(3)]
for t in threads: t.start()
codes = []
def forks():
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            session.open_root().stop()
            os._exit(7)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done: break
            time.sleep(0.005)
        else:
            os.kill(pid, 9)
        codes.append(status >> 8)
thread = threading.Thread(target=forks)
thread.start(); thread.join()
stop.append(1)
print(json.dumps(codes))
"""
    )
    assert ran.result == [7] * 20


def test_multiprocessing(run, agent):
    ran = run(
        FORK
        + """
import multiprocessing
init(traces_sample_rate=1.0, profile_session_sample_rate=1.0, profile_lifecycle="trace")
def work(n):
    registered()
    transaction("job")
    look()  # the pool kills its workers
    return os.getpid()
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(json.dumps(sorted(set(pool.map(work, range(4))))))
"""
    )
    for pid in ran.result:
        assert all(w["end"] for w in agent.windows(pid)) and agent.windows(pid)


def test_a_fork_that_python_does_not_hear_of(run, agent):
    """Check what uWSGI does, which forks in C without Python's hooks."""
    process = run.start(
        FORK
        + """
import ctypes
init(traces_sample_rate=1.0, profile_session_sample_rate=1.0)
sentry_sdk.profiler.start_profiler()
session = sentry_profiled.sdk._installed.session
parents = session.profiler_id()
print("started", flush=True)
sys.stdin.readline()
reader, writer = os.pipe()
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    from sentry_sdk.profiler.continuous_profiler import get_profiler_id
    first = get_profiler_id()
    until(lambda: get_profiler_id() is not None)
    os.write(writer, json.dumps([first == parents, get_profiler_id() == parents, get_profiler_id() is not None]).encode())
    os._exit(0)
os.waitpid(pid, 0)
print(os.read(reader, 100).decode())
"""
    )
    process.stdout.readline()
    # Without the hooks, a child is lost in which another thread was just taking the interpreter's lock.
    agent.wait_for(lambda: process.pid in agent.waiting)
    time.sleep(0.2)
    ran = run.finish(process, "\n")
    assert ran.result == [False, False, True]


def test_the_childs_end_does_not_close_the_parents_connection(run, agent):
    run(
        FORK
        + """
init(profile_session_sample_rate=1.0)
sentry_sdk.profiler.start_profiler()
time.sleep(0.1)
pid = fork(lambda: None)
os.waitpid(pid, 0)
time.sleep(0.3)
assert sentry_profiled.stats()["reconnects"] == 0
assert sentry_profiled.stats()["state"] == "continuous"
"""
    )


def test_children_of_a_program_without_an_agent(run, agent, receiver):
    agent.kill()
    ran = run(
        FORK
        + """
init(traces_sample_rate=1.0, profile_session_sample_rate=1.0)
pid = fork(lambda: transaction("child"))
os.waitpid(pid, 0)
"""
    )
    assert stamps(receiver) == {"child": None}
    assert len(ran.warnings) == 1


def test_a_subprocess_is_not_disturbed(run):
    ran = run(
        """
        import subprocess
        init(profile_session_sample_rate=1.0)
        sentry_sdk.profiler.start_profiler()
        print(json.dumps(subprocess.check_output(["echo", "hi"], preexec_fn=lambda: None).decode()))
        """
    )
    assert ran.result == "hi\n"

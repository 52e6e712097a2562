"""What is open when: runs, root spans, functions and blocks, read from the board."""

import ctypes
import gc
import signal
import sys
import threading
import time

import pytest
from agent import decode

from sentry_profiled import board as boards
from sentry_profiled.board import SIZE, Board
from sentry_profiled.control import Answer
from sentry_profiled.session import Session

FOREIGN = "f" * 32


def answer(mode="continuous", sampled=True, trace=False, running=None):
    return Answer("t", mode, sampled, None, trace, None, None, [], running, 1)


@pytest.fixture
def session():
    return Session(Board())


@pytest.fixture
def clock(monkeypatch):
    """The time, in a list of one: it stands still but where a test sets it."""
    now = [10_000_000_000]
    for module in ("session", "board"):
        monkeypatch.setattr("sentry_profiled.{}.monotonic_ns".format(module), lambda: now[0])
    return now


def windows(session):
    return decode(ctypes.string_at(session.board.address, SIZE))[1]


def summary(session):
    """Each window's kind, name, whether it is open, and which of the ids so far it has."""
    ids = []
    result = []
    for window in windows(session):
        if window["id"] not in ids:
            ids.append(window["id"])
        result.append((window["kind"], window["name"], "open" if window["end"] == 0 else "ended", ids.index(window["id"])))
    return result


def test_each_start_has_a_new_id(session):
    session.apply(answer())
    session.start()
    session.start()
    first = session.profiler_id()
    session.stop()
    session.stop()
    assert session.profiler_id() is None
    session.start()
    assert first != session.profiler_id()
    assert summary(session) == [("run", None, "ended", 0), ("run", None, "open", 1)]
    assert [first, session.profiler_id()] == [w["id"] for w in windows(session)]


def test_the_ids_are_as_uuid4_makes_them(session):
    import uuid

    for _ in range(50):
        id = uuid.UUID(session.mint())
        assert (id.version, id.variant) == (4, uuid.RFC_4122)


@pytest.mark.parametrize("of", [answer(sampled=False), answer(mode="off"), answer(mode="transaction")])
def test_starting_what_is_not_to_be_profiled_changes_nothing(session, of):
    session.apply(of)
    session.start()
    assert (session.profiler_id(), summary(session)) == (None, [])


def test_a_run_is_open_while_any_root_span_is(session):
    session.apply(answer(trace=True))
    first, second = session.open_root(), session.open_root()
    id = session.profiler_id()
    first.stop()
    first.stop()
    assert session.profiler_id() == id
    second.stop()
    assert session.profiler_id() is None
    assert summary(session) == [("run", None, "ended", 0)]


def test_a_root_span_soon_after_the_last_goes_on_under_its_id(session, clock):
    session.apply(answer(trace=True))
    session.open_root().stop()
    clock[0] += 9_000_000
    session.open_root().stop()
    clock[0] += 20_000_000
    session.open_root().stop()
    assert summary(session) == [("run", None, "ended", 0), ("run", None, "ended", 0), ("run", None, "ended", 1)]


def test_a_root_span_thrown_away_does_not_keep_it_running(session):
    session.apply(answer(trace=True))
    root = session.open_root()
    cycle = [root]
    cycle.append(cycle)
    del root, cycle
    gc.collect()
    assert summary(session) == [("run", None, "ended", 0)]


def test_while_the_agent_is_gone_nothing_runs(session):
    session.apply(answer())
    session.start()
    session.apply(None)
    assert session.profiler_id() is None
    session.apply(answer())
    assert session.profiler_id() == windows(session)[-1]["id"]
    assert summary(session) == [("run", None, "ended", 0), ("run", None, "open", 1)]


def test_what_was_wanted_before_the_answer_runs_after_it(session):
    session.start()
    assert summary(session) == []
    session.apply(answer())
    assert summary(session) == [("run", None, "open", 0)]


def test_the_id_of_a_run_that_the_agent_started(session):
    session.apply(answer(sampled=False, running=FOREIGN))
    assert (session.profiler_id(), summary(session)) == (FOREIGN, [])
    session.apply(answer(sampled=False))
    assert session.profiler_id() is None


def test_a_start_within_the_agents_run_takes_its_id(session):
    session.apply(answer(running=FOREIGN))
    session.start()
    assert windows(session)[0]["id"] == FOREIGN
    session.apply(answer())
    assert session.profiler_id() == FOREIGN
    session.stop()
    assert session.profiler_id() is None


def test_while_the_agent_runs_one_its_id_comes_before_that_of_a_run_that_is_open(session):
    session.apply(answer())
    session.start()
    own = session.profiler_id()
    session.apply(answer(running=FOREIGN))
    assert session.profiler_id() == FOREIGN
    session.apply(answer())
    assert session.profiler_id() == own
    assert summary(session) == [("run", None, "open", 0)]


def test_functions_and_blocks_without_a_run(session):
    session.apply(answer())
    outer = session.open_call(boards.FUNCTION, "shop.pay")
    inner = session.open_call(boards.BLOCK, "card")
    id = session.profiler_id()
    seen = []
    other = threading.Thread(target=lambda: seen.append(session.profiler_id()))
    other.start()
    other.join()
    inner.close()
    outer.close()
    assert (seen, session.profiler_id()) == ([None], None)
    assert summary(session) == [("function", "shop.pay", "ended", 0), ("block", "card", "ended", 0)]
    assert {(w["id"], w["thread"]) for w in windows(session)} == {(id, threading.get_ident())}


def test_a_function_within_a_run_is_part_of_it(session):
    session.apply(answer())
    session.start()
    call = session.open_call(boards.FUNCTION, "f")
    assert {w["id"] for w in windows(session)} == {session.profiler_id()}
    session.stop()
    assert session.profiler_id() == call.id
    call.close()
    assert session.profiler_id() is None


def test_what_overlaps_has_one_id_also_if_its_run_is_over(session):
    session.apply(answer())
    session.start()
    first = session.open_call(boards.FUNCTION, "in the run")
    session.stop()
    second = session.open_call(boards.FUNCTION, "after it")
    assert {w["id"] for w in windows(session)} == {first.id}
    assert session.profiler_id() == second.id == first.id
    first.close()
    assert session.profiler_id() == first.id
    second.close()
    assert session.profiler_id() is None


def test_one_soon_after_the_last_goes_on_under_its_id(session, clock):
    session.apply(answer())
    for pause in (0, 999_000_000, 1_001_000_000):
        clock[0] += pause
        session.open_call(boards.FUNCTION, "f").close()
    assert [id for _, _, _, id in summary(session)] == [0, 0, 1]


def test_nothing_is_noted_of_functions_that_are_not_profiled(session):
    for of in (answer(sampled=False), answer(mode="transaction"), answer(mode="off"), None):
        session.apply(of)
        assert session.open_call(boards.FUNCTION, "f") is None
    assert summary(session) == []


def test_a_fork_forgets_what_was_open_but_not_what_was_wanted(session):
    session.apply(answer())
    session.start()
    call = session.open_call(boards.FUNCTION, "f")
    session.forked()
    assert (session.profiler_id(), summary(session)) == (None, [])
    call.close()
    session.apply(answer())
    assert summary(session) == [("run", None, "open", 0)]


def test_a_root_of_the_parent_does_not_end_the_childs(session):
    session.apply(answer(trace=True))
    inherited = session.open_root()
    session.forked()
    own = session.open_root()
    session.apply(answer(trace=True))
    inherited.stop()
    assert summary(session) == [("run", None, "open", 0)]
    own.stop()
    assert summary(session) == [("run", None, "ended", 0)]


def test_threads_that_open_and_close_at_once(session):
    """Check that after much concurrency the board says what a quiet one would."""
    session.apply(answer(trace=True))
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work():
        for _ in range(400):
            root = session.open_root()
            window = session.open_window(boards.TRANSACTION)
            call = session.open_call(boards.FUNCTION, "f")
            session.close_window(window)
            if call is not None:
                call.close()
            root.stop()

    try:
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    header, all_windows = decode(ctypes.string_at(session.board.address, SIZE))
    assert (header["open"], header["lost"], session.profiler_id()) == (0, 0, None)
    assert all(window["end"] >= window["start"] > 0 for window in all_windows)
    assert header["changes"] == 2 * session.board.noted()


def test_a_signal_handler_that_interrupts_a_note_does_not_wait_for_itself(session):
    session.apply(answer(trace=True))
    done = []

    def handler(*_):
        root = session.open_root()
        session.start()
        root.stop()
        done.append(1)

    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        end = time.monotonic() + 30.0
        while len(done) < 500 and time.monotonic() < end:
            session.open_root().stop()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert len(done) >= 500
    assert decode(ctypes.string_at(session.board.address, SIZE))[0]["open"] == 0

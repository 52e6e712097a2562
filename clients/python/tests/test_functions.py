"""`sentry_sdk.profile()` and `sentry_sdk.start_profiling_span()`."""

import inspect

import pytest

INIT = "init(traces_sample_rate=1.0, profile_session_sample_rate=1.0)\n"


def noted(agent):
    return [(w["kind"], w["name"], bool(w["end"])) for w in agent.windows()]


def test_a_function_and_a_block(run, agent):
    ran = run(
        INIT
        + """
@sentry_sdk.profile()
def expensive(x):
    "Its text."
    time.sleep(0.02)
    return x + 1
print(expensive.__name__, expensive.__doc__, expensive.__wrapped__ is not None)
assert expensive(1) == 2
with sentry_sdk.start_profiling_span(description="Data processing"):
    time.sleep(0.02)
print(json.dumps(threading.get_ident()))
"""
    )
    assert noted(agent) == [("function", "__main__.expensive", True), ("block", "Data processing", True)]
    assert {w["thread"] for w in agent.windows()} == {ran.result}
    assert ran.stdout.startswith("expensive Its text. True\n")


def test_every_way_of_writing_it(run, agent):
    run(
        INIT
        + """
class C:
    @sentry_sdk.profile
    def method(self): return "method"
    @sentry_sdk.profile()
    @classmethod
    def of_class(cls): return "of_class"
    @staticmethod
    @sentry_sdk.profile
    def of_none(): return "of_none"
@sentry_sdk.profile(name="a name")
def named(): return "named"
@sentry_sdk.profile
class Untouched: pass
assert isinstance(Untouched(), Untouched)
assert [C().method(), C.of_class(), C().of_class(), C.of_none(), named()] == ["method", "of_class", "of_class", "of_none", "named"]
assert sentry_sdk.profile(len)([1, 2]) == 2
"""
    )
    names = [name for _, name, _ in noted(agent)]
    assert names == ["__main__.C.method"] + ["__main__.C.of_class"] * 2 + ["__main__.C.of_none", "a name", "builtins.len"]


def test_a_recursion_is_one_window_and_an_exception_ends_it(run, agent):
    run(
        INIT
        + """
@sentry_sdk.profile
def deep(n):
    if n == 0:
        raise KeyError("end")
    deep(n - 1)
try:
    deep(300)
except KeyError:
    pass
"""
    )
    assert noted(agent) == [("function", "__main__.deep", True)]


def test_spans_inside_are_stamped_and_a_block_is_one(run, agent, receiver):
    run(
        INIT
        + """
with sentry_sdk.start_transaction(name="a"):
    with sentry_sdk.start_span(name="outside"):
        pass
    with sentry_sdk.start_profiling_span("block"):
        with sentry_sdk.start_span(name="inside"):
            pass
    with sentry_sdk.start_span(name="after"):
        pass
"""
    )
    (window,) = agent.windows()
    (transaction,) = receiver.items("transaction")
    spans = {span["description"]: (span["op"], span["data"].get("profiler_id")) for span in transaction["spans"]}
    assert spans == {
        "outside": (None, None),
        "block": ("profile.block", window["id"]),
        "inside": (None, window["id"]),
        "after": (None, None),
    }


def test_within_a_run_they_are_part_of_it(run, agent):
    run(
        INIT
        + """
sentry_sdk.profiler.start_profiler()
with sentry_sdk.start_profiling_span(description="block"):
    pass
sentry_sdk.profiler.stop_profiler()
"""
    )
    assert [w["kind"] for w in agent.windows()] == ["run", "block"]
    assert len({w["id"] for w in agent.windows()}) == 1


def test_a_generator_is_open_only_while_it_runs(run, agent):
    ran = run(
        INIT
        + """
@sentry_sdk.profile
def numbers(n):
    total = 0
    try:
        for i in range(n):
            try:
                total += (yield i) or 0
            except ValueError:
                total += 100
    finally:
        closed.append(n)
    return total
closed = []
def consumer():
    result = yield from numbers(3)
    print("returned", result)
g = consumer()
states = [next(g)]
opened = lambda: sentry_profiled.sdk._installed.session.board.words[2]
states.append(opened())
states.append(g.send(5))
states.append(g.throw(ValueError()))
try:
    next(g)
except StopIteration:
    pass
h = numbers(2); next(h); h.close()
import inspect
print(json.dumps([states, closed, inspect.isgeneratorfunction(numbers)]))
"""
    )
    assert ran.stdout.startswith("returned 105\n")
    assert ran.result == [[0, 0, 1, 2], [3, 2], True]
    assert noted(agent) == [("function", "__main__.numbers", True)] * 6
    assert len({w["id"] for w in agent.windows()}) == 1


def test_a_coroutine_is_open_only_while_it_runs(run, agent):
    ran = run(
        INIT
        + """
import asyncio, inspect
@sentry_sdk.profile()
async def handler(n):
    await asyncio.sleep(0.02)
    with sentry_sdk.start_span(name="inside") as span:
        ids.append(span._data.get("profiler_id"))
    if n == 2:
        raise KeyError(n)
    return n
ids = []
async def watch():
    for _ in range(8):
        open_windows.add(sentry_profiled.sdk._installed.session.board.words[2])
        await asyncio.sleep(0.002)
open_windows = set()
async def cancelled():
    task = asyncio.ensure_future(handler(9))
    await asyncio.sleep(0.001)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"
async def main():
    return await asyncio.gather(handler(0), handler(1), handler(2), watch(), cancelled(), return_exceptions=True)
results = asyncio.run(main())
assert inspect.iscoroutinefunction(handler)
print(json.dumps([[repr(r) for r in results], list(open_windows), len(set(ids)), ids]))
"""
    )
    results, open_windows, different, ids = ran.result
    assert results == ["0", "1", "KeyError(2)" if "KeyError(2)" in results else "KeyError(2,)", "None", "'cancelled'"]
    assert open_windows == [0]
    assert noted(agent) == [("function", "__main__.handler", True)] * 8
    assert ids == [agent.windows()[0]["id"]] * 3


def test_an_asynchronous_generator(run, agent):
    ran = run(
        INIT
        + """
import asyncio, inspect
@sentry_sdk.profile
async def ticks(n):
    try:
        for i in range(n):
            await asyncio.sleep(0.001)
            got.append((yield i))
    finally:
        got.append("end")
got = []
async def main():
    first = [i async for i in ticks(3)]
    g = ticks(5)
    await g.__anext__()
    await g.asend("sent")
    await g.aclose()
    return first
assert inspect.isasyncgenfunction(ticks)
print(json.dumps([asyncio.run(main()), got]))
"""
    )
    assert ran.result == [[0, 1, 2], [None, None, None, "end", "sent", "end"]]
    assert {state for state in noted(agent)} == {("function", "__main__.ticks", True)}


def test_without_effect_they_call_through(run, agent):
    for options in ("", "profile_session_sample_rate=0.0", "profiles_sample_rate=1.0"):
        ran = run(
            "init({})\n".format(options)
            + """
import asyncio
@sentry_sdk.profile
def f(x): return x
@sentry_sdk.profile
def g(x):
    yield x
@sentry_sdk.profile
async def h(x): return x
@sentry_sdk.profile
async def a(x): yield x
async def main(): return [await h(3)] + [x async for x in a(4)]
with sentry_sdk.start_profiling_span(description="block"):
    print(json.dumps([f(1), list(g(2)), asyncio.run(main())]))
"""
        )
        assert ran.result == [1, [2], [3, 4]]
    assert agent.windows() == []


def test_before_init_they_call_through(run):
    assert run("print(json.dumps(sentry_sdk.profile(lambda: 1)()))\nwith sentry_sdk.start_profiling_span('x'): pass").result == 1


def test_a_block_in_another_thread_has_its_own_thread_and_the_same_id(run, agent):
    run(
        INIT
        + """
def block(name):
    with sentry_sdk.start_profiling_span(description=name):
        barrier.wait()
barrier = threading.Barrier(2)
threads = [threading.Thread(target=block, args=(n,)) for n in "ab"]
for t in threads: t.start()
for t in threads: t.join()
"""
    )
    windows = agent.windows()
    assert (len(windows), len({w["id"] for w in windows}), len({w["thread"] for w in windows})) == (2, 1, 2)


AWAITABLES = """
import asyncio, functools, inspect, types
@types.coroutine
def of_types(x):
    got = yield from asyncio.sleep(0.001).__await__()
    return x + 1
class C:
    @types.coroutine
    def method(self, x):
        return (yield from of_types(x))
    @classmethod
    async def of_class(cls, x):
        return await of_types(x)
    @staticmethod
    @sentry_sdk.profile(name="of_none")
    async def of_none(x):
        return await of_types(x)
    async def __call__(self, x):
        return await of_types(x)
async def plain(x, y=0):
    return await of_types(x + y)
@functools.wraps(plain)
def wraps(x):
    return plain(x)
"""


#: What is profiled, under which name, and how many windows a call has: one up to where it waits, one from there on.
AWAITED = [
    ("of_types", "__main__.of_types", 2),
    ("C().method", "__main__.C.method", 2),
    ("C.of_class", "__main__.C.of_class", 2),
    ("functools.partial(plain, y=0)", "__main__.plain", 2),
    ("functools.partial(of_types)", "__main__.of_types", 2),
    ("C()", "__main__.C", 2),
    ("wraps", "__main__.plain", 1),  # which itself only makes a coroutine
]


@pytest.mark.parametrize("init", ["init()\n", INIT])
def test_what_can_be_awaited_still_can(run, agent, init):
    ran = run(
        AWAITABLES
        + init
        + "functions = [{}]\n".format(", ".join(code for code, _, _ in AWAITED))
        + """
async def main():
    results = []
    for profiled in map(sentry_sdk.profile, functions):
        results.append([await profiled(1), await asyncio.ensure_future(asyncio.wait_for(profiled(2), 10))])
    return results
print(json.dumps(asyncio.run(main())))
"""
    )
    assert ran.result == [[2, 3]] * len(AWAITED)
    expected = [("function", name, True) for _, name, windows in AWAITED for _ in range(2 * windows)]
    assert noted(agent) == (expected if init == INIT else [])


def test_a_generator_that_is_awaited_is_still_known_as_one(run):
    ran = run(
        AWAITABLES
        + """
profiled = sentry_sdk.profile(of_types)
flag = inspect.CO_ITERABLE_COROUTINE
print(json.dumps([inspect.isgeneratorfunction(profiled), inspect.isawaitable(profiled(1)), bool(of_types.__code__.co_flags & flag)]))
print(json.dumps(asyncio.run(C.of_none(1))))
@sentry_sdk.profile
def numbers():
    yield 1
assert not inspect.isawaitable(numbers())
"""
    )
    assert ran.stdout == "[true, true, true]\n2\n"


@pytest.mark.skipif(not hasattr(inspect, "markcoroutinefunction"), reason="Python 3.12")
def test_a_function_that_is_marked_as_a_coroutine_function(run, agent):
    ran = run(
        AWAITABLES
        + INIT
        + """
at_once = []
@inspect.markcoroutinefunction
def starts_at_once(x):
    at_once.append(x)
    return plain(x) if x else asyncio.get_running_loop().create_future()
profiled = sentry_sdk.profile(starts_at_once)
below = inspect.markcoroutinefunction(sentry_sdk.profile(lambda: None))
async def main():
    coroutine = profiled(1)
    return [len(at_once), inspect.iscoroutine(coroutine), await coroutine, isinstance(profiled(0), asyncio.Future)]
print(json.dumps([inspect.iscoroutinefunction(profiled), inspect.iscoroutinefunction(below)] + asyncio.run(main())))
"""
    )
    assert ran.result == [True, True, 1, True, 2, True]
    assert noted(agent) == [("function", "__main__.starts_at_once", True)] * 4


def test_what_cannot_be_profiled_is_left_as_it_is(run, agent):
    ran = run(
        INIT
        + """
class Proxy:
    def __getattr__(self, name): raise RuntimeError("stands for nothing yet")
    def __call__(self): return 5
assert sentry_sdk.profile(Proxy(), name="proxy")() == 5
class Kept(staticmethod): pass
class Other(staticmethod):
    def __init__(self, f, more): super().__init__(f)
class C:
    f = sentry_sdk.profile(Kept(lambda: 6))
    g = sentry_sdk.profile(Other(lambda: 7, "more"))
    h = sentry_sdk.profile(property(lambda self: 8))
assert (C.f(), C.g(), C().h, type(C.__dict__["f"])) == (6, 7, 8, Kept)
"""
    )
    assert len(noted(agent)) == 1
    assert len(ran.warnings) == 1 and "Proxy" in ran.warnings[0]


COUNTS = """
session = sentry_profiled.sdk._installed.session
def counts():
    return [session.board.words[2], len(session._marks), len(session._marked), session._calls]
"""


def test_an_asynchronous_generator_that_is_closed_is_open_while_it_cleans_up(run, agent):
    ran = run(
        INIT
        + COUNTS
        + """
import asyncio
@sentry_sdk.profile
async def ticks():
    try:
        yield 1
    finally:
        seen.append(session.board.words[2])
        await asyncio.sleep(0.001)
        seen.append(session.board.words[2])
seen = []
async def main():
    g = ticks()
    await g.__anext__()
    await g.aclose()
asyncio.run(main())
print(json.dumps([seen, counts()]))
"""
    )
    assert ran.result == [[1, 1], [0, 0, 0, 0]]
    assert noted(agent) == [("function", "__main__.ticks", True)] * 3


def test_a_generator_that_another_thread_closes_or_the_collector(run, agent):
    ran = run(
        INIT
        + COUNTS
        + """
@sentry_sdk.profile
def numbers():
    try:
        yield 1
    finally:
        idents.append(threading.get_ident())
idents = []
for end in ("close", "collect"):
    g = [numbers()]
    next(g[0])
    thread = threading.Thread(target=g[0].close if end == "close" else g.clear)
    thread.start(); thread.join()
    del g
print(json.dumps([counts(), idents, threading.get_ident()]))
"""
    )
    counts, idents, main = ran.result
    assert counts == [0, 0, 0, 0]
    # Each in the thread in which it ran.
    assert [w["thread"] for w in agent.windows()] == [main, idents[0], main, idents[1]]
    assert main not in idents


def test_one_object_for_blocks_within_each_other(run, agent, receiver):
    ran = run(
        INIT
        + COUNTS
        + """
s = sentry_sdk.start_profiling_span("x")
seen = []
with sentry_sdk.start_transaction(name="a"):
    with s:
        with s:
            seen.append(counts()[0])
            try:
                with s:
                    raise KeyError
            except KeyError:
                pass
        seen.append(counts()[0])
with s:
    pass
s.__exit__(None, None, None)  # one too many
print(json.dumps([seen, counts()]))
"""
    )
    assert ran.result == [[2, 1], [0, 0, 0, 0]]
    assert noted(agent) == [("block", "x", True)] * 4
    (transaction,) = receiver.items("transaction")
    spans = {span["span_id"]: span["parent_span_id"] for span in transaction["spans"]}
    root = transaction["contexts"]["trace"]["span_id"]
    assert sorted(spans.values()) == sorted([root] + list(spans)[:2])


def test_one_object_in_several_threads(run, agent):
    """Check that each thread ends its own block, not the one that was begun last."""
    ran = run(
        INIT
        + COUNTS
        + """
s = sentry_sdk.start_profiling_span("x")
first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
def first():
    with s:
        first_in.set()
        second_in.wait()
    still.extend(session._marks.values())
    first_out.set()
def second():
    first_in.wait()
    with s:
        second_in.set()
        first_out.wait()
still = []
threads = [threading.Thread(target=f) for f in (first, second)]
for t in threads: t.start()
idents = [t.ident for t in threads]
for t in threads: t.join()
many = [threading.Thread(target=lambda: [s.__enter__().__exit__(None, None, None) for _ in range(500)]) for _ in range(4)]
sys.setswitchinterval(1e-5)
for t in many: t.start()
for t in many: t.join()
print(json.dumps([still == idents[1:], counts()]))
"""
    )
    assert ran.result == [True, [0, 0, 0, 0]]


def test_one_object_in_several_tasks(run, agent):
    ran = run(
        INIT
        + COUNTS
        + """
import asyncio
s = sentry_sdk.start_profiling_span("x")
order, closed, turns = [], [], {}
close = sentry_profiled.session.Call.close
def noted_close(call):
    closed.append(order.index(call))
    close(call)
sentry_profiled.session.Call.close = noted_close
async def block(after, before):
    await after.wait()
    with s:
        order.append(list(s._blocks)[-1].call)
        turns[len(order) - 1].set()
        await before.wait()
    turns[-len(closed)].set()
async def generator():
    with s:
        order.append(list(s._blocks)[-1].call)
        yield
async def main():
    inner = generator()
    turns.update((n, asyncio.Event()) for n in (0, 1, 2, -1, -2))
    with s:
        order.append(list(s._blocks)[-1].call)
        turns[0].set()
        # The first one begun is the first one ended.
        await asyncio.gather(block(turns[0], turns[2]), block(turns[1], turns[-1]))
    # Begun in one context, ended in another.
    await asyncio.ensure_future(inner.__anext__())
    await asyncio.ensure_future(inner.aclose())
asyncio.run(main())
print(json.dumps([closed, counts()]))
"""
    )
    assert ran.result == [[1, 2, 0, 3], [0, 0, 0, 0]]


def test_what_is_entered_and_never_left_fills_neither_the_board_nor_memory(run, agent):
    ran = run(
        INIT
        + COUNTS
        + """
from sentry_profiled import functions
for _ in range(300):
    sentry_sdk.start_profiling_span("thrown away").__enter__()
thrown_away = counts()[0]
kept = sentry_sdk.start_profiling_span("kept")
for _ in range(300):
    kept.__enter__()
most = counts()[0]
for _ in range(300):
    kept.__exit__(None, None, None)
chain = functions._still_open(functions._entered.get())
print(json.dumps([thrown_away, most, chain, counts()]))
"""
    )
    assert ran.result == [0, 64, None, [0, 0, 0, 0]]


@pytest.mark.parametrize("interrupted", ["open_call", "_open_and_resume", "_settle_marks"])
def test_an_interrupt_while_a_call_begins_leaves_nothing_open(run, interrupted):
    """Check what Ctrl-C, or a timeout that a signal handler raises, does at the worst moment."""
    ran = run(
        INIT
        + COUNTS
        + "name = {!r}\n".format(interrupted)
        + """
original = getattr(session, name)
def interrupt(*args, **kwargs):
    setattr(session, name, original)
    original(*args, **kwargs)
    raise KeyboardInterrupt
@sentry_sdk.profile
def f(): pass
def block():
    with sentry_sdk.start_profiling_span("x"): pass
for action in (f, block):
    setattr(session, name, interrupt)
    try:
        action()
        print("not interrupted")
    except KeyboardInterrupt:
        pass
    action()
print(json.dumps(counts()))
"""
    )
    assert ran.stdout == "[0, 0, 0, 0]\n"


def test_a_recursion_in_a_forked_child_and_in_a_thread_with_a_dead_ones_number(run, agent):
    ran = run(
        INIT
        + """
@sentry_sdk.profile
def f(then):
    return then()
def child():
    until(lambda: sentry_profiled.sdk._installed.session._allowed)
    f(lambda: None)
    sentry_profiled.functions.native.get_ident = lambda: ident  # as a new thread may have the number of one of the parent's
    f(lambda: None)
    look()
    os._exit(0)
def fork():
    pid = os.fork()
    if pid == 0:
        child()
    os.waitpid(pid, 0)
    return pid
begun, end = threading.Event(), threading.Event()
thread = threading.Thread(target=f, args=(lambda: (begun.set(), end.wait()),))
thread.start(); begun.wait()
ident = thread.ident
pid = f(fork)
end.set(); thread.join()
print(json.dumps(pid))
"""
    )
    assert [(w["kind"], bool(w["end"])) for w in agent.windows(ran.result)] == [("function", True)] * 2

"""`sentry_sdk.profile()` and `sentry_sdk.start_profiling_span()`."""

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

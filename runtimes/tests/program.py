# What the tests read: every kind of frame, and threads that stand. Lines are what the tests expect; keep them.
import sys, threading, time


class Thing:
    def method(self, then):
        return then()

    @staticmethod
    def static(then):
        return then()


def outer():
    def inner():
        return Thing().method(lambda: Thing.static(generated))
    return inner()


def generated():
    return [value for value in numbers()]


def numbers():
    yield wait_for(coroutine())


def wait_for(awaitable):
    try:
        awaitable.send(None)
    except StopIteration as stop:
        return stop.value


async def coroutine():
    return await awaited()


async def awaited():
    return recurse(
        3,
    )


def recurse(depth):
    if depth:
        return recurse(depth - 1)
    return größe_猫()


def größe_猫():
    namespace = {"then": sort, "__name__": "exec.uted"}
    exec(compile("def run():\n    pass\n    return then()\n\nrun()\n", "<made>", "exec"), namespace)


def sort():
    sorted([2, 1], key=key)


def key(value):
    stand()


def stand():
    ready.release()
    time.sleep(1000)


def deep(depth):
    if depth:
        return deep(depth - 1)
    stand()


def of_method(frame):
    """The name as sentry-sdk makes it where code has no qualified one; here no method is inherited."""
    name, owner = frame.f_code.co_name, type(frame.f_locals.get("self"))
    return f"{owner.__name__}.{name}" if name in vars(owner) else name


ready = threading.Semaphore(0)
depth = int(sys.argv[1]) if len(sys.argv) > 1 else 50
sys.setrecursionlimit(depth + 1000)
threading.stack_size(64 << 20)
threads = [outer, lambda: deep(depth)]
for target in threads:
    threading.Thread(target=target, daemon=True).start()
for _ in threads:
    ready.acquire()
time.sleep(0.1)  # Until they sleep, too.
# What the interpreter itself says of the others, leaf first.
for ident, frame in sys._current_frames().items():
    while frame and ident != threading.get_ident():
        code = frame.f_code
        name = getattr(code, "co_qualname", None) or of_method(frame)
        sys.stdout.buffer.write(f"{ident} {frame.f_globals['__name__']}.{name} {code.co_filename}:{frame.f_lineno}\n".encode())
        frame = frame.f_back
print("ready", flush=True)
while True:
    time.sleep(1000)

"""What this package adds to a transaction, on the program's own thread.

    python bench/overhead.py [ROUNDS]

A child process for each variant, all with the same SDK and a transport that throws everything away; they take turns, a
batch each, so that a busy machine is busy for all of them. A transaction is a root span with two children; its time is the CPU
time of its thread. "plain" is sentry-sdk without profiling, "sdk" with its own profiler. A stand-in of the agent answers.
"no-op" is a profiler that does nothing in the place where sentry-sdk has its own: what sentry-sdk itself does for any profiler (ids on
spans, the profile's place on the scope and in the envelope). What this package adds is what is added beyond that.
Then what this package's own code takes by itself, without the SDK around it: more exact, as it is the best of many loops.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
#: Short, so that what else the machine does falls on all variants alike.
BATCH = 10

#: Name: (with this package, options)
VARIANTS = {
    "plain": (False, {}),
    "plain, again": (False, {}),  # what this machine makes of no difference at all
    "installed, unsampled": (True, {"profile_session_sample_rate": 0.0}),
    "manual, running": (True, {"profile_session_sample_rate": 1.0}),
    "lifecycle trace": (True, {"profile_session_sample_rate": 1.0, "profile_lifecycle": "trace"}),
    "no-op: lifecycle trace": (False, {}),
    "transaction": (True, {"profiles_sample_rate": 1.0}),
    "no-op: transaction": (False, {}),
    "sdk: lifecycle trace": (False, {"profile_session_sample_rate": 1.0, "profile_lifecycle": "trace"}),
    "sdk: transaction": (False, {"profiles_sample_rate": 1.0}),
}

#: What is compared at the end: a variant of this package, and that of the same paths of the SDK with a profiler that does nothing.
BEYOND = {"lifecycle trace": "no-op: lifecycle trace", "transaction": "no-op: transaction"}


def profile_nothing(name):
    """A profiler that does nothing, as little as sentry-sdk takes for one."""
    import sentry_sdk.scope
    from sentry_sdk.profiler import continuous_profiler, transaction_profiler

    class Scheduler:
        profiler_id = "0" * 32

        def is_auto_start_enabled(self):
            return False

        def auto_start(self):
            return self

        def nothing(self):
            pass

        stop = manual_start = manual_stop = teardown = nothing

    class Profile(transaction_profiler.Profile):
        def __init__(self, sampled, start_ns):
            self.sampled = sampled
            self._hub = None

        def _set_initial_sampling_decision(self, sampling_context):
            pass

        def start(self):
            pass

        stop = start

        def valid(self):
            return True

        def to_json(self, event_opt, options):
            return {}

    if name == "no-op: lifecycle trace":
        continuous_profiler._scheduler = Scheduler()
    elif name == "no-op: transaction":
        sentry_sdk.scope.Profile = Profile


def child(name):
    installed, options = VARIANTS[name]
    if installed:
        import sentry_profiled

        sentry_profiled.install()
    import sentry_sdk
    from sentry_sdk.transport import Transport

    class Nowhere(Transport):
        def capture_envelope(self, envelope):
            pass

    # The integrations that are found by themselves depend on what else is installed.
    fixed = {"transport": Nowhere, "traces_sample_rate": 1.0, "auto_enabling_integrations": False}
    sentry_sdk.init(dsn="http://k@127.0.0.1:9/1", **fixed, **options)
    profile_nothing(name)
    sentry_sdk.profiler.start_profiler()
    for line in sys.stdin:
        took = []
        for _ in range(int(line)):
            start = time.thread_time_ns()
            with sentry_sdk.start_transaction(op="bench", name="bench"):
                with sentry_sdk.start_span(op="a", name="a"):
                    pass
                with sentry_sdk.start_span(op="b", name="b"):
                    pass
            took.append((time.thread_time_ns() - start) / 1000)
        print(json.dumps(took), flush=True)


def main(rounds):
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests"))
    control = os.path.join(tempfile.mkdtemp(), "control.sock")
    environment = dict(os.environ, SENTRY_PROFILED_CONTROL=control)
    environment["PYTHONPATH"] = os.path.join(os.path.dirname(HERE), "src")
    agent = subprocess.Popen(
        [sys.executable, "-c", "import sys; from agent import Agent; Agent(sys.argv[1]).start(); sys.stdin.read()", control],
        stdin=subprocess.PIPE,
        env=dict(environment, PYTHONPATH=os.path.join(os.path.dirname(HERE), "tests")),
    )
    while not os.path.exists(control):
        time.sleep(0.01)
    children = {
        name: subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, "--child", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        for name in VARIANTS
    }
    took = {name: [] for name in VARIANTS}
    batches = {name: [] for name in VARIANTS}
    for number in range(rounds + 11):
        for name, process in children.items():
            process.stdin.write("{}\n".format(BATCH))
            process.stdin.flush()
            batch = json.loads(process.stdout.readline())
            if number > 10:  # the first ones warm up
                took[name] += batch
                batches[name].append(statistics.median(batch))
    for process in list(children.values()) + [agent]:
        process.stdin.close()
        process.wait()
    plain = statistics.median(took["plain"])
    import sentry_sdk

    print("Python {}, sentry-sdk {}, {} transactions each".format(sys.version.split()[0], sentry_sdk.VERSION, rounds * BATCH))
    print("{:24} {:>10} {:>10} {:>10}".format("", "median us", "added us", "p10 us"))
    for name, values in took.items():
        median = statistics.median(values)
        print("{:24} {:10.1f} {:+10.1f} {:10.1f}".format(name, median, median - plain, sorted(values)[len(values) // 10]))

    def beyond(name, other):
        """Of the same rounds, so that what the machine did meanwhile is in neither."""
        return statistics.median(a - b for a, b in zip(batches[name], batches[other]))

    for name, nothing in BEYOND.items():
        sdk, both = beyond(nothing, "plain"), beyond(name, "plain")
        line = "{}: sentry-sdk's own path with a no-op profiler {:+.1f} us, with this package {:+.1f} us: of this package {:+.1f} us"
        print(line.format(name, sdk, both, beyond(name, nothing)))


def alone():
    import timeit

    from sentry_profiled import board
    from sentry_profiled.control import Answer
    from sentry_profiled.session import Session

    session = Session(board.Board())
    session.apply(Answer("", "continuous", True, None, True, None, None, [], None, 1))

    def best(action):
        return min(timeit.repeat(action, number=2000, repeat=15)) / 2000 * 1e6

    print("{:24} {:10.2f}".format("a span's profiler id", best(session.profiler_id)))
    print("{:24} {:10.2f}".format("a run, begun and ended", best(lambda: session.open_root().stop())))
    print("{:24} {:10.2f}".format("a transaction's window", best(lambda: session.close_window(session.open_window(board.TRANSACTION)))))
    print("{:24} {:10.2f}".format("a function or block", best(lambda: session.open_call(board.FUNCTION, "f").close())))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        sys.path.insert(0, os.path.join(os.path.dirname(HERE), "src"))
        main(int(sys.argv[1]) if sys.argv[1:] else 200)
        alone()

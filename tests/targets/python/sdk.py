"""Is profiled by sentry-sdk's own profiler for some seconds, and says then which frames that one sent, one a line, as JSON.

A package of its own lies beside it in a folder, so that there are frames of dotted modules.
"""
import functools
import importlib
import json
import os
import sys
import threading
import time

import sentry_sdk
from sentry_sdk.transport import Transport

FRAMES = []


class ToList(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            if item.type == "profile_chunk":
                FRAMES.extend(item.payload.json["profile"]["frames"])


class Worker:
    def method(self):
        return self.helper(3)

    @staticmethod
    def helper(n):
        return sum(spin() for _ in range(n))

    @classmethod
    def build(cls):
        return cls().method()


def spin():
    total = 0
    for i in range(3000):
        total += i
    return total


def größe():
    def innen():
        return spin()

    return innen()


def sleeper():
    time.sleep(3600)


def waiter(event):
    event.wait()


def main():
    seconds, folder = float(sys.argv[1]), sys.argv[2]
    os.makedirs(os.path.join(folder, "acme/web"), exist_ok=True)
    for name, text in [
        ("acme/__init__.py", "def top(f):\n    return f()\n"),
        ("acme/web/__init__.py", ""),
        ("acme/web/views.py", "def view(f):\n    return f()\n"),
    ]:
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    sys.path.insert(0, folder)
    acme, views = importlib.import_module("acme"), importlib.import_module("acme.web.views")
    threading.Thread(target=sleeper, daemon=True).start()
    threading.Thread(target=waiter, args=[threading.Event()], daemon=True).start()
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=ToList,
        profile_session_sample_rate=1.0,
        profile_lifecycle="manual",
        default_integrations=False,
    )
    print("ready", flush=True)
    sentry_sdk.profiler.start_profiler()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        Worker.build()
        acme.top(größe)
        views.view(spin)
        functools.reduce(lambda one, other: spin(), range(3))
        json.loads('{"a": 1}', object_hook=lambda pairs: spin())
        sorted([2, 1], key=lambda item: spin())
    sentry_sdk.profiler.stop_profiler()
    print(json.dumps(FRAMES), flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()

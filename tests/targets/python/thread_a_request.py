"""A server that begins a thread for each request: each computes for five milliseconds, one after the other. As many
more as are given wait."""
import sys
import threading
import time


def handle():
    end = time.perf_counter() + 0.005
    n = 0
    while time.perf_counter() < end:
        n = (n * 31 + 7) % 1_000_003


def rests():
    threading.Event().wait()


def accepts():
    while True:
        thread = threading.Thread(target=handle)
        thread.start()
        thread.join()


threading.stack_size(256 * 1024)
for _ in range(int(sys.argv[1])):
    threading.Thread(target=rests, daemon=True).start()
print("ready", flush=True)
accepts()

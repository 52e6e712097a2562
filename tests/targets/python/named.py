"""Threads that are named at their start, or late, or end soon; and as many as the argument says that sleep.

A test expects the names `MainThread`, `brief`, `größe 猫` and `worker N`: the last that each thread had.
"""
import sys
import threading
import time

stop = threading.Event()
for index in range(int(sys.argv[1])):
    threading.Thread(target=stop.wait, name=f"worker {index}", daemon=True).start()
late = threading.Thread(target=stop.wait, name="too early", daemon=True)
late.start()


def brief():
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass


print("ready", flush=True)
began = time.monotonic()
while True:
    threading.Thread(target=brief, name="brief").start()
    time.sleep(0.5)
    if time.monotonic() - began > 3:
        late.name = "größe 猫"

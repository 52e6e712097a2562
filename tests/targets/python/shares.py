"""Functions of 70, 20 and 10 % of a thread's CPU time, and two threads that wait. Says at the end what the shares were."""
import json
import sys
import threading
import time

QUANTUM = 0.001


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def seventy():
    spin(7 * QUANTUM)


def twenty():
    spin(2 * QUANTUM)


def ten():
    spin(QUANTUM)


def sleeper():
    time.sleep(3600)


def waiter(event):
    event.wait()


def main():
    used = dict.fromkeys(["seventy", "twenty", "ten"], 0.0)
    threading.Thread(target=sleeper, daemon=True).start()
    threading.Thread(target=waiter, args=[threading.Event()], daemon=True).start()
    print("ready", flush=True)
    end = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        for function in (seventy, twenty, ten):
            before = time.thread_time()
            function()
            used[function.__name__] += time.thread_time() - before
    total = sum(used.values())
    print(json.dumps({name: seconds / total for name, seconds in used.items()}), flush=True)


if __name__ == "__main__":
    main()

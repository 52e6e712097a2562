"""Threads whose stacks are known by name and line, until SIGTERM.

A test expects, for each thread, the functions named in its name, root first, and at the end of a line its mark `# at NAME`.
"""
import functools
import signal
import sys
import threading
import time


class Worker:
    def run(self):
        self.spin()  # at run

    def spin(self):
        total = 0
        while not done:
            total += 1  # at spin
        return total


def by_key(item):
    while not done and item == 3:
        item = 3  # at by_key
    return item


def sorts():
    list(sorted([3, 1, 2], key=by_key))  # at sorts


def generated():
    for n in range(3):
        yield n
        while not done and n == 1:
            n = 1  # at generated


def consumes():
    return sum(generated())  # at consumes


def deco(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)  # at wrapper

    return wrapper


@deco
def größe(seconds):
    time.sleep(seconds)  # at größe


def sleeps():
    größe(3600)  # at sleeps


async def leaf():
    while not done:
        pass  # at leaf


async def middle():
    await leaf()  # at middle


def coroutines():
    try:
        middle().send(None)  # at coroutines
    except StopIteration:
        pass


done = False
THREADS = [Worker().run, sorts, consumes, sleeps, coroutines]


def main():
    for function in THREADS:
        name = function.__name__
        threading.Thread(target=function, name=name, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("ready", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()

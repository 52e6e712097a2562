"""Threads that C code has called into, each asleep in `pause`, until SIGTERM. Names of threads are those of their functions.

A test expects, of each, the functions of this file with their lines (a line's mark is `# at NAME`), and what is between them.
"""
import functools
import re
import signal
import sys
import threading
import time


def pause():
    waiting.append(threading.current_thread().name)
    time.sleep(3600)  # at pause


def hook(pairs):
    pause()  # at hook
    return pairs


def json_hook():
    import json

    json.loads('[1, {"a": {}}]', object_hook=hook)  # at json_hook


def sql_function(value):
    pause()  # at sql_function
    return value


def sqlite():
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.create_function("f", 1, sql_function)
    connection.execute("select f(1)").fetchall()  # at sqlite


def compare(one, other):
    pause()  # at compare
    return 0


def ctypes_callback():
    import ctypes

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(compare)
    numbers = (ctypes.c_int * 2)(2, 1)
    ctypes.CDLL("libc.so.6").qsort(numbers, 2, 4, callback)  # at ctypes_callback


def replacement(match):
    pause()  # at replacement
    return ""


def re_sub():
    re.sub("b", replacement, "abc")  # at re_sub


def reducer(one, other):
    pause()  # at reducer


def reduces():
    functools.reduce(reducer, [1, 2])  # at reduces


def key(item):
    pause()  # at key


def sorts():
    sorted([1], key=key)  # at sorts


def inner():
    yield 1
    pause()  # at inner
    yield 2


def outer():
    yield from inner()  # at outer


def generates():
    for _ in outer():  # at generates
        pass


class Adds:
    def __add__(self, other):
        pause()  # at add

    def __del__(self):
        pause()  # at del

    @property
    def value(self):
        pause()  # at value

    def __pos__(self):
        pause()  # at pos

    def __matmul__(self, other):
        pause()  # at matmul

    def __aenter__(self):
        pause()  # at aenter

    def __aexit__(self, *_):
        pass

    def __enter__(self):
        pause()  # at enter

    def __exit__(self, *_):
        pass


def operator():
    Adds() + 1  # at operator


def positive():
    +Adds()  # at positive


def product():
    Adds() @ 1  # at product


async def enters():
    async with Adds():  # at enters
        pass


def async_context():
    enters().send(None)  # at async_context


def finalizer():
    Adds()  # at finalizer


def attribute():
    Adds().value  # at attribute


def context():
    with Adds():  # at context
        pass


class Iterates:
    async def __anext__(self):
        pause()  # at anext

    def __aiter__(self):
        return self


async def awaits():
    async for _ in Iterates():  # at awaits
        pass


def coroutine():
    awaits().send(None)  # at coroutine


def evaluates():
    exec(compile("pause()", "merged.py", "exec"))  # at evaluates


def excepts():
    try:
        raise KeyError
    except KeyError:
        pause()  # at excepts


def numpy():
    import numpy

    numpy.frompyfunc(key, 1, 1)(numpy.arange(3))  # at numpy


def greenlets():
    import greenlet

    def parked():
        greenlet.getcurrent().parent.switch()

    def parent():
        list(map(parked_then_runs, [1]))  # at parent

    def parked_then_runs(_):
        greenlet.greenlet(parked).switch()
        greenlet.greenlet(running).switch()  # at starts

    def running():
        reducer(1, 2)  # at running

    greenlet.greenlet(parent).switch()


THREADS = [
    json_hook, sqlite, ctypes_callback, re_sub, reduces, sorts, generates, operator, finalizer, attribute, context,
    coroutine, evaluates, excepts, positive, product, async_context, numpy, greenlets,
]


def run(function):
    try:
        function()
    except ImportError as error:
        print("absent:", error, flush=True)
        absent.append(function.__name__)


waiting = []
absent = []


def main():
    wanted = sys.argv[1:] or [function.__name__ for function in THREADS]
    for function in THREADS:
        if function.__name__ in wanted:
            threading.Thread(target=run, args=[function], name=function.__name__, daemon=True).start()
            # One after the other: imports take turns.
            while function.__name__ not in waiting + absent:
                time.sleep(0.001)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    time.sleep(0.1)
    print("ready", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()

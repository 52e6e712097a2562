"""Greenlets of gevent that take turns in one thread, some through C code, some asleep."""
import gevent.monkey

gevent.monkey.patch_all()

import gevent


def deep(depth, function):
    return function() if depth == 0 else deep(depth - 1, function)


def spin():
    for _ in range(20000):
        pass


def called(_):
    spin()


def plain():
    while True:
        deep(3, spin)
        gevent.sleep(0)


def mapped():
    while True:
        list(map(called, [1]))
        gevent.sleep(0)


def asleep():
    while True:
        deep(5, lambda: gevent.sleep(0.001))


print("ready", flush=True)
gevent.joinall([gevent.spawn(function) for function in (plain, mapped, asleep, asleep)])

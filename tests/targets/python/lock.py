"""Threads that need the global interpreter lock, do without it, and sleep, until SIGTERM.

A test expects of each thread, by the function that it runs, what it has of the lock.
"""
import hashlib
import signal
import sys
import threading
import time

DATA = b"x" * (64 << 20)


def computes():
    total = 0
    while True:
        total += 1


def hashes():
    while True:
        hashlib.sha256(DATA).digest()


def sleeps():
    time.sleep(3600)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for function in (computes, computes, hashes, sleeps):
        threading.Thread(target=function, name=function.__name__, daemon=True).start()
    print("ready", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main()

# A thread of a C library, argv[1], works in `called` > `works`: a millisecond or less, with a new Python state each time.
import ctypes, sys, time


def works():
    total = 0
    for number in range(12000):
        total += number * number % 7
    return total


@ctypes.CFUNCTYPE(None)
def called():
    works()


ctypes.CDLL(sys.argv[1]).start(called)
print("ready", flush=True)
while True:
    time.sleep(1000)

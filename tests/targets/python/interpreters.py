# A thread that works in an interpreter of its own, which it entered from the main one: `enters` there, then `<module>` and
# `inner` here. Before that it worked in another one, in which it has a state still.
import threading

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

WORK = """
def inner():
    total = 0
    for number in range(3000):
        total += number * number % 7
    return total
while True:
    inner()
"""


def enters():
    interpreters.run_string(interpreters.create(), "1 + 1")
    interpreters.run_string(interpreters.create(), WORK)


threading.Thread(target=enters).start()
print("ready", flush=True)

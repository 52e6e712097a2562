"""Call trees in which each function has one caller, with frames of many sizes: a stack that is no path is wrong.

The first argument says for how long; with a second one generators and coroutines call, too.
"""
import sys
import time

DEPTH = 12


def tree():
    """a1 calls a2 calls ... a12, b1 likewise, each with another number of locals."""
    lines = []
    for depth in range(DEPTH, 0, -1):
        for side in "ab":
            lines.append(f"def {side}{depth}(x):")
            lines.extend(f"    v{number} = x + {number}" for number in range((depth * 7 + (side == "b") * 5) % 23))
            work = "x += 1" if depth == DEPTH else f"x = {side}{depth + 1}(x)"
            lines.extend(["    for _ in (1,):", f"        {work}", "    return x"])
    names = {}
    exec(compile("\n".join(lines), "tree.py", "exec"), names)
    return names["a1"], names["b1"]


def g4(n):
    for i in range(n):
        yield i


def g3(n):
    yield from g4(n)


def g2(n):
    for x in g3(n):
        yield x


def g1():
    return sum(g2(50))


async def c3(x):
    return x


async def c2():
    for i in range(50):
        await c3(i)


def c1():
    try:
        c2().send(None)
    except StopIteration:
        pass


def main():
    calls = [*tree()] if len(sys.argv) < 3 else [lambda _: g1(), lambda _: c1()]
    print("ready", flush=True)
    end = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        for _ in range(100):
            for call in calls:
                call(0)


if __name__ == "__main__":
    main()

"""What the checks in real environments share: steps that print JSON lines, a receiver, and questions to chunks. Only the
standard library, so that it runs wherever Python does."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import zlib

HERE = pathlib.Path(__file__).resolve().parent


class Failed(Exception):
    """A check that did not hold. The text says what was seen instead."""


class Abort(Exception):
    """Nothing that follows can hold either."""


class Steps:
    """Prints one JSON line a step, and remembers whether one failed."""

    def __init__(self):
        self.failed = []

    @contextlib.contextmanager
    def step(self, name, needed=False):
        """`needed`: the steps after it cannot be done without."""
        detail, began, error = {}, time.monotonic(), None
        try:
            yield detail
        except (Failed, subprocess.SubprocessError, OSError, KeyError, ValueError) as failed:
            error = describe(failed)
        line = {"step": name, "ok": error is None, "seconds": round(time.monotonic() - began, 1), **detail}
        if error is not None:
            line["error"] = error
            self.failed.append(name)
        print(json.dumps(line), flush=True)
        if error is not None and needed:
            raise Abort(name)

    def end(self):
        """The exit code."""
        print(json.dumps({"step": "end", "ok": not self.failed, "failed": self.failed}), flush=True)
        return 1 if self.failed else 0


def describe(failed):
    """An error with what the program said."""
    said = "".join(text for text in (getattr(failed, "stdout", None), getattr(failed, "stderr", None)) if isinstance(text, str))
    return f"{failed!s}\n{said[-2000:]}".strip()


def check(holds, text):
    """Fails the step with this text."""
    if not holds:
        raise Failed(text)


def run(*command, timeout=120, check=True, **options):
    """Runs it to its end; what it prints is in the result."""
    return subprocess.run([str(word) for word in command], check=check, timeout=timeout, text=True, capture_output=True, **options)


def wait_for(what, look, seconds):
    """Looks until something is seen, and gives it."""
    until = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > until:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.2)


def bare_system(cache, suite, packages):
    """A folder with a Debian, made once, and whether it was there. `packages`: separated by commas."""
    folder = pathlib.Path(cache).resolve() / f"{suite}-{zlib.crc32(packages.encode()):08x}"
    if (folder / ".complete").exists():
        return folder, True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run("debootstrap", "--variant=minbase", f"--include={packages}", suite, folder, timeout=900)
    shutil.rmtree(folder / "var/cache/apt/archives", ignore_errors=True)
    (folder / ".complete").touch()
    return folder, False


class Receiver:
    """The process of receiver.py, and the chunks that it took. `enter`: words before the command, to run it elsewhere."""

    def __init__(self, folder, port=0, enter=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [*enter, sys.executable, HERE / "receiver.py", self.folder, str(port)]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def dsn(self):
        return f"http://{'0123456789abcdef' * 2}@127.0.0.1:{self.port}/1"

    def chunks(self, after=0):
        """In the order in which they came, without the first `after` of them."""
        files = sorted(self.folder.glob("*.json"))[after:]
        return [json.loads(file.read_text()) for file in files]

    def count(self):
        return len(list(self.folder.glob("*.json")))

    def wait_for_path(self, names, seconds, after=0):
        """A chunk in which each of these functions calls the next one."""
        return wait_for(f"a chunk with {' > '.join(names)}", lambda: self.with_path(names, after), seconds)

    def with_path(self, names, after=0):
        return next((chunk for chunk in self.chunks(after) if has_path(chunk, names)), None)

    def end(self):
        self.process.terminate()
        self.process.wait()


def has_path(chunk, names):
    """Whether one stack has all the names, from root to leaf, in this order; others may stand between."""
    profile = chunk.get("profile", {})
    frames = [frame.get("function") or "" for frame in profile.get("frames", [])]
    for stack in profile.get("stacks", []):
        left = list(names)
        for index in reversed(stack):
            if left and left[0] in frames[index]:
                left.pop(0)
        if not left:
            return True
    return False


def functions(chunk):
    """The names in a chunk, for a failure's text."""
    return sorted({frame.get("function") or "?" for frame in chunk.get("profile", {}).get("frames", [])})


def need_root():
    if os.geteuid() != 0:
        sys.exit("error: needs root: it mounts, and enters namespaces")

"""Fixtures: a stand-in of the agent, a receiver, and programs that run as processes of their own between the two."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from agent import Agent
from receiver import Receiver

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(os.path.dirname(HERE), "src")
#: An older sentry-sdk may be laid over the environment's own.
SEARCHED = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))


@pytest.fixture
def agent(tmp_path):
    with Agent(str(tmp_path / "control.sock")) as agent:
        yield agent


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


class Ran:
    """What a program did: its exit, what it printed last (as JSON), and its log."""

    def __init__(self, process, stdout, stderr):
        self.pid = process.pid
        self.code = process.returncode
        self.stdout = stdout
        self.stderr = stderr

    @property
    def result(self):
        return json.loads(self.stdout.strip().splitlines()[-1])

    @property
    def warnings(self):
        """The lines of our logger; deprecations and the like are the SDK's affair."""
        return [line[len("sentry_profiled: ") :] for line in self.stderr.splitlines() if line.startswith("sentry_profiled: ")]


#: In front of every program: `look()` returns when the stand-in has read the board, and `until()` when a condition holds. Under gevent,
#: the second lets other greenlets run. The SDK's own sampler, if it is at work, may need some time to have anything.
HELPERS = """
def look():
    import _socket, os
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(os.environ["SENTRY_PROFILED_CONTROL"] + ".look")
        connection.recv(1)
    except OSError:  # the agent is not there
        pass
    finally:
        connection.close()
def until(condition):
    import time
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
def sampled_by_the_sdk():
    import sentry_sdk, time
    time.sleep(0.1)
    profile = sentry_sdk.get_isolation_scope().profile
    return profile is None or not profile.sampled or profile.unique_samples > 2
"""

#: `init` without the integrations that are found by themselves: to import those takes as long as all the rest. Where a test is not about
#: how long something waits, that is long: the machine may be busy, or stand still for a second.
PRELUDE = """
import logging, os, sys, json, time, threading
logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
import sentry_profiled
sentry_profiled.install(timeout=20)
import sentry_sdk
import sentry_profiled.attach, sentry_profiled.session
sentry_profiled.attach.HOLD = 20
sentry_profiled.session.BLOCK_REUSE_NS = 20_000_000_000
def init(**options):
    options.setdefault("shutdown_timeout", 20)
    sentry_sdk.init(dsn=os.environ["SENTRY_DSN"], auto_enabling_integrations=False, **options)
"""

#: The stand-in looks at a board every few milliseconds, on a busy machine less often: its last look must not come after the end.
POSTLUDE = """
look()
"""


class Programs:
    def __init__(self, environment):
        self.environment = environment

    def start(self, code, prelude=PRELUDE, **environment):
        variables = dict(os.environ, **self.environment)
        variables.update(environment)
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", HELPERS + prelude + textwrap.dedent(code) + POSTLUDE],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            start_new_session=True,
        )

    def finish(self, process, input=None, timeout=60):
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the children that it forked, which hold its pipes open
            stdout, stderr = process.communicate()
            raise AssertionError("the program did not end\n" + stdout + stderr) from None
        return Ran(process, stdout, stderr)

    def __call__(self, code, prelude=PRELUDE, code_expected=0, **environment):
        ran = self.finish(self.start(code, prelude, **environment))
        assert ran.code == code_expected, ran.stdout + ran.stderr
        return ran


@pytest.fixture
def run(agent, receiver):
    return Programs({"PYTHONPATH": SEARCHED, "SENTRY_DSN": receiver.dsn, "SENTRY_PROFILED_CONTROL": agent.path})

"""A task of a queue that lasts longer than any profile: it works for three seconds, then waits until the time is up that is given."""
import os
import sys
import time

import sentry_sdk


def import_rows():
    end = time.thread_time() + 3
    n = 0
    while time.thread_time() < end:
        n = (n * 31 + 7) % 1_000_003


def wait_for_the_other_side(until):
    while time.monotonic() < until:
        time.sleep(1)


sentry_sdk.init(dsn=os.environ["SENTRY_DSN"], traces_sample_rate=1.0, profiles_sample_rate=1.0)

with sentry_sdk.start_transaction(op="queue.task", name="import"):
    end = time.monotonic() + float(sys.argv[1])
    import_rows()
    wait_for_the_other_side(end)

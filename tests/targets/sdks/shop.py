"""A request with one child span, under Sentry's own profiler in one of its modes: shop.py MODE DSN."""
import sys
import time

import sentry_sdk

SECONDS = 0.4
MODES = {
    "transaction": {"profiles_sample_rate": 1.0},
    "manual": {"profile_session_sample_rate": 1.0, "profile_lifecycle": "manual"},
    "trace": {"profile_session_sample_rate": 1.0, "profile_lifecycle": "trace"},
    "stream": {
        "profile_session_sample_rate": 1.0,
        "profile_lifecycle": "trace",
        "trace_lifecycle": "stream",
        "_experiments": {"trace_lifecycle": "stream"},
    },
}


def busy(until):
    number = 0
    while time.monotonic() < until:
        number += sum(range(100))
    return number


def request(mode):
    if mode == "stream":
        begin = sentry_sdk.traces.start_span
        with begin(name="GET /orders", attributes={"sentry.op": "http.server"}, parent_span=None):
            with begin(name="price the cart", attributes={"sentry.op": "cart.price"}):
                busy(time.monotonic() + SECONDS)
    else:
        with sentry_sdk.start_transaction(op="http.server", name="GET /orders"):
            with sentry_sdk.start_span(op="cart.price", name="price the cart"):
                busy(time.monotonic() + SECONDS)


mode, dsn = sys.argv[1:]
sentry_sdk.init(dsn=dsn, traces_sample_rate=1.0, release="shop@1.2.3", environment="staging", **MODES[mode])
if mode == "manual":
    sentry_sdk.profiler.start_profiler()
request(mode)
if mode == "manual":
    sentry_sdk.profiler.stop_profiler()
# The sampler notices that no request is left.
time.sleep(0.3)
sentry_sdk.flush(5)

"""What the servers of tests/tests/servers.rs and benches/scripts/servers run: a WSGI application with a request that works
for 2 ms and one that waits for 20 ms."""

import time


def burns(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        for _ in range(200):
            pass


def waits():
    time.sleep(0.02)


def application(environ, start_response):
    if environ["PATH_INFO"] == "/waits":
        waits()
    else:
        burns(0.002)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"done\n"]

"""The control socket's client, against servers that do not do as they should."""

import random
import socket
import threading
import time

import pytest

from sentry_profiled.control import Answer, Connection, ControlError, Refused, read_answer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@pytest.fixture
def server(tmp_path):
    """Answers the n-th connection with the n-th function of a list."""
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    handlers = []

    def serve():
        for handler in handlers:
            connection, _ = listener.accept()
            try:
                handler(connection)
            except OSError:
                pass
            finally:
                connection.close()

    def start(*functions):
        handlers.extend(functions)
        threading.Thread(target=serve, daemon=True).start()
        return Connection(path)

    yield start
    listener.close()


def says(*parts):
    def handler(connection):
        connection.recv(65536)
        for part in parts:
            connection.sendall(part)
            time.sleep(0.01)

    return handler


def test_an_answer_in_pieces(server):
    assert server(says(OK[:7], OK[7:30], OK[30:])).request("GET", "/", timeout=20) == (200, b"hi")


def test_a_chunked_answer(server):
    head = b"HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection = server(says(head, b"3\r\nabc\r\n", b"a;x=y\r\n0123456789\r\n0\r\nt: 1\r\n\r\n"))
    assert connection.request("GET", "/", timeout=20) == (404, b"abc0123456789")


def test_two_requests_on_one_connection(server):
    def handler(connection):
        for _ in range(2):
            connection.recv(65536)
            connection.sendall(OK)

    connection = server(handler)
    assert [connection.request("GET", "/", timeout=20) for _ in range(2)] == [(200, b"hi")] * 2


def test_a_kept_connection_that_was_closed_meanwhile(server):
    connection = server(says(OK), says(OK))
    assert connection.request("GET", "/", timeout=20) == (200, b"hi")
    time.sleep(0.05)
    assert connection.request("GET", "/", timeout=20) == (200, b"hi")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000,
        # The same in each process: the names of the tests are made of it, and pytest-xdist compares them.
        random.Random(1).randbytes(1 << 16),
    ],
    ids=lambda said: repr(said[:40]),
)
def test_what_is_no_answer(server, said):
    with pytest.raises(ControlError):
        server(says(said)).request("GET", "/")


def test_a_byte_a_moment_does_not_extend_the_deadline(server):
    def drip(connection):
        for byte in OK * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    start = time.monotonic()
    with pytest.raises(ControlError):
        server(drip).request("GET", "/", timeout=0.3)
    assert time.monotonic() - start < 5.0  # all of it takes a minute


def test_nobody_is_there(tmp_path):
    for path in (str(tmp_path / "none"), str(tmp_path), "/" + "x" * 200):
        with pytest.raises(ControlError):
            Connection(path).request("GET", "/")


ANSWER = b"""{"target": "shop", "mode": "continuous", "sampled": true, "reason": null, "options": {"profile_lifecycle": "trace",
"profiles_sample_rate": 0.5, "profiles_sampler": [{"op": "a", "rate": 1}]}, "warnings": ["w"],
"running": "00112233445566778899AABBCCDDEEFF", "change": 7, "new": {}}"""


def test_an_answer():
    assert read_answer(200, ANSWER) == Answer(
        target="shop",
        mode="continuous",
        sampled=True,
        reason=None,
        trace=True,
        profiles_sample_rate=0.5,
        rules=[{"op": "a", "rate": 1}],
        warnings=["w"],
        running="00112233445566778899aabbccddeeff",
        change=7,
    )


def test_an_answer_of_wrong_types_is_read_as_far_as_it_goes():
    body = b'{"mode": "off", "sampled": 1, "options": [], "warnings": "w", "running": "x", "change": true, "reason": 5, "target": []}'
    assert read_answer(200, body) == Answer("", "off", False, None, False, None, None, [], None, 0)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"mode": "other"}', b"\xff", b"null"])
def test_what_is_no_answer_of_an_agent(body):
    with pytest.raises(ControlError):
        read_answer(200, body)


def test_a_refusal():
    with pytest.raises(Refused) as raised:
        read_answer(404, b'{"error": "no entry has this process", "hint": "add one"}')
    assert (str(raised.value), raised.value.status, raised.value.hint) == ("no entry has this process (404)", 404, "add one")
    with pytest.raises(Refused, match="status 503"):
        read_answer(503, b"<html>")

"""A receiver of envelopes for tests: what a client sent, as parsed items."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def parse(data):
    """Header and items of an envelope: `[(type, payload)]`."""
    header, _, rest = data.partition(b"\n")
    items = []
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        item = json.loads(line)
        payload, rest = rest[: item["length"]], rest[item["length"] + 1 :]
        items.append((item["type"], json.loads(payload)))
    return json.loads(header), items


class Receiver:
    def __init__(self):
        receiver = self
        self.envelopes = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.envelopes.append(parse(body))
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.dsn = "http://key@127.0.0.1:{}/1".format(self._server.server_port)

    def items(self, type):
        return [payload for _, items in self.envelopes for of, payload in items if of == type]

    def lost(self):
        """Quantities of the client reports, by (reason, category)."""
        counts = {}
        for report in self.items("client_report"):
            for lost in report["discarded_events"]:
                key = (lost["reason"], lost["category"])
                counts[key] = counts.get(key, 0) + lost["quantity"]
        return counts

    def close(self):
        self._server.shutdown()
        self._server.server_close()

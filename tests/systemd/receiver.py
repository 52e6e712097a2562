"""Takes envelopes as Sentry does, and puts the payload of each profile chunk into a folder as 000001.json, 000002.json …

    receiver.py FOLDER PORT     port 0: any; printed as the first line
"""

import gzip
import http.server
import itertools
import json
import pathlib
import sys
import threading


def items(envelope):
    """Header and payload of each item: a line of JSON each, the payload by its length or up to the line's end."""
    at = envelope.index(b"\n") + 1
    while at < len(envelope):
        end = envelope.find(b"\n", at)
        if end < 0:
            return
        header, at = json.loads(envelope[at:end]), end + 1
        length = header.get("length")
        end = at + length if length is not None else envelope.find(b"\n", at)
        end = len(envelope) if end < 0 else end
        yield header, envelope[at:end]
        at = end + 1


def serve(folder, port):
    numbers, lock = itertools.count(1), threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or self.chunked()
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            for header, payload in items(body):
                if header.get("type") == "profile_chunk":
                    self.keep(payload)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def chunked(self):
            body = b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            return body

        def keep(self, payload):
            with lock:
                number = next(numbers)
                # Whole or not at all: somebody looks on.
                new = folder / f"{number:06}.new"
                new.write_bytes(payload)
                new.rename(folder / f"{number:06}.json")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(pathlib.Path(sys.argv[1]), int(sys.argv[2]))

"""The part of an HTTP service that all of the bank's programs share. Standard library only."""

import json
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers GET by `respond`; knows nothing of TLS, of policy, or of where it runs."""

    protocol_version = "HTTP/1.1"
    server_version = "CrossroadsBank"
    sys_version = ""
    timeout = 60  # seconds until an idle keep-alive connection is closed
    disable_nagle_algorithm = True

    def respond(self, path):
        """Return (status, content type, body) for a path without its query."""
        raise NotImplementedError

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self.send(200, "text/plain; charset=utf-8", b"ok\n")
        else:
            self.send(*self.respond(path))

    def send(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if content_type.startswith("text/html"):
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:")
            self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, template, *values):
        sys.stderr.write(f"{self.address_string()} {template % values}\n")

    def address_string(self):
        return self.client_address[0]


class Server(ThreadingHTTPServer):
    """One thread a connection: enough for a bank of this size."""

    daemon_threads = True
    request_queue_size = 128


def as_json(status, value):
    """An answer in JSON. Names keep their letters (no \\u escapes)."""
    return status, "application/json", json.dumps(value, ensure_ascii=False).encode()


def reference():
    """A short reference that a person can read out on the telephone; it is in the log too."""
    return uuid.uuid4().hex[:8].upper()


def run(handler, port):
    """Serve for ever."""
    Server(("0.0.0.0", port), handler).serve_forever()

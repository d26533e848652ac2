"""The same request again and again, until standard input ends. Prints one line of JSON a sample.

Arguments: keep|fresh METHOD URL BODY INTERVAL PATIENCE (seconds). `keep` uses one TCP connection for
all samples and never opens another: once it is lost, every later sample says so. `fresh` opens a
connection for each.
"""

import contextlib
import http.client
import json
import select
import sys
import time
import urllib.parse


def main() -> None:
    """Sample."""
    mode, method, text, body = sys.argv[1:5]
    interval, patience = float(sys.argv[5]), float(sys.argv[6])
    url = urllib.parse.urlsplit(text)
    connection: http.client.HTTPConnection | None = None
    lost = ""
    while not select.select([sys.stdin], [], [], interval)[0]:
        sample: dict[str, object] = {"time": time.time(), "status": 0, "error": lost, "port": 0}
        if not lost:
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=patience)
                    connection.connect()
                    connection.auto_open = 0  # a connection that is lost stays lost
                sample["port"] = connection.sock.getsockname()[1]
                headers = {"Content-Type": "application/json"} if body else {}
                connection.request(method, url.path or "/", body or None, headers)
                answer = connection.getresponse()
                answer.read()
                sample["status"] = answer.status
            except (OSError, http.client.HTTPException, AttributeError) as error:
                sample["error"] = f"{type(error).__name__}: {error}"
                lost = str(sample["error"]) if mode == "keep" else ""
            if mode == "fresh" and connection is not None:
                with contextlib.suppress(OSError):
                    connection.close()
                connection = None
        print(json.dumps(sample), flush=True)


if __name__ == "__main__":
    main()

"""One HTTP request, as an application makes it. Prints what came of it as one line of JSON.

Arguments: METHOD URL SECONDS; the body comes on standard input.
"""

import http.client
import json
import sys
import time
import urllib.parse


def main() -> None:
    """Make the request."""
    method, url, seconds = sys.argv[1], urllib.parse.urlsplit(sys.argv[2]), float(sys.argv[3])
    body = sys.stdin.buffer.read()
    started = time.monotonic()
    result: dict[str, object] = {"status": 0, "body": "", "error": "", "headers": {}}
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=seconds)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        result.update(status=answer.status, body=text, headers=dict(answer.getheaders()))
    except (OSError, http.client.HTTPException) as error:
        result["error"] = f"{type(error).__name__}: {error}".rstrip(": ")
    finally:
        connection.close()
    result["seconds"] = round(time.monotonic() - started, 4)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

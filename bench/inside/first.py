"""Asks an address for a page until it gets one; prints the time (UNIX seconds) of the first answer.

Arguments: ADDRESS PORT SECONDS. Lines on standard input are not read: the address is known beforehand.
"""

import http.client
import sys
import time


def main() -> None:
    address, port, deadline = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address, port, timeout=1)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                print(time.time())
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.005)
        finally:
            connection.close()
    raise SystemExit("no answer")


main()

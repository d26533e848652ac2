"""A closed loop of requests over keep-alive connections. Prints latencies and rate as JSON.

Arguments: ADDRESS PORT CONNECTIONS SECONDS. Each connection sends a request when it has the answer to
the one before; the first fifth of the time warms up and does not count.
"""

import json
import select
import socket
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def main() -> None:
    address, port, connections, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    sent: dict[int, float] = {}
    clock = time.perf_counter
    for _ in range(connections):
        connection = socket.create_connection((address, port), 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)
    begin = clock()
    warm, end = begin + seconds / 5, begin + seconds
    latencies: list[float] = []
    wrong = 0
    for number, connection in sockets.items():
        sent[number] = clock()
        connection.sendall(REQUEST)
    now = begin
    while now < end:
        for number, _ in poll.poll(1.0):
            answer = sockets[number].recv(4096)
            now = clock()
            if not answer.startswith(b"HTTP/1.1 200"):
                wrong += 1
                if not answer:
                    raise SystemExit("the server hung up")
            if now >= warm:
                latencies.append(now - sent[number])
            sent[number] = now
            sockets[number].sendall(REQUEST)
        now = clock()
    latencies.sort()
    count = len(latencies)
    print(
        json.dumps(
            {
                "rate": count / (end - warm),
                "p50_ms": latencies[count // 2] * 1e3,
                "p99_ms": latencies[min(count - 1, count * 99 // 100)] * 1e3,
                "requests": count,
                "wrong": wrong,
            }
        )
    )


main()

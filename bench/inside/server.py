"""The smallest HTTP/1.1 server: as little of the measured time as possible is its own. Argument: port."""

import asyncio
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
END = b"\r\n\r\n"


class Protocol(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.waiting = b""

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        count = self.waiting.count(END)
        if count and isinstance(self.transport, asyncio.WriteTransport):
            self.waiting = self.waiting.rpartition(END)[2]
            self.transport.write(ANSWER * count)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Protocol, "0.0.0.0", int(sys.argv[1]), backlog=512)  # noqa: S104
    await server.serve_forever()


asyncio.run(main())

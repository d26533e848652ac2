"""Everything that crosses the wire between the nodes, captured by a packet socket of our own.

The socket sits in the network namespace of the fabric, the bridge that stands for the data centre's
switch, and sees what a tap on a cable would see.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import threading
from types import TracebackType

from tsujiban.local.demo.packets import Segment, Streams, segment
from tsujiban.supervise.netns import call_in, namespace_path

ETH_P_ALL = 0x0003
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_RCVBUFFORCE = 33
BUFFER = 64 << 20
LARGEST = 1 << 18
WAKE_SECONDS = 0.1


class Capture:
    """Records TCP segments whose both ends are in `network`, until closed. A context manager."""

    def __init__(self, namespace: str, network: str) -> None:
        """`namespace` names a network namespace. Raises OSError."""
        self._network = ipaddress.ip_network(network)
        self._segments: list[Segment] = []
        self._stop = threading.Event()
        self._socket = call_in(namespace_path(namespace), _open)
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._lost = 0

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    @property
    def lost(self) -> int:
        """Frames that the kernel had to drop because this process was too slow; 0 is: complete."""
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self._lost += struct.unpack("II", statistics)[1]  # reading it resets it
        return self._lost

    def streams(self, *addresses: str) -> Streams:
        """Reassembled streams; with `addresses`, only those that have one of them at an end."""
        streams = Streams()
        for part in list(self._segments):
            if not addresses or part.source in addresses or part.destination in addresses:
                streams.add(part)
        return streams

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                frame, address = self._socket.recvfrom(LARGEST)
                if address[2] == PACKET_OUTGOING:  # every frame comes in at one port and leaves by another
                    continue
                part = segment(frame)
                if part is not None and self._inside(part.source) and self._inside(part.destination):
                    self._segments.append(part)

    def _inside(self, address: str) -> bool:
        return ipaddress.ip_address(address) in self._network


def _open() -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    tap.settimeout(WAKE_SECONDS)
    return tap

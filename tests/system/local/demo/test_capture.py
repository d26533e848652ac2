"""The tap sees what crosses a bridge between two network namespaces, once and whole."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator

import pytest
from tests.support.wait import PATIENCE

from tsujiban.local.demo.capture import Capture
from tsujiban.local.down import down
from tsujiban.local.fabric import Fabric
from tsujiban.local.waiting import until
from tsujiban.supervise.netns import call_in, namespace_path

pytestmark = pytest.mark.system
SECRET = b"the quick brown fox " * 5000


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    made = Fabric("t" + uuid.uuid4().hex[:8])
    made.create()
    yield made
    made.destroy()
    down(made.cluster)


def test_bytes_between_two_nodes_are_seen_once_and_in_order(fabric: Fabric) -> None:
    nodes = [fabric.add_node(f"node-{number}", number) for number in (1, 2)]
    server = call_in(
        namespace_path(nodes[1].namespace), lambda: socket.create_server((nodes[1].address, 9000))
    )
    received: list[bytes] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65536):
                received.append(data)

    with server, Capture(fabric.namespace, "172.31.255.0/24") as capture:
        thread = threading.Thread(target=serve)
        thread.start()
        client = call_in(
            namespace_path(nodes[0].namespace),
            lambda: socket.create_connection((nodes[1].address, 9000), PATIENCE),
        )
        with client:
            client.sendall(SECRET)
        thread.join(PATIENCE)
        assert b"".join(received) == SECRET
        assert until(lambda: any(s.data() == SECRET for s in capture.streams().streams), PATIENCE)
        streams = capture.streams(nodes[0].address)
        assert sorted(len(stream.data()) for stream in streams.streams) == [0, len(SECRET)]
        assert streams.headless == {}
        assert capture.streams("172.31.255.99").streams == []
        assert capture.lost == 0

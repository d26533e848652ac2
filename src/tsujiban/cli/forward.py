"""`tsujiban port-forward POD LOCAL:[HOST:]PORT`: from 127.0.0.1 of this machine into a pod's network.

The far end of the forward is opened inside the pod's network namespace, as by a program that runs
there. So when HOST is another service, the connection leaves the pod through its sidecar, in mutual
TLS, under the pod's identity and under policy: the forward is no way around the mesh.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

import click

from tsujiban.cli.complete import pods
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect, find_pod, kind_of, namespace_option, open_local

if TYPE_CHECKING:
    from tsujiban.local.client import Client

CHUNK = 65536

FarEnd = Callable[[], socket.socket]


class Forward(NamedTuple):
    """One LOCAL:[HOST:]PORT."""

    local: int
    host: str  # "" is the pod's own loopback address
    port: int


def parse(text: str) -> Forward:
    """`8080`, `8080:80`, `8080:summary:80`, `:80` (any free local port). Raises Failure."""
    words = text.split(":")
    try:
        numbers = [int(words[0] or 0), int(words[-1])]
        if len(words) > 3 or not all(0 <= number < 65536 for number in numbers) or not numbers[1]:
            raise ValueError(text)
    except ValueError:
        raise Failure(
            f"{text!r} is not LOCAL:[HOST:]PORT", hint="For example 8080:customer:8080.", code=Exit.USAGE
        ) from None
    return Forward(numbers[0], words[1] if len(words) == 3 else "", numbers[1])


@click.command(name="port-forward")
@click.argument("pod", shell_complete=pods)
@click.argument("forwards", nargs=-1, required=True, metavar="LOCAL:[HOST:]PORT...")
@namespace_option
@cluster_option
def forward(pod: str, forwards: tuple[str, ...], namespace: str, cluster: str) -> None:
    """Forward local ports into a pod, e.g. `tsujiban port-forward deployment/visitor 8080:customer:8080`.

    HOST is an address or a service (`customer`, `customer.shop`); without it, the pod itself.
    """
    wanted = [parse(text) for text in forwards]
    local = open_local(cluster)
    with connect(cluster) as client:
        name = find_pod(client, namespace, pod)["metadata"]["name"]
        resolved = [(entry, _address(client, namespace, entry.host)) for entry in wanted]
    listeners: list[tuple[socket.socket, FarEnd]] = []
    for entry, address in resolved:
        try:
            listener = socket.create_server(("127.0.0.1", entry.local))
        except OSError as error:
            raise Failure(
                f"127.0.0.1:{entry.local}: {error.strerror}", hint="Choose another local port."
            ) from error
        port = listener.getsockname()[1]
        click.echo(
            f"http://127.0.0.1:{port} -> {entry.host or name}:{entry.port} (through {name}; Ctrl-C ends it)"
        )
        listeners.append((listener, partial(local.socket_in_pod, namespace, name, address, entry.port)))
    try:
        asyncio.run(serve(listeners))
    except KeyboardInterrupt:
        click.echo()


def _address(client: Client, namespace: str, host: str) -> str:
    if not host:
        return "127.0.0.1"
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    name, _, rest = host.partition(".")
    service = client.get(kind_of("services"), rest.partition(".")[0] or namespace, name)
    address = str(service["spec"].get("clusterIP") or "")
    if address in ("", "None"):
        raise Failure(
            f"service {host} has no address of its own", hint="Forward to one of its pods.", code=Exit.USAGE
        )
    return address


async def serve(listeners: list[tuple[socket.socket, FarEnd]]) -> None:
    """Accept on each listener, for ever; each connection's far end comes from its function."""
    servers = [
        await asyncio.start_server(partial(_accept, far), sock=listener) for listener, far in listeners
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _accept(far: FarEnd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        far_reader, far_writer = await asyncio.open_connection(sock=await asyncio.to_thread(far))
    except OSError as error:
        click.echo(f"cannot connect: {error}", err=True)
        writer.close()
        return
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until the end, then say so to the other side."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        writer.close()

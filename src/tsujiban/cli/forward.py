"""`tsujiban port-forward POD LOCAL:[HOST:]PORT`: from 127.0.0.1 of this machine into a pod's network.

The far end of the forward is opened inside the pod's network namespace, as by a program that runs
there. So when HOST is another service, the connection leaves the pod through its sidecar, in mutual
TLS, under the pod's identity and under policy: the forward is no way around the mesh.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

import click

from tsujiban.cli.complete import pods
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import cluster_option, connect, find_pod, kind_of, namespace_option

if TYPE_CHECKING:
    from tsujiban.local.client import Client

# joins one accepted connection to its far end, and says what went wrong, or ""
Join = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[str]]


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
    from tsujiban.local.streams import forward as join

    wanted = [parse(text) for text in forwards]
    with connect(cluster) as client:
        access = client.access
        name = find_pod(client, namespace, pod)["metadata"]["name"]
        resolved = [(entry, _address(client, namespace, entry.host)) for entry in wanted]
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/portforward"
    listeners: list[tuple[socket.socket, Join]] = []
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
        listeners.append((listener, partial(join, access, path, entry.port, address)))
    try:
        asyncio.run(serve(listeners))
    except KeyboardInterrupt:
        click.echo()


def _address(client: Client, namespace: str, host: str) -> str:
    if not host:
        return ""
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


async def serve(listeners: list[tuple[socket.socket, Join]]) -> None:
    """Accept on each listener, for ever, and join each connection to its far end."""
    servers = [
        await asyncio.start_server(partial(_accept, join), sock=listener) for listener, join in listeners
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _accept(join: Join, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    from tsujiban.local.client import ApiError
    from tsujiban.local.unreachable import Unreachable
    from tsujiban.wire.websocket import WebSocketError

    try:
        problem = await join(reader, writer)
    except (ApiError, Unreachable, WebSocketError, ConnectionError) as error:
        problem = str(error)
    finally:
        writer.close()
    if problem:
        click.echo(f"cannot connect: {problem}", err=True)

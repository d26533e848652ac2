"""What goes over one session: a log, a command, or a connection of one pod, between controller and node.

The controller asks on the node stream (`messages.OpenSession`); the node answers with a gRPC call of its own
(`transport.SESSION`), whose first message names the session. So each session has a connection, with flow
control, to itself: a client that reads slowly holds up the pod's command and nothing else.
"""

from __future__ import annotations

import msgspec

SIDECAR = "sidecar"  # the name of a pod's proxy among its processes; its log is asked for as a container's
MAX_DATA = 32 * 1024  # bytes of one `Data`
MAX_FRAME = 64 * 1024  # bytes of one frame on the wire

# channels, numbered as in Kubernetes' own channel protocols
STDIN, STDOUT, STDERR = 0, 1, 2


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Base: a tagged union on the wire."""


class Begin(Frame, frozen=True):
    """First frame, of the node: which session this is, and whether it can be. `error` is for the user."""

    session: str
    error: str = ""
    missing: bool = False  # there is no such pod or container here (any more)


class Data(Frame, frozen=True):
    """Bytes of a channel; a forwarded connection uses STDIN to the pod and STDOUT from it."""

    channel: int
    data: bytes


class End(Frame, frozen=True):
    """No more bytes on this channel."""

    channel: int


class Resize(Frame, frozen=True):
    """Of the terminal, to the node."""

    columns: int
    rows: int


class Exit(Frame, frozen=True):
    """Last frame, of the node: how a command ended. `error`: it did not come to an end by itself."""

    code: int = 0
    error: str = ""


ToSession = Data | End | Resize
FromSession = Begin | Data | End | Exit


# ---------------------------------------------------------------- what can be asked for


class Ask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Base: a tagged union in `messages.OpenSession`."""


class LogAsk(Ask, frozen=True):
    """A container's output, as PodLogOptions say."""

    container: str
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: float = 0.0  # UNIX seconds; 0 is from the beginning
    limit_bytes: int | None = None


class ExecAsk(Ask, frozen=True):
    """Run a command beside a container's own."""

    container: str
    command: tuple[str, ...]
    stdin: bool = False
    tty: bool = False


class AttachAsk(Ask, frozen=True):
    """Join a container's own process: its terminal, or its standard input and what it says from now on."""

    container: str
    stdin: bool = False


class ForwardAsk(Ask, frozen=True):
    """A TCP connection that begins in the pod; `host` "" is the pod's own loopback address."""

    port: int
    host: str = ""


Asks = LogAsk | ExecAsk | AttachAsk | ForwardAsk

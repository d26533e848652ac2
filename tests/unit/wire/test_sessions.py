from __future__ import annotations

import msgspec
import pytest

from tsujiban.wire.messages import OpenSession, ToNode
from tsujiban.wire.sessions import (
    MAX_DATA,
    MAX_FRAME,
    STDOUT,
    Asks,
    Begin,
    Data,
    End,
    ExecAsk,
    Exit,
    ForwardAsk,
    FromSession,
    LogAsk,
    Resize,
    ToSession,
)


@pytest.mark.parametrize(
    "ask",
    [
        LogAsk(container="c", tail_lines=0, since=1.5),
        ExecAsk(container="c", command=("sh", "-c", ""), tty=True),
        ForwardAsk(port=80),
    ],
)
def test_what_is_asked_arrives(ask: Asks) -> None:
    message = OpenSession(session="s", pod="default/a", uid="u", ask=ask)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=ToNode) == message


@pytest.mark.parametrize("frame", [Data(channel=0, data=b"\0"), End(channel=0), Resize(columns=1, rows=2)])
def test_frames_to_a_node(frame: ToSession) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(frame), type=ToSession) == frame


@pytest.mark.parametrize(
    "frame", [Begin(session="s"), Data(channel=STDOUT, data=b""), End(channel=1), Exit(code=3, error="e")]
)
def test_frames_from_a_node(frame: FromSession) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(frame), type=FromSession) == frame


def test_the_longest_data_is_a_frame_that_fits() -> None:
    assert len(msgspec.msgpack.encode(Data(channel=255, data=b"x" * MAX_DATA))) < MAX_FRAME


def test_a_node_cannot_send_what_only_a_controller_may() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(Resize(columns=1, rows=1)), type=FromSession)

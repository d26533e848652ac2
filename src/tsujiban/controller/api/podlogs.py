"""GET of `pods/NAME/log`: what the pod's node has of it, as text, without an end when it is followed.

Source: PodLogOptions of core/v1.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import datetime

from starlette.responses import Response

from tsujiban.controller.api import pods, query
from tsujiban.controller.api.dispatch import Call
from tsujiban.controller.api.errors import bad_request
from tsujiban.controller.api.responses import Lines
from tsujiban.controller.sessions import Session, Sessions
from tsujiban.wire.sessions import SIDECAR, Data, End, Exit, LogAsk
from tsujiban.wire.transport import StreamLost


def ask(parameters: Mapping[str, str], container: str) -> LogAsk:
    """What the parameters ask for.

    Raises:
        ApiError: 400.
    """
    seconds, moment = query.number(parameters, "sinceSeconds"), parameters.get("sinceTime", "")
    if seconds is not None and moment:
        raise bad_request("at most one of sinceTime and sinceSeconds may be given")
    since = time.time() - seconds if seconds is not None else 0.0
    if moment:
        since = _moment(moment)
    if "limitBytes" in parameters and not query.number(parameters, "limitBytes"):
        raise bad_request("limitBytes must be greater than 0")
    return LogAsk(
        container=container,
        follow=query.flag(parameters, "follow"),
        previous=query.flag(parameters, "previous"),
        timestamps=query.flag(parameters, "timestamps"),
        tail_lines=query.number(parameters, "tailLines"),
        since=since,
        limit_bytes=query.number(parameters, "limitBytes"),
    )


def _moment(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request("sinceTime must be a time as RFC 3339 writes it") from None
    if found.tzinfo is None:
        raise bad_request("sinceTime must have a time zone, e.g. end with Z")
    return found.timestamp()


async def log(sessions: Sessions, call: Call) -> Response:
    """The log."""
    pod = await pods.find(call)
    parameters = call.request.query_params
    container = pod.container(parameters.get("container", ""), extra=(SIDECAR,))
    wanted = ask(parameters, container)
    if not pod.node:
        if wanted.follow or wanted.previous:
            raise bad_request(f"pod {pod.name!r} has no node yet, so it has no log")
        return Lines(_nothing(), "text/plain")
    stack = AsyncExitStack()
    session = await stack.enter_async_context(pods.session(sessions, pod, wanted))
    return Lines(_text(stack, session), "text/plain")


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _text(stack: AsyncExitStack, session: Session) -> AsyncIterator[bytes]:
    async with stack:
        try:
            while True:
                frame = await session.receive()
                if isinstance(frame, Data):
                    yield frame.data
                elif isinstance(frame, Exit):
                    if frame.error:
                        yield f"\n(the log ends here: {frame.error})\n".encode()
                    return
                elif not isinstance(frame, End):
                    return
        except StreamLost as error:
            yield f"\n(the log ends here: {error})\n".encode()

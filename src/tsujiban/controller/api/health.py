"""`/livez`, `/readyz` and `/healthz`, with their checks: `?verbose`, `?exclude=NAME`, `/readyz/NAME`.

Anybody may ask, so an answer tells which check fails and never why: that is in the log.
Source: Kubernetes "API health endpoints".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from tsujiban.controller.api.errors import path_not_found
from tsujiban.store.protocol import Store, StoreError

log = structlog.get_logger(__name__)

CHECK_SECONDS = 2.0

Check = Callable[[], Awaitable[bool]]  # may raise StoreError


class Checks(msgspec.Struct, frozen=True):
    """The checks of one path, by name, in order."""

    path: str
    checks: Mapping[str, Check]

    @property
    def name(self) -> str:
        """`readyz`."""
        return self.path.removeprefix("/")

    async def answer(self, request: Request) -> Response:
        """All of them: `ok`, or, when one fails or `verbose` asks for it, a line for each."""
        excluded = request.query_params.getlist("exclude")
        asked = [name for name in self.checks if name not in excluded]
        healthy = await asyncio.gather(*(self._passes(name) for name in asked))
        results = dict(zip(asked, healthy, strict=True))
        passed = all(healthy)
        if passed and "verbose" not in request.query_params:
            return _text("ok")
        lines = [_line(name, results.get(name)) for name in self.checks]
        unknown = [name for name in excluded if name not in self.checks]
        if unknown:
            listed = ",".join(f'"{name[:64]}"' for name in unknown if name.isprintable())
            lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
        lines.append(f"{self.name} check {'passed' if passed else 'failed'}")
        return _text("\n".join(lines) + "\n", 200 if passed else 500)

    async def one(self, request: Request) -> Response:
        """One of them, by its path. Raises ApiError: there is none."""
        name = request.path_params["check"]
        if name not in self.checks:
            raise path_not_found()
        if await self._passes(name):
            return _text("ok")
        return _text(f"internal server error: {name} failed", 500)

    async def _passes(self, name: str) -> bool:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                passed = await self.checks[name]()
            reason = ""
        except TimeoutError:
            passed, reason = False, f"no answer within {CHECK_SECONDS:g} s"
        except StoreError as error:
            passed, reason = False, str(error)
        if not passed:
            log.warning("health check failed", path=self.path, check=name, reason=reason)
        return passed


def checks(store: Store, synced: Callable[[], bool]) -> Sequence[Checks]:
    """Of a server on `store`. `synced` tells whether what answers about access has been read.

    The store's check is called `etcd`, as clients know it, whichever engine it is.
    """

    async def ping() -> bool:
        return True

    async def stored() -> bool:
        await store.revision()
        return True

    async def informed() -> bool:
        return synced()

    live = {"ping": ping, "etcd": stored}
    return (
        Checks("/livez", live),
        Checks("/readyz", {**live, "informer-sync": informed}),
        Checks("/healthz", live),
    )


def _line(name: str, passed: bool | None) -> str:
    if passed is None:
        return f"[+]{name} excluded: ok"
    return f"[+]{name} ok" if passed else f"[-]{name} failed: reason withheld"


def _text(text: str, status: int = 200) -> Response:
    headers = {"cache-control": "no-cache, private", "x-content-type-options": "nosniff"}
    return PlainTextResponse(text, status, headers=headers)

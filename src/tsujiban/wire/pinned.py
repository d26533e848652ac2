"""How a machine that trusts nothing yet asks a cluster for something: by a digest that it was given.

The trust bundle is fetched first and compared with the digest; only a server that this bundle vouches for
sees anything secret."""

from __future__ import annotations

import ssl

import httpx

from tsujiban.wire.join import BUNDLE_PATH, bundle_digest, canonical

TIMEOUT = 10.0  # seconds, per request
MAX_ANSWER = 256 * 1024  # bytes


class JoinError(Exception):
    """This machine cannot join; trying again with the same join file is of no use."""


class ControllerUnreachable(Exception):
    """The controller cannot be reached now."""


async def pinned_bundle(server: str, ca_sha256: str) -> str:
    """The trust bundle of `server`, an https URL, believed only by its digest, and no more of it than that is
    of. Raises JoinError, ControllerUnreachable."""
    if not server.startswith("https://"):
        raise JoinError(f"{server!r} is not an https URL")
    context = _context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the digest verifies; nothing secret is sent on this connection
    status, body = await _exchange(server, context, "GET", BUNDLE_PATH, b"")
    if status != 200:
        raise ControllerUnreachable(f"{BUNDLE_PATH} answered {status}")
    try:
        bundle_pem = canonical(body.decode("ascii"))
        digest = bundle_digest(bundle_pem)
    except ValueError as error:
        raise JoinError(f"{server} sent no trust bundle") from error
    if digest != ca_sha256:
        raise JoinError(
            f"{server} is not the cluster of the join file: its trust bundle has SHA-256 {digest}, "
            f"expected {ca_sha256}; the token was not sent"
        )
    return bundle_pem


async def post(server: str, bundle_pem: str, path: str, body: bytes) -> bytes:
    """The answer to `body`, of a server that the bundle vouches for. Raises JoinError when it refuses,
    ControllerUnreachable."""
    context = _context()
    context.load_verify_locations(cadata=bundle_pem)
    status, answer = await _exchange(server, context, "POST", path, body)
    if status >= 500:
        raise ControllerUnreachable(f"{path} answered {status}")
    if status != 200:
        raise JoinError(f"{server} refused: {status} {answer[:500].decode(errors='replace')}")
    return answer


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


async def _exchange(
    server: str, context: ssl.SSLContext, method: str, path: str, body: bytes
) -> tuple[int, bytes]:
    """One request; status and body. Environment proxies are not used, redirects not followed."""
    answer = bytearray()
    try:
        async with (
            httpx.AsyncClient(base_url=server, verify=context, trust_env=False, timeout=TIMEOUT) as client,
            client.stream(method, path, content=body, headers={"accept-encoding": "identity"}) as response,
        ):
            async for chunk in response.aiter_raw():  # what unpacks to more than was sent is no answer
                answer += chunk
                if len(answer) > MAX_ANSWER:
                    raise JoinError(f"{server}{path} answered with more than {MAX_ANSWER} bytes")
    except httpx.InvalidURL as error:
        raise JoinError(f"{server!r} is not a URL: {error}") from error
    except httpx.HTTPError as error:
        raise ControllerUnreachable(str(error) or type(error).__name__) from error
    return response.status_code, bytes(answer)

"""Answers a node's requests for tokens: only for pods that the store says it runs, bound to them.

A stolen node so gets the tokens of its own pods, which it holds anyway, and nobody else's.
"""

from __future__ import annotations

import msgspec
import structlog

from tsujiban.controller import podrefs
from tsujiban.controller.api.tokens import MIN_SECONDS, Bound, TokenNotIssued, TokenService
from tsujiban.store.protocol import Key, Store, StoreError
from tsujiban.wire.messages import TokenIssued, WantToken

log = structlog.get_logger(__name__)

MAX_SECONDS = 24 * 3600


class _Spec(msgspec.Struct, rename="camel"):
    service_account_name: str = ""
    automount_service_account_token: bool | None = None


class _Pod(msgspec.Struct):
    spec: _Spec


class PodTokens:
    """Issues for nodes."""

    def __init__(self, store: Store, service: TokenService) -> None:
        self._store = store
        self._service = service

    async def issue(self, node: str, request: WantToken) -> TokenIssued:
        """The token, or the reason why not. `node` is the authenticated sender; refusals are logged."""
        namespace, _, name = request.pod.partition("/")
        try:
            stored = await self._store.get(Key("", "pods", namespace, name))
            spec = msgspec.json.decode(stored.value, type=_Pod).spec
            if not request.audience and spec.automount_service_account_token is False:
                projected = podrefs.audiences(msgspec.json.decode(stored.value)["spec"])
                if "" not in projected:
                    raise TokenNotIssued("the pod is to have no token")
            issued = await self._service.issue(
                namespace,
                spec.service_account_name or "default",
                audiences=(request.audience,) if request.audience else (),
                seconds=min(max(request.seconds, MIN_SECONDS), MAX_SECONDS),
                bound=Bound("Pod", name, request.uid),
                node=node,
            )
        except (TokenNotIssued, StoreError) as error:
            log.warning("token refused", node=node, pod=request.pod[:600], reason=str(error))
            return TokenIssued(request=request.request, error=str(error)[:1000])
        return TokenIssued(request=request.request, token=issued.token, expires=issued.expires)

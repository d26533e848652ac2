"""The gRPC service `envoy.service.auth.v3.Authorization`: a question, the evaluator, an answer.

There is always an answer. An error of gRPC would leave the decision to the proxy's
`failure_mode_allow`, which somebody may have set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpclib.const
import structlog
from envoy.service.auth.v3 import external_auth_pb2

from tsujiban.extauthz import answer, question
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Verdict
from tsujiban.policy.program import Action
from tsujiban.policy.world import World

log = structlog.get_logger(__name__)

METHOD = "/envoy.service.auth.v3.Authorization/Check"
MALFORMED_RULE = "_mesh/malformed"  # what the evaluator cannot read
PEER_HEADER = "x-forwarded-client-cert"  # of the call: `URI=` and the client's SPIFFE ID
MAX_TOLD = 1024  # characters of a path in the log


class Authorization:
    """Answers by the world that `world` gives now, which is never None once it serves."""

    def __init__(self, world: Callable[[], World], trust_domain: str) -> None:
        self._world = world
        self._trust_domain = trust_domain

    def check(self, request: external_auth_pb2.CheckRequest) -> external_auth_pb2.CheckResponse:
        """One answer. Never raises for anything that a peer sends."""
        about = question.asked(request.attributes)
        try:
            flow = question.flow_of(request.attributes, self._world(), self._trust_domain)
            verdict = evaluate(self._world(), flow)
        except question.Refused as refusal:
            return self._no(about, (refusal.rule,), str(refusal))
        except (ValueError, LookupError, TypeError) as error:
            return self._no(about, (MALFORMED_RULE,), f"cannot be judged: {error}")
        if verdict.verdict is not Action.ALLOW:
            return self._no(about, verdict.decided_by, "")
        self._say(about, verdict)
        return answer.allowed(about.request_id, verdict)

    def _no(
        self, about: question.Asked, rules: tuple[str, ...], reason: str
    ) -> external_auth_pb2.CheckResponse:
        log.info("denied", **about._replace(path=about.path[:MAX_TOLD])._asdict(), rules=rules, reason=reason)
        return answer.denied(about.request_id, rules)

    @staticmethod
    def _say(about: question.Asked, verdict: Verdict) -> None:
        log.debug("allowed", **about._replace(path=about.path[:MAX_TOLD])._asdict(), rules=verdict.decided_by)

    async def _serve(self, stream: Any) -> None:
        request = await stream.recv_message()
        if request is not None:
            tell_peer(request, stream.metadata.get(PEER_HEADER, ""))
            await stream.send_message(self.check(request))

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        """Grpclib's table of methods."""
        return {
            METHOD: grpclib.const.Handler(
                self._serve,
                grpclib.const.Cardinality.UNARY_UNARY,
                external_auth_pb2.CheckRequest,
                external_auth_pb2.CheckResponse,
            )
        }


def tell_peer(request: external_auth_pb2.CheckRequest, told: str) -> None:
    """A proxy whose client's certificate was not its own connection's (our own, where requests come out of
    a tunnel) says it beside the question. It is believed as it is believed inside the question."""
    source = request.attributes.source
    if not source.principal and told.startswith("URI=spiffe://"):
        source.principal = told.removeprefix("URI=")

"""What the host endpoints on the way leave of an answer: `applyOnForward`, for whole sets of ends.

`policy.forwarding` says which host endpoints one packet crosses; here peers are split by whether
they are on the node of the end that is asked, which is all that this depends on. The source's node
is judged on the source's side, and the destination's on the other, where it is another node.
"""

from __future__ import annotations

from tsujiban.policy.forwarding import Crossing, Guards
from tsujiban.policy.program import Direction
from tsujiban.policy.symbolic.matching import Matching, Sight
from tsujiban.policy.symbolic.parties import Party
from tsujiban.policy.symbolic.requests import Vocabulary
from tsujiban.policy.symbolic.walk import Answer, Walk, among, meet


class Crossed:
    """Takes from answers what a host endpoint between the ends refuses."""

    def __init__(self, matching: Matching) -> None:
        self._matching = matching

    def leaving(self, own: Party, answer: Answer) -> Answer:
        """Of what `own` may send, what passes the host endpoints of its node."""
        guards = self._guards(own)
        if guards is None or own.endpoint is None:
            return answer
        here, host = self._neighbours(own.endpoint.node)
        entered = [(found, Direction.INGRESS) for found in guards.workload]
        near = entered + [(found, Direction.EGRESS) for found in guards.workload]
        far = entered + [(found, Direction.EGRESS) for found in guards.outer]
        return (
            among(answer, host)
            + self._through(among(answer, here), near, own, Direction.EGRESS, None)
            + self._through(among(answer, ~(here | host)), far, own, Direction.EGRESS, None)
        )

    def entering(self, own: Party, answer: Answer, vocabulary: Vocabulary) -> Answer:
        """Of what may be sent to `own`, what passes the host endpoints of its node; what comes from
        that node itself was judged when it left."""
        guards = self._guards(own)
        if guards is None or own.endpoint is None:
            return answer
        here, host = self._neighbours(own.endpoint.node)
        crossed = [
            *((found, Direction.INGRESS) for found in guards.outer),
            *((found, Direction.EGRESS) for found in guards.workload),
        ]
        far = among(answer, ~(here | host))
        return among(answer, here | host) + self._through(far, crossed, own, Direction.INGRESS, vocabulary)

    def _guards(self, own: Party) -> Guards | None:
        if own.endpoint is None or own.endpoint.host:
            return None
        return self._matching.world.guards.get(own.endpoint.node)

    def _neighbours(self, node: str) -> tuple[int, int]:
        """The workloads of a node, and the node itself."""
        here = host = 0
        for party in self._matching.parties.all:
            if party.endpoint is not None and party.endpoint.node == node:
                if party.endpoint.host:
                    host |= party.bit
                else:
                    here |= party.bit
        return here, host

    def _through(
        self,
        answer: Answer,
        crossed: list[Crossing],
        own: Party,
        direction: Direction,
        vocabulary: Vocabulary | None,
    ) -> Answer:
        for crossing in crossed if answer else ():
            walked = Walk(
                self._matching, own, direction, Sight.KERNEL, vocabulary, crossing=crossing
            ).answer()
            answer = meet(answer, walked)
        return answer

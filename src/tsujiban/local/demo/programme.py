"""The programme of the evening: the acts, their titles, and a sentence on each for the reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tsujiban.local.demo.acts import hack, inside, kill, opening, theft, wire
from tsujiban.local.demo.stage import Stage
from tsujiban.local.demo.world import World


class Act(NamedTuple):
    """One act."""

    title: str
    story: str
    play: Callable[[World, Stage], Awaitable[None]]


PROGRAMME = (
    Act(
        "Open for business",
        "Four unchanged programs become a bank. Every connection between them is mutual TLS.",
        opening.open_for_business,
    ),
    Act(
        "The wire",
        "A tap between the nodes looks for the customer's name, with the mesh off and on.",
        wire.the_wire,
    ),
    Act(
        "The hack, undefended",
        "Without policy, code inside the web page may write to the database.",
        hack.undefended,
    ),
    Act(
        "Policy on",
        "One file says who may speak to whom, in which words. Both posts enforce it everywhere.",
        hack.policy_on,
    ),
    Act(
        "The same hack",
        "The kernel refuses it. With the kernel's door forged open, the proxy refuses it, by the same rule.",
        hack.defended,
    ),
    Act(
        "Stolen keys",
        "The right key at the wrong address; then the right address without the key.",
        theft.stolen_keys,
    ),
    Act(
        "The breached insider",
        "The right key, the right address, and a request that policy does not name.",
        inside.insider,
    ),
    Act("Plaintext", "A pod outside the mesh tries every door of the bank.", inside.plaintext),
    Act(
        "Nothing moves",
        "Controller, agent, Envoy, BIRD: killed one by one, while two connections are watched.",
        kill.nothing_moves,
    ),
    Act("Still open for business", "The page works, and every cent is there.", opening.still_open),
)

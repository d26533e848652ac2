"""Somebody is denied without a pause; what others are denied by the same rule is recorded all the same."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.support.kernelbed import OUTSIDE4, OUTSIDE6, Bed, until
from tests.support.kernelbed import ip as run_ip

from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.diff import remove
from tsujiban.kernel.nflog import KernelLog
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.render import Settings
from tsujiban.kernel.verdicts import Logging
from tsujiban.policy.program import Action, NodeState, PolicyProgram, Rule

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]
FLOOD, FEW = 500, 40
GROUP = 7
RULE = "shut/ingress/0"
ANOTHER = {4: "172.31.250.3", 6: "fd31::3"}


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    made = Bed(("a", "b", "victim"))
    run_ip(f"-n {made.outside} addr add {ANOTHER[4]}/24 dev eth0")
    run_ip(f"-n {made.outside} addr add {ANOTHER[6]}/64 dev eth0 nodad")
    yield made
    made.close()


def shut(bed: Bed) -> NodeState:
    """One rule of all pods lets nobody in."""
    state = NodeState()
    state.policies["shut"] = PolicyProgram(
        id="shut",
        ingress=(Rule(id=RULE, action=Action.DENY),),
        egress=(Rule(id="shut/egress/0", action=Action.ALLOW),),
    )
    for pod in bed.pods.values():
        state.endpoints[f"default/{pod.name}"] = pod.program(profiles=("shut",))
    return state


@pytest.fixture
def posts(bed: Bed) -> Iterator[tuple[KernelPost, KernelPost]]:
    """The post, whose rules log two packets and then one a second, and that of the next agent."""
    settings = Settings(logging=Logging(group=GROUP, rate=1, burst=2))
    made = [bed.in_node(lambda: KernelPost(settings, Nft())) for _ in range(2)]
    assert made[0].sync(shut(bed), 1).problems == ()
    yield made[0], made[1]
    for one in made:
        one.close()
    with bed.in_node(Nft) as nft:
        nft.run(remove("tsujiban") + remove("tsujiban-services"))


def sent(bed: Bed, who: str, source: str, to: str, count: int) -> None:
    """Datagrams to as many ports."""
    with bed.make(who, 6 if ":" in source else 4, socket.SOCK_DGRAM) as made:
        made.bind((source, 0))
        for port in range(count):
            made.sendto(b"?", (to, 1000 + port))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("loud", "quiet"), [("a", "b"), ("outside", "another"), ("a", "outside"), ("outside", "b")]
)
def test_a_flood_of_denials_hides_no_denial_of_others(
    bed: Bed, posts: tuple[KernelPost, KernelPost], loud: str, quiet: str, version: int
) -> None:
    post, after = posts
    outside = {"outside": (OUTSIDE4, OUTSIDE6)[version == 6], "another": ANOTHER[version]}
    source = {who: outside.get(who) or bed.address(who, version) for who in (loud, quiet)}
    victim = bed.address("victim", version)
    log = bed.in_node(lambda: KernelLog(GROUP, post.owners, post.long_ids))
    seen: Counter[str] = Counter()

    def recorded() -> bool:
        seen.update(event.packet.source for event in log.read() if event.rule == RULE)
        return seen[source[quiet]] >= FEW

    sent(bed, loud if loud in bed.pods else "outside", source[loud], victim, FLOOD)
    sent(bed, quiet if quiet in bed.pods else "outside", source[quiet], victim, FEW)
    until(recorded)
    log.close()
    assert seen[source[quiet]] == FEW
    # what the rules have put into sets is no damage, and the next agent recognises its table
    assert post.verify(thorough=True) == ()
    assert after.sync(shut(bed), 1).commands == 0

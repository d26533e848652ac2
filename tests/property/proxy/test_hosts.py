"""A host may be spelled in many ways. Which of them a clause means, the evaluator defines."""

from __future__ import annotations

import msgspec
import pytest
from tests.support.proxystate import CUSTOMER, SERVER, identity, rule, state

from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Post, Request
from tsujiban.policy.program import Action, AuthzAction, AuthzOperation, AuthzProgram, AuthzRule, StringMatch
from tsujiban.proxy.connections import Connection
from tsujiban.proxy.reach import ingress
from tsujiban.proxy.requests import possible

HOSTS = (
    *(
        "a",
        "A:80",
        "a:8080",
        "x",
        "a.",
        "xa..",
        "a:",
        "a.:80",
        "a:+80",
        "a:80:80",
        "..",
        "a..:80",
        ".a",
        "x.a.",
    ),
    *("b@a", "u:p@xA.:80", "b@a@x", "@a", "a@", "x@[::A].", "evil.x.a", "a.x:80.a"),
    *("[::a]", "[::a]:80", "[::a]x", "[a", "[a]:", "a]:80", "x.a:", "ax."),
)
TEXTS = ("a", "A", "x", "x.a", ".a", "a.", "a:80", ":80", "a:", "[::a]", "[::a]:80", "]")


@pytest.mark.parametrize("form", ["exact", "prefix", "suffix"])
@pytest.mark.parametrize("text", TEXTS)
def test_the_proxy_reads_the_spellings_of_a_host_as_defined(form: str, text: str) -> None:
    clause = msgspec.convert({form: text}, StringMatch)
    world = state(rule("r"), authorization=("p",))
    rules = (AuthzRule(id="p/0", operations=(AuthzOperation(hosts=(clause,)),)),)
    world.authorizations["p"] = AuthzProgram(id="p", action=AuthzAction.ALLOW, rules=rules)
    decision = ingress(world, world.endpoints["default/server"]).find(identity("customer"), CUSTOMER, 80)
    assert decision is not None
    for host in HOSTS:
        request = Connection(
            source=CUSTOMER,
            source_port=1,
            destination=SERVER,
            destination_port=80,
            peer=identity("customer"),
            near=(SERVER, 1),
            far=(SERVER, 80),
            method="GET",
            path="/",
            host=host,
        )
        (leaf,) = possible(decision, request, 0)
        asked = Flow(source=CUSTOMER, destination=SERVER, port=80, source_port=1, http=Request(host=host))
        assert leaf.allow is (evaluate(world, asked, Post.PROXY).verdict is Action.ALLOW), host

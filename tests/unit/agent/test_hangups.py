"""Which pods of a node are told of the end of which connections."""

from __future__ import annotations

from tsujiban.agent.hangups import Share, shares
from tsujiban.kernel.conntrack import Connection
from tsujiban.policy.program import EndpointProgram

WEB, CUSTOMER, ELSEWHERE = "10.244.0.1", "10.244.0.2", "10.244.9.9"


def test_each_pod_is_told_of_what_came_and_of_what_it_opened() -> None:
    web, customer = (EndpointProgram(id=name, node="n") for name in ("default/web", "default/customer"))
    between = Connection(6, CUSTOMER, WEB, 40000, 80)
    came, went = Connection(6, ELSEWHERE, WEB, 40000, 80), Connection(6, CUSTOMER, ELSEWHERE, 40001, 80)
    datagrams, others = Connection(17, CUSTOMER, WEB, 5, 53), Connection(6, ELSEWHERE, "192.0.2.1", 1, 2)
    found = shares({WEB: web, CUSTOMER: customer}, [between, came, went, datagrams, others])
    assert found == [Share(web, [between, came], []), Share(customer, [], [between, went])]

"""Staged and dry-run policies: nothing changes but the record, which says what they would have done."""

from __future__ import annotations

import pytest
from tests.support.meshapps import Greeter, allow, ask, echo_http, web_client
from tests.support.proxybed import Bed, tier

from tsujiban.policy.program import (
    Action,
    AuthzAction,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
    StringMatch,
)

pytestmark = pytest.mark.system


def test_a_staged_denial_passes_and_is_recorded(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/staged:no", "default/web"),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    web.listen(9000, Greeter())
    denial = Rule(id="default/staged:no/ingress/0", action=Action.DENY)
    staged = PolicyProgram(id="default/staged:no", staged=True, ingress=(denial,))
    changes = allow(customer, ports=(80, 9000))
    changes["policies"][staged.id] = staged
    assert bed.update(**changes) == ()
    bed.settle()
    with customer.connect(web.address, 9000) as connection:
        assert connection.recv(100) == b"220 welcome\r\n"
    event = bed.seen(log="tcp", destination_port=9000)
    assert (event.verdict, event.rules) == ("allow", ("default/web/ingress/0",))
    assert event.staged == "deny default/staged:no/ingress/0"
    assert bed.update(policies={staged.id: PolicyProgram(id=staged.id, staged=True)}) == ()
    with customer.connect(web.address, 9000) as connection:
        assert connection.recv(100) == b"220 welcome\r\n"
        bed.seen(log="tcp", final=False, staged="")


def test_a_dry_run_decides_no_request(bed: Bed) -> None:
    web = bed.pod("web", authorization=("default/authz:dry",), named_ports=(("http", 6, 80),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    gets = AuthzOperation(methods=(StringMatch(exact="GET"),))
    program = AuthzProgram(
        id="default/authz:dry",
        action=AuthzAction.ALLOW,
        dry_run=True,
        rules=(AuthzRule(id="default/authz:dry/0", operations=(gets,)),),
    )
    bed.update(authorizations={program.id: program})
    bed.settle()
    connection = web_client(customer, web.address, 80)
    assert ask(connection, "GET", "/a")[0] == 200
    assert ask(connection, "PUT", "/a")[0] == 200
    profile = "_profile/kns.default/ingress/0"
    assert bed.seen(log="http", method="GET").staged == f"allow {profile} default/authz:dry/0"
    assert bed.seen(log="http", method="PUT").staged == "deny _authz/no-allow"


def test_a_staged_denial_of_what_goes_out_is_recorded_at_the_client(bed: Bed) -> None:
    web = bed.pod("web")
    customer = bed.pod("customer", egress=(tier("default/staged:no", "default/out", direction="egress"),))
    for port in (80, 81):
        web.listen(port, Greeter())
    ports = tuple(Side(ports=Ports(ranges=(PortRange(first=port, last=port),))) for port in (80, 81))
    no = Rule(id="default/staged:no/egress/0", action=Action.DENY, dst=ports[0])
    go = Rule(id="default/staged:no/egress/1", action=Action.ALLOW, dst=ports[1])
    out = Rule(id="default/out/egress/0", action=Action.ALLOW, dst=ports[0])
    policies = {
        "default/staged:no": PolicyProgram(id="default/staged:no", staged=True, egress=(no, go)),
        "default/out": PolicyProgram(id="default/out", egress=(out,)),
    }
    assert bed.update(policies=policies) == ()
    bed.settle()
    with customer.connect(web.address, 80) as connection:
        assert connection.recv(100) == b"220 welcome\r\n"
    event = bed.seen(log="egress", destination_port=80)
    assert (event.verdict, event.rules, event.staged) == ("allow", (out.id,), f"deny {no.id}")
    with customer.connect(web.address, 81) as connection:
        assert connection.recv(100) == b""
    event = bed.seen(log="egress", destination_port=81)
    assert (event.verdict, event.staged) == ("deny", f"allow {go.id}")
    assert event.rules == ("_tier/default/egress/default",)

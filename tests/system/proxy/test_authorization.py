"""Every shape of clause in a real Envoy: it takes them all, and decides as it should."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.meshapps import ask, echo_http, reads, web_client
from tests.support.proxybed import Bed, tier

from tsujiban.policy.program import (
    Action,
    AuthzAction,
    AuthzCondition,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    Http,
    JwtRule,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
    StringMatch,
)

pytestmark = pytest.mark.system


def exact(text: str) -> tuple[StringMatch, ...]:
    return (StringMatch(exact=text),)


def authz(name: str, action: AuthzAction, **clauses: Any) -> dict[str, AuthzProgram]:
    rule = AuthzRule(id=f"{name}/0", **clauses)
    return {name: AuthzProgram(id=name, action=action, rules=(rule,))}


def test_deny_before_allow_with_every_form_of_value_and_audit(bed: Bed) -> None:
    web = bed.pod("web", authorization=("z:deny", "z:allow", "z:audit"))
    customer = bed.pod("customer")
    stranger = bed.pod("stranger")
    web.listen(80, echo_http)
    operations = (
        AuthzOperation(
            methods=(StringMatch(prefix="GE"), StringMatch(exact="POST")),
            paths=(
                StringMatch(exact="/exact"),
                StringMatch(prefix="/pre"),
                StringMatch(suffix=".txt"),
                StringMatch(template="/t/{*}/end"),
            ),
            not_paths=(StringMatch(exact="/pre/not"),),
            not_hosts=exact("evil.example"),
            ports=(80,),
        ),
    )
    sources = (AuthzSource(principals=(StringMatch(suffix="/sa/customer"),)),)
    headers = (AuthzCondition(key="request.headers[X-Bad]", values=(StringMatch(present=True),)),)
    programs = {
        **authz("z:allow", AuthzAction.ALLOW, sources=sources, operations=operations),
        **authz("z:deny", AuthzAction.DENY, conditions=headers),
        **authz("z:audit", AuthzAction.AUDIT, operations=(AuthzOperation(not_paths=exact("/exact")),)),
    }
    assert bed.update(authorizations=programs) == ()
    bed.settle()

    connection = web_client(customer, web.address, 80)
    for path in ("/exact", "/exact?x", "/pre/x", "/a/b.txt", "/a.txt?q", "/t/one/end"):
        assert ask(connection, "GET", path)[0] == 200, path
    unaudited = bed.seen(log="http", path="/exact")
    assert (unaudited.rules, unaudited.audits) == (("_profile/kns.default/ingress/0", "z:allow/0"), ())
    assert bed.seen(log="http", path="/pre/x").audits == ("z:audit/0",)
    for path in ("/", "/exact/", "/pre/not", "/pre/not?x", "/a.txt/b", "/t/one/two/end", "/x?.txt"):
        assert ask(connection, "GET", path)[0] == 403, path
    denied = bed.seen(log="http", path="/")
    assert (denied.rules, denied.audits) == (("_authz/no-allow",), ("z:audit/0",))
    assert ask(connection, "DELETE", "/exact")[0] == 403
    for host in ("EVIL.example:80", "evil.example.", "evil.example:", "evil.example.:80", "me@evil.example"):
        assert ask(connection, "GET", "/exact", headers={"Host": host})[0] == 403, host
    # what an application behind CGI or WSGI would take for the header that a rule names
    for name in ("X_Bad", "x.bad"):
        assert ask(connection, "GET", "/exact", headers={name: "1"})[0] == 403, name
    assert ask(connection, "GET", "/exact", headers={"X_Other": "1"})[0] == 200
    assert ask(connection, "GET", "/exact", headers={"x-bad": "1"})[0] == 403
    assert bed.seen(log="http", rules=("z:deny/0",)).verdict == "deny"
    assert reads(stranger, web.address, 80, "/exact") == 0  # nothing it could ask for is allowed


def test_ports_ranges_source_ports_and_passes(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    for port in (1023, 1024, 5000, 9000, 9001):
        web.listen(port, echo_http)
    wide = Ports(ranges=(PortRange(first=1024, last=9000),))
    low = Ports(ranges=(PortRange(first=1, last=1023),))
    rules = (
        Rule(id="low", action=Action.DENY, src=Side(ports=low)),
        Rule(id="posts", action=Action.DENY, dst=Side(ports=wide), http=Http(methods=("POST",))),
        Rule(id="wide", action=Action.ALLOW, dst=Side(ports=wide)),
    )
    policy = PolicyProgram(id="default/web", ingress=rules)
    assert bed.update(policies={policy.id: policy}) == ()
    bed.settle()
    answers = {port: reads(customer, web.address, port) for port in (1023, 1024, 5000, 9000, 9001)}
    assert answers == {1023: 0, 1024: 200, 5000: 200, 9000: 200, 9001: 0}
    assert ask(web_client(customer, web.address, 5000), "POST", "/")[0] == 403
    assert bed.seen(log="http", method="POST").rules == ("posts",)


def test_a_request_with_a_token_is_refused_while_there_are_no_keys(bed: Bed) -> None:
    web = bed.pod("web", jwt=(JwtRule(issuer="i", id="default/ra:web/0"),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    bed.settle()
    connection = web_client(customer, web.address, 80)
    assert ask(connection, "GET", "/")[0] == 200
    assert ask(connection, "GET", "/", headers={"Authorization": "Bearer x.y.z"})[0] == 401
    assert bed.seen(log="http", verdict="deny").rules == ("default/ra:web/0",)

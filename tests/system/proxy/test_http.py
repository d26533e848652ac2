"""Two pods, unchanged applications, real Envoys: what HTTP may pass, and who says so."""

from __future__ import annotations

import http.client

import pytest
from tests.support.meshapps import READS, allow, ask, echo_http, first, reads, rest, web_client
from tests.support.proxybed import Bed, run, tier

from tsujiban.policy.program import Action, Http, PathMatch, PolicyProgram, Rule, Side

pytestmark = pytest.mark.system


def test_requests_are_judged_by_method_and_path(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    stranger = bed.pod("stranger")
    web.listen(80, echo_http)
    bed.update(**allow(customer, http=READS))
    bed.settle()

    connection = web_client(customer, web.address, 80)
    status, body = ask(connection, "GET", "/v1/accounts?x=1")
    assert status == 200
    assert body.startswith(b"GET /v1/accounts?x=1 HTTP/1.1")
    allowed = bed.seen(log="http", method="GET", status=200)
    assert allowed.rules == ("default/web/ingress/0",)
    assert allowed.peer == customer.identity
    assert allowed.tls == "TLSv1.3"
    assert (allowed.source, allowed.destination, allowed.destination_port) == (
        customer.address,
        web.address,
        80,
    )

    status, body = ask(connection, "PUT", "/v1/accounts")
    assert status == 403
    denied = bed.seen(log="http", method="PUT")
    assert denied.verdict == "deny"
    assert denied.rules == ("_tier/default/ingress/default",)
    assert body.decode() == f"request denied by policy, id {denied.request_id}\n"
    assert ask(connection, "GET", "/v2")[0] == 403

    with pytest.raises((OSError, http.client.HTTPException)):
        ask(web_client(stranger, web.address, 80), "GET", "/v1/x")
    refused = bed.seen(log="tunnel", verdict="deny")
    assert refused.peer == stranger.identity
    assert refused.rules == ("_tier/default/ingress/default",)


def test_of_many_rules_the_one_that_fits_decides(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    rules = tuple(
        Rule(
            id=f"default/web/ingress/{number}",
            action=Action.ALLOW,
            src=Side(sets=("s:clients",)),
            http=Http(methods=("GET",), paths=(PathMatch(prefix=f"/{number}"),)),
        )
        for number in range(40)
    )
    changes = allow(customer)
    changes["policies"] = {"default/web": PolicyProgram(id="default/web", ingress=rules)}
    bed.update(**changes)
    bed.settle()
    connection = web_client(customer, web.address, 80)
    for number in (0, 8, 21, 39):
        assert ask(connection, "GET", f"/{number}/x")[0] == 200
        assert bed.seen(log="http", path=f"/{number}/x").rules == (f"default/web/ingress/{number}",)
    for method, path in (("GET", "/40"), ("PUT", "/21/y")):
        assert ask(connection, method, path)[0] == 403
        assert bed.seen(log="http", path=path).rules == ("_tier/default/ingress/default",)


def test_a_chunked_body_arrives_whole(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    bed.update(**allow(customer, http=Http(methods=("POST",))))
    bed.settle()

    parts = [b"a" * 70000, b"b" * 10]
    connection = web_client(customer, web.address, 80)
    status, body = ask(connection, "POST", "/upload", body=iter(parts), encode_chunked=True)
    assert status == 200
    assert body == b"POST /upload HTTP/1.1 " + b"".join(parts)


def test_two_http_versions(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    bed.update(**allow(customer, http=READS))
    bed.settle()

    curl = ("ip", "netns", "exec", customer.namespace, "curl", "-s", "-o", "/dev/null", "-w")
    ask_for = f"http://{web.address}/v2"
    version_and_status = run(*curl, "%{http_version} %{http_code}", "--http2-prior-knowledge", ask_for)
    assert version_and_status == "2 403"
    assert bed.seen(log="http", path="/v2").rules == ("_tier/default/ingress/default",)
    assert run(*curl, "%{http_version} %{http_code}", f"http://{web.address}/v1") == "1.1 200"


@pytest.mark.parametrize(
    "target",
    [
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/%2E%2e/admin",
        "/v1\\..\\admin",
        "/v1%2f..%2fadmin",
        "/v1%5c..%5cadmin",
        "/v1/%252e%252e/admin",
        "/v1/..;x/admin",
        "/v1/..%3Bx/admin",
        "/v1/a%00b",
        "/v1x",
        "/V1/x",
        "http://other/admin",
        "*",
        "/../v2",
    ],
)
def test_no_spelling_of_a_path_gets_past_its_rule(shared_web: tuple[Bed, str], target: str) -> None:
    bed, address = shared_web
    customer = bed.pods["customer"]
    connection = customer.connect(address, 80)
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n".encode())
    answer = rest(connection)
    assert answer.split(b" ")[1:2] in ([b"403"], [b"400"], [b"404"]), answer


@pytest.mark.parametrize(
    "target", ["/v1", "/v1/", "/v1?a=/../b", "//v1/x", "/v1/./x", "/a/../v1/x", "/v1/100%25"]
)
def test_every_spelling_of_an_allowed_path_passes(shared_web: tuple[Bed, str], target: str) -> None:
    bed, address = shared_web
    connection = bed.pods["customer"].connect(address, 80)
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n".encode())
    assert rest(connection).startswith(b"HTTP/1.1 200")


def test_the_application_is_asked_for_the_path_that_was_judged(shared_web: tuple[Bed, str]) -> None:
    """Envoy removes dot segments before it merges slashes, other readers after."""
    bed, address = shared_web
    connection = bed.pods["customer"].connect(address, 80)
    connection.sendall(b"GET /v1//../admin HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    assert rest(connection).endswith(b"GET /v1/admin HTTP/1.1 ")


def test_headers_do_not_change_who_asks(shared_web: tuple[Bed, str]) -> None:
    bed, address = shared_web
    customer, stranger = bed.pods["customer"], bed.pods["stranger"]
    assert reads(stranger, address, 80) == 0
    connection = customer.connect(address, 80)
    forged = "X-Forwarded-For: 10.9.9.9\r\nX-Forwarded-Client-Cert: By=x;URI=spiffe://bank.local/x"
    connection.sendall(f"GET /v1 HTTP/1.1\r\nHost: web\r\n{forged}\r\n\r\n".encode())
    assert first(connection).startswith(b"HTTP/1.1 200")
    event = bed.seen(log="http", path="/v1", status=200)
    assert (event.source, event.peer) == (customer.address, customer.identity)

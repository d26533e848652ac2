from __future__ import annotations

import pytest
from tests.support.authzworld import DOMAIN, OTHER, SHOP, WEB, ask, identity, policies

from tsujiban.extauthz import question
from tsujiban.policy.flow import Flow

WORLD = policies().world()


def flow(**asked: object) -> Flow:
    return question.flow_of(ask(**asked).attributes, WORLD, DOMAIN)  # type: ignore[arg-type]


def refusal(**asked: object) -> str:
    with pytest.raises(question.Refused) as refused:
        flow(**asked)
    return refused.value.rule


def test_a_request_becomes_a_flow() -> None:
    found = flow(principal=identity("shop"), headers={":path": "/v1/x", "X-A": "1"})
    assert (found.source, found.destination, found.port, found.source_port) == (SHOP, WEB, 8080, 40000)
    assert found.destination_endpoint == "default/web"
    assert found.peer == identity("shop")
    assert found.http is not None
    assert (found.http.method, found.http.path, found.http.host) == ("GET", "/v1/x", "web")
    assert found.http.headers == {"x-a": "1"}
    assert found.http.claims is None


def test_no_principal_is_plaintext_and_never_the_owner_of_the_address() -> None:
    assert flow().peer == ""


def test_a_connection_that_is_not_http_has_no_request() -> None:
    assert flow(method="").http is None


def test_a_mapped_address_is_the_address() -> None:
    assert flow(source=f"::ffff:{SHOP}").source == SHOP


@pytest.mark.parametrize(
    "principal",
    [
        identity("web"),  # of another pod
        identity("shop").replace(DOMAIN, "evil.example"),
        identity("shop") + "/",
        "shop.example",  # a DNS name
        "CN=shop",
        identity("shop").upper(),
    ],
)
def test_a_principal_that_cannot_be_the_owner_of_the_address_is_refused(principal: str) -> None:
    assert refusal(principal=principal) == question.IDENTITY_RULE


def test_an_address_that_nobody_owns_proves_nothing() -> None:
    assert refusal(principal=identity("shop"), source=OTHER) == question.IDENTITY_RULE


@pytest.mark.parametrize("destination", [OTHER, "", "web", "@default/web"])
def test_a_destination_that_is_no_endpoint_is_refused(destination: str) -> None:
    assert refusal(destination=destination) == question.UNKNOWN_RULE


@pytest.mark.parametrize("source", ["", "@default/shop", "10.0.0.0/8"])
def test_a_source_without_an_address_is_refused(source: str) -> None:
    assert refusal(source=source) == question.UNKNOWN_RULE


def test_headers_come_in_either_form_and_several_are_one() -> None:
    request = ask()
    for value in (b"1", b"2"):
        request.attributes.request.http.header_map.headers.add(key="X-A", raw_value=value)
    found = question.flow_of(request.attributes, WORLD, DOMAIN)
    assert found.http is not None
    assert found.http.headers == {"x-a": "1,2"}
    assert found.http.repeated == {"x-a"}


def test_claims_are_those_of_the_token_filter_only() -> None:
    request = ask()
    metadata = request.attributes.metadata_context.filter_metadata
    metadata["evil"].update({"jwt_payload": {"iss": "x"}})
    assert question.flow_of(request.attributes, WORLD, DOMAIN).http.claims is None  # type: ignore[union-attr]
    metadata[question.TOKENS].update({"jwt_payload": {"iss": "i", "sub": "s"}})
    assert question.flow_of(request.attributes, WORLD, DOMAIN).http.claims == {"iss": "i", "sub": "s"}  # type: ignore[union-attr]


def test_a_request_id_that_is_none_is_replaced() -> None:
    good = question.asked(ask(headers={"x-request-id": "a-1"}).attributes)
    assert good.request_id == "a-1"
    bad = question.asked(ask(headers={"x-request-id": "<script>\n"}).attributes)
    assert "<" not in bad.request_id
    assert bad.request_id

from typing import Any

import pytest

from tsujiban.kernel.redirect import Redirect, render


def test_ports_and_uid() -> None:
    table = render(Redirect(proxy_uid=200_001, outbound_port=1, inbound_port=3, health_port=5))
    assert table.sets["proxy-ports"].elements == {"1": "", "3": ""}
    assert table.sets["own-ports"].elements == {"1": "", "3": "", "5": ""}
    output = table.chains["output-nat"].rules
    assert output[0] == "meta skuid 200001 return"
    assert output[-1] == "meta l4proto 6 counter redirect to :1"
    assert "meta skuid != 200001 meta l4proto 6 th sport @proxy-ports counter drop" in (
        table.chains["output-filter"].rules
    )
    assert table.chains["prerouting-nat"].rules[-1] == "meta l4proto 6 counter redirect to :3"


def test_exclusions() -> None:
    table = render(
        Redirect(
            proxy_uid=1,
            excluded_outbound_ports=(9, 10),
            excluded_inbound_ports=(7,),
            excluded_addresses=("10.0.0.1", "fd00::1"),
        )
    )
    assert table.sets["excluded-outbound"].elements == {"9-10": ""}
    assert table.sets["excluded-inbound"].elements == {"7": ""}
    assert table.sets["excluded4"].elements == {"10.0.0.1": ""}
    assert table.sets["excluded6"].elements == {"fd00::1": ""}


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        render(Redirect(proxy_uid=1, excluded_addresses=("nonsense",)))


def test_a_proxy_from_outside_the_namespace_is_known_by_its_mark() -> None:
    table = render(Redirect(proxy_mark=0x7473))
    assert table.chains["output-nat"].rules[0] == "meta mark 0x7473 return"
    foreign = "meta mark != 0x7473 meta skuid 0-4294967294"
    assert all(foreign in rule for rule in table.chains["output-filter"].rules)


def test_a_proxy_that_is_full_gets_no_new_connection() -> None:
    assert "input-filter" not in render(Redirect(proxy_mark=1)).chains
    assert render(Redirect(proxy_mark=1, full=True)).chains["input-filter"].rules == (
        "meta l4proto 6 th dport @proxy-ports ct state new counter reject with tcp reset",
    )


@pytest.mark.parametrize("known", [{}, {"proxy_uid": 1, "proxy_mark": 1}])
def test_a_proxy_is_known_by_exactly_one_thing(known: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="user or its mark"):
        render(Redirect(**known))

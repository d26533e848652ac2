from __future__ import annotations

import pytest

from tsujiban.local.demo.hands import Answer, address, is_ready
from tsujiban.local.demo.world import OPENING_BALANCE, balance, money


def page(body: str) -> Answer:
    return Answer(200, body, "", {}, 0.0)


def test_the_balance_is_read_off_the_page() -> None:
    assert balance(page('<p class="balance" id="balance" data-minor="1284756">')) == OPENING_BALANCE
    assert balance(page('<p id="balance" data-minor="-5">')) == money(-5)
    assert balance(page("sorry")) == "no balance is shown"


@pytest.mark.parametrize(
    ("pod", "ready"),
    [
        ({"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}, True),
        ({"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}, False),
        ({"metadata": {}}, False),
        (
            {
                "metadata": {"deletionTimestamp": "now"},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            },
            False,
        ),
    ],
)
def test_a_pod_on_its_way_out_is_not_ready(pod: dict[str, object], ready: bool) -> None:
    assert is_ready(pod) is ready


def test_an_answer_in_words() -> None:
    assert str(page("")) == "HTTP 200"
    assert str(Answer(0, "", "TimeoutError: timed out", {}, 1.0)) == "no answer (TimeoutError)"


def test_a_pods_address() -> None:
    assert address({"status": {"podIP": "10.244.0.7"}}) == "10.244.0.7"

from __future__ import annotations

import pytest

from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.selection import both, demanded, field_selector, label_selector

POD = {
    "metadata": {"name": "a", "namespace": "n", "labels": {"app": "web", "tier": "front", "empty": ""}},
    "spec": {"nodeName": "n1", "hostNetwork": True},
}
BARE = {"metadata": {"name": "b"}}


@pytest.mark.parametrize(
    ("selector", "pod", "bare"),
    [
        ("app=web", True, False),
        ("app==web", True, False),
        ("app = web", True, False),
        ("app!=web", False, True),
        ("app in (web, db)", True, False),
        ("app in (db)", False, False),
        ("app notin (web)", False, True),
        ("app", True, False),
        ("!app", False, True),
        ("! app", False, True),
        ("app=web,tier in (front,back),!x", True, False),
        ("empty=", True, False),
        ("app=", False, False),
        ("a.b/c=d", False, False),
    ],
)
def test_label_selectors(selector: str, pod: bool, bare: bool) -> None:
    selects = label_selector(selector)
    assert selects is not None
    assert (selects(POD), selects(BARE)) == (pod, bare)


@pytest.mark.parametrize("selector", ["", "  "])
def test_the_empty_selector_selects_everything(selector: str) -> None:
    assert label_selector(selector) is None
    assert field_selector(selector) is None


@pytest.mark.parametrize(
    "selector",
    ["a=b=c", "a in b", "a in (b", "=b", "a,,b", "a=b,", "a>1", "(a)", "-a", "a in (b) c", "x" * 20_000],
)
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(ApiError) as refused:
        label_selector(selector)
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("metadata.name=a", True),
        ("metadata.name==a", True),
        ("metadata.name!=a", False),
        ("spec.nodeName=n1,metadata.namespace=n", True),
        ("spec.hostNetwork=true", True),
        ("status.phase=", True),
        ("status.phase!=Running", True),
        ("status.phase=Running", False),
    ],
)
def test_field_selectors(selector: str, matches: bool) -> None:
    selects = field_selector(selector)
    assert selects is not None
    assert selects(POD) is matches


@pytest.mark.parametrize("selector", ["a", "a.b", "a b=c", "=x", "!=x", "a!b=c", "a" * 20_000 + "=b"])
def test_bad_field_selectors(selector: str) -> None:
    with pytest.raises(ApiError):
        field_selector(selector)
    with pytest.raises(ApiError):
        demanded(selector, "metadata.name")


@pytest.mark.parametrize(
    ("selector", "value"),
    [
        ("metadata.name=a", "a"),
        ("spec.x=1, metadata.name == a ,", "a"),
        ("metadata.name==a=b", "a=b"),
        ("metadata.name!=a", ""),
        ("metadata.name!=a,metadata.name=b", "b"),
        ("metadata.names=a", ""),
        ("", ""),
    ],
)
def test_what_a_field_selector_demands(selector: str, value: str) -> None:
    assert demanded(selector, "metadata.name") == value


def test_a_long_field_selector_is_read_at_once() -> None:
    """Whoever was authenticated could hold the whole server up for a minute by one list: this was matched
    against a pattern with two runs of blanks, at any length, before anybody asked for rights."""
    blanks = " " * 16_000
    assert demanded(f"metadata.name=x{blanks}y", "metadata.name") == f"x{blanks}y"
    with pytest.raises(ApiError, match="longer than"):
        demanded(f"metadata.name=x{blanks * 4}y", "metadata.name")


def test_both() -> None:
    web, named = label_selector("app=web"), field_selector("metadata.name=b")
    assert both(None, None) is None
    assert both(web, None) is web
    together = both(web, named)
    assert together is not None
    assert not together(POD)

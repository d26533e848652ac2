from __future__ import annotations

import re
from functools import reduce
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.matching import reached

from tsujiban.proxy import blocks, rbac
from tsujiban.proxy.decisions import AllOf, AnyOf, Branch, Decision, Leaf, Not, Predicate, Text

GET = Text(header=":method", exact="GET")
PATHS = ("/a", "/b", "/c/d", "/", "/a/x")
texts = st.one_of(
    st.builds(Text, header=st.just(":path"), exact=st.sampled_from(PATHS)),
    st.builds(Text, header=st.just(":path"), prefix=st.sampled_from(PATHS)),
    st.builds(Text, header=st.just(":path"), suffix=st.sampled_from(("a", "d", ""))),
    st.builds(Text, header=st.just(":path"), regex=st.sampled_from(("/a|/b", "/[ac].*", ".*x"))),
    st.just(GET),
)
predicates = st.recursive(
    texts,
    lambda inner: st.one_of(
        st.builds(AllOf, terms=st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(AnyOf, terms=st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, term=inner),
    ),
    max_leaves=4,
)


def leaf(name: str) -> Leaf:
    return Leaf(allow=True, rules=(name,))


def chain(tests: list[Predicate]) -> Decision:
    """The first of the tests that holds gives its number."""
    pairs = list(enumerate(tests))
    last: Decision = Leaf(allow=False, rules=("last",))
    return reduce(
        lambda rest, pair: Branch(test=pair[1], then=leaf(str(pair[0])), otherwise=rest), pairs[::-1], last
    )


def holds(test: Predicate, path: str, method: str) -> bool:
    inputs = {"header :path": path, "header :method": method}
    matcher = rbac.request(Branch(test=test, then=leaf("yes"), otherwise=leaf("no")))["matcher"]
    found: Any = reached(matcher, inputs.__getitem__)
    return bool(found["name"] == "http:yes")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(predicates, min_size=1, max_size=15) | st.lists(predicates, min_size=16, max_size=30),
    st.sampled_from((*PATHS, "/q")),
    st.sampled_from(("GET", "PUT")),
)
def test_the_first_step_that_holds_decides_however_long_the_list(
    tests: list[Predicate], path: str, method: str
) -> None:
    inputs = {"header :path": path, "header :method": method}
    found: Any = reached(rbac.request(chain(tests))["matcher"], inputs.__getitem__)
    first = next((str(index) for index, one in enumerate(tests) if holds(one, path, method)), None)
    assert found["name"] == ("deny:last" if first is None else f"http:{first}")


@given(predicates, st.sampled_from((*PATHS, "/q")), st.sampled_from(("GET", "PUT")))
def test_what_a_predicate_needs_of_the_path_holds_where_it_does(
    test: Predicate, path: str, method: str
) -> None:
    needs = blocks.paths(test)
    if needs is not None and holds(test, path, method):
        assert any(re.fullmatch(one, path) for one in needs)


def test_a_long_list_of_paths_is_asked_in_blocks_and_a_short_one_as_it_is() -> None:
    def steps(count: int) -> list[Any]:
        tests: list[Predicate] = [
            AllOf(terms=(GET, Text(header=":path", exact=f"/{i}"))) for i in range(count)
        ]
        listed: list[Any] = rbac.request(chain(tests))["matcher"]["matcher_list"]["matchers"]
        return listed

    assert len(steps(15)) == 15
    assert len(steps(50)) == 7
    inner = steps(50)[0]["on_match"]["matcher"]
    assert len(inner["matcher_list"]["matchers"]) == blocks.SIZE
    assert "on_no_match" not in inner

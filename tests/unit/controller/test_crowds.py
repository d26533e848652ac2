from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.controller.crowds import Crowd, Crowds

TERM = {"topologyKey": "x", "namespaces": ["a"]}
crowd = st.builds(
    Crowd,
    namespace=st.sampled_from(["a", "b"]),
    labels=st.sampled_from([{}, {"app": "web"}, {"app": "web", "track": "1"}]),
    ending=st.booleans(),
    terms=st.sampled_from([[], [TERM], [TERM, TERM]]),
)


def test_pods_that_are_alike_are_counted_together() -> None:
    crowds = Crowds()
    crowds.count(Crowd("a", {"x": "1", "y": "2"}, terms=[TERM]), "n1", 1)
    other = Crowd("a", {"y": "2", "x": "1"}, terms=[dict(reversed(TERM.items()))])
    crowds.count(other, "n1", 1)
    crowds.count(other, "n2", 1)
    ((found, nodes),) = crowds.all()
    assert (found.labels, nodes) == (other.labels, {"n1": 2, "n2": 1})


@given(st.lists(st.tuples(crowd, st.sampled_from(["n1", "n2"]))), st.data())
def test_what_is_there_is_what_came_and_has_not_gone(
    pods: list[tuple[Crowd, str]], data: st.DataObject
) -> None:
    crowds = Crowds()
    for one, node in pods:
        crowds.count(one, node, 1)
    left = data.draw(st.permutations(pods))
    gone = data.draw(st.integers(0, len(left)))
    for one, node in left[:gone]:
        crowds.count(one, node, -1)

    def shown(namespace: str | None) -> Counter[tuple[str, str]]:
        return Counter(
            {
                (repr(found), node): number
                for found, nodes in crowds.all(namespace)
                for node, number in nodes.items()
            }
        )

    for namespace in (None, "a", "b"):
        expected = [(repr(one), node) for one, node in left[gone:] if namespace in (None, one.namespace)]
        assert shown(namespace) == Counter(expected)

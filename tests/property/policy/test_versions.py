"""Versions of a mapping, against plain dictionaries, whatever is read when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.policy.versions import Versioned, difference

keys = st.sampled_from("abcd")
contents = st.dictionaries(keys, st.integers(0, 2))
steps = st.lists(
    st.tuples(st.integers(0, 5), st.lists(keys, max_size=3), contents, st.booleans()), max_size=8
)


@given(contents, steps)
def test_every_version_stays_what_it_was(
    start: dict[str, int], taken: list[tuple[int, list[str], dict[str, int], bool]]
) -> None:
    versions: list[tuple[Versioned[str, int], dict[str, int]]] = [(Versioned(start), start)]
    for back, gone, come, looked in taken:
        version, known = versions[-1 - back % len(versions)]
        wanted = {key: value for key, value in known.items() if key not in gone} | come
        versions.append((version.changed(gone, come), wanted))
        if looked:
            assert dict(version) == known
    for one, have in versions:
        for other, want in versions:
            gone_now, come_now = difference(one, other)
            assert gone_now == {key: value for key, value in have.items() if want.get(key) != value}
            assert come_now == {key: value for key, value in want.items() if have.get(key) != value}
    assert all(dict(version) == known for version, known in versions)

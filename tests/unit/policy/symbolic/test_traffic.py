from __future__ import annotations

import random

import pytest

from tsujiban.policy.symbolic.traffic import (
    NOTHING,
    OTHER,
    PORTS,
    Axis,
    Traffic,
    bits_at,
    canonical,
    intersect,
    spread,
    subtract,
    union,
)

POINTS = 40


def drawn(source: random.Random) -> Traffic:
    return canonical(
        (first, min(first + source.randrange(8), POINTS - 1), source.randrange(1, 8))
        for first in (source.randrange(POINTS) for _ in range(source.randrange(6)))
    )


@pytest.mark.parametrize("seed", range(50))
def test_algebra_is_pointwise(seed: int) -> None:
    source = random.Random(seed)
    one, other = drawn(source), drawn(source)
    for point in range(POINTS):
        a, b = bits_at(one, point), bits_at(other, point)
        assert bits_at(union(one, other), point) == a | b
        assert bits_at(intersect(one, other), point) == a & b
        assert bits_at(subtract(one, other), point) == a & ~b


@pytest.mark.parametrize("seed", range(50))
def test_equal_sets_are_equal_tuples(seed: int) -> None:
    source = random.Random(seed)
    one, other = drawn(source), drawn(source)
    assert union(one, other) == union(other, one)
    assert union(subtract(one, other), intersect(one, other)) == one


def test_neighbours_merge() -> None:
    assert canonical([(3, 5, 1), (0, 2, 1)]) == ((0, 5, 1),)
    assert canonical([(0, 2, 1), (3, 5, 2)]) == ((0, 2, 1), (3, 5, 2))
    assert canonical([(0, 9, 0)]) == NOTHING


def test_spread_makes_classes_of_each() -> None:
    assert spread(((0, 1, 0b101),), 2) == ((0, 1, 0b110011),)


def test_unnamed_protocols_share_a_row_and_have_one_point() -> None:
    axis = Axis([47])
    assert axis.row(50) == axis.row(OTHER) != axis.row(47)
    assert axis.row(47)[0] == axis.row(47)[1]
    assert axis.row(6)[1] - axis.row(6)[0] == PORTS - 1


def test_points_of_flows() -> None:
    axis = Axis([])
    assert axis.point(6, 80, None, None) == axis.row(6)[0] + 80
    assert axis.point(1, 0, 8, 1) == axis.row(1)[0] + 8 * 256 + 1
    assert axis.point(47, 80, None, None) == axis.row(OTHER)[0]


def test_split_names_protocols_again() -> None:
    axis = Axis([])
    assert [p for p, *_ in axis.split(axis.all(1))] == list(axis.protocols)
    assert next(axis.split(axis.ports([(80, 81)], 1))) == (6, 80, 81, 1)

from fractions import Fraction

import pytest

from tsujiban.resources import quantities


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (2, 2),
        (0.5, Fraction(1, 2)),
        ("500m", Fraction(1, 2)),
        ("1.5Gi", 3 * 2**29),
        (".5k", 500),
        ("2.", 2),
        ("2e3", 2000),
        ("1E-3", Fraction(1, 1000)),
        ("1E", 10**18),
        ("100n", Fraction(1, 10**7)),
        ("-1Ki", -1024),
    ],
)
def test_a_quantity_is_a_number(text: str | float, value: Fraction) -> None:
    assert quantities.parse(text) == value


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1KI", "1e", "--1", "1Gi2", "1e1000", "9" * 65, "\u0661"])
def test_what_is_none_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantities.parse(text)

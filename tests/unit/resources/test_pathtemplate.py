"""Istio's path templates."""

from __future__ import annotations

import pytest

from tsujiban.resources.pathtemplate import TemplateError, is_template, pattern


@pytest.mark.parametrize(
    ("template", "path", "matched"),
    [
        ("/a/{*}/b", "/a/x/b", True),
        ("/a/{*}/b", "/a/x/y/b", False),
        ("/a/{*}/b", "/a//b", False),
        ("/a/{**}", "/a/x/y", True),
        ("/a/{**}", "/a/", True),
        ("/{**}/b", "/x/y/b", True),
        ("/{*}/{**}/c.d", "/x/y/c.d", True),
        ("/{*}/c.d", "/x/cxd", False),
    ],
)
def test_match(template: str, path: str, matched: bool) -> None:
    assert is_template(template)
    assert (pattern(template).fullmatch(path) is not None) is matched


@pytest.mark.parametrize(
    "template", ["/{**}/{*}", "/{**}/{**}", "/a{*}", "/{a}", "/{*", "{*}/a", "/{*}/a b", '/{*}/"']
)
def test_what_is_no_template(template: str) -> None:
    with pytest.raises(TemplateError):
        pattern(template)

from __future__ import annotations

import pytest

from tsujiban.policy.testing.naming import is_test
from tsujiban.policy.testing.suite import Suite, read_suites

HEAD = "apiVersion: tsujiban.io/v1\nkind: PolicyTest\nmetadata: {name: t}\n"


def suite(text: str) -> Suite:
    suites, wrong = read_suites({"a_test.yaml": (HEAD + text).encode()})
    assert wrong == []
    (one,) = suites
    return one


def wrong(text: str) -> list[tuple[int, str, str, str]]:
    suites, findings = read_suites({"a_test.yaml": (HEAD + text).encode()})
    assert suites == []
    return [(one.line, one.code, one.message, one.hint) for one in findings]


def test_a_case_with_everything() -> None:
    (case,) = suite(
        """\
cases:
  - name: all of it
    from: web
    to: db
    protocol: udp
    port: 53
    sourcePort: 1024
    method: POST
    path: /a
    host: db.shop
    headers: {X-Team: red}
    claims: {iss: me}
    principal: ""
    sni: db.example
    expect: deny
    rule: a/b/ingress/0
"""
    ).cases
    assert (case.sni, case.clauses["sni"]) == ("db.example", "db.example")
    assert (case.name, case.source, case.destination, case.line) == ("all of it", "web", "db", 5)
    assert (case.protocol, case.port, case.source_port, case.principal) == (17, 53, 1024, "")
    assert case.http is not None
    assert (case.http.method, case.http.path, case.http.host) == ("POST", "/a", "db.shop")
    assert (case.http.headers, case.http.claims) == ({"x-team": "red"}, {"iss": "me"})
    assert (case.expect, case.rule) == ("deny", "a/b/ingress/0")


def test_a_case_without_http_is_none() -> None:
    (case,) = suite("cases: [{from: a, to: b, port: 80, expect: allow}]").cases
    assert case.http is None
    assert case.name == "a -> b, TCP 80"


def test_defaults_are_the_running_meshs() -> None:
    one = suite("cases: [{from: a, to: b, expect: allow}]")
    assert (one.name, one.policies, one.endpoints, one.namespace) == ("t", (), (), "default")
    assert (one.trust_domain, one.strict) == ("cluster.local", True)


def test_a_table_makes_a_case_of_each_line() -> None:
    cases = suite(
        """\
table: |
  # who       what
  from  to    port  expect  name

  a     b     80    allow   "two words"
  a     1::2  -     deny    -
"""
    ).cases
    assert [(c.source, c.destination, c.port, c.expect, c.line) for c in cases] == [
        ("a", "b", 80, "allow", 8),
        ("a", "1::2", 0, "deny", 9),
    ]
    assert cases[0].name == "two words"


def test_a_matrix_makes_a_case_of_each_cell_that_says_something() -> None:
    cases = suite(
        """\
matrix:
  - name: m
    to: ["x:80", "2001:db8::1", y]
    port: 443
    from:
      a: [allow, deny, "-"]
      b: ["-", "-", allow]
"""
    ).cases
    assert [(c.source, c.destination, c.port, c.expect, c.line) for c in cases] == [
        ("a", "x", 80, "allow", 9),
        ("a", "2001:db8::1", 443, "deny", 9),
        ("b", "y", 443, "allow", 10),
    ]
    assert cases[0].name == "m: a -> x, TCP 80"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "cases:\n  - {form: a, to: b, expect: allow}",
            (5, "unknown-field", "unknown field 'form'", "did you mean 'from'?"),
        ),
        (
            "polices: [a.yaml]\ncases: [{from: a, to: b, expect: allow}]",
            (4, "unknown-field", "unknown field 'polices'", "did you mean 'policies'?"),
        ),
        (
            "cases:\n  - from: a\n    to: b\n    expect: alow",
            (7, "bad-value", "`expect` is 'alow'", "did you mean 'allow'?"),
        ),
        ("cases:\n  - {from: a, to: b}", (5, "missing-field", "`expect` is missing", "")),
        (
            "cases:\n  - {from: a, to: b, expect: deny, protocol: TPC}",
            (5, "bad-value", "unknown protocol 'TPC'", "did you mean 'TCP'?"),
        ),
        (
            "cases:\n  - {from: a, to: b, expect: deny, port: 65536}",
            (5, "out-of-range", "port 65536 is not from 0 to 65535", ""),
        ),
        (
            "cases:\n  - {from: a, to: b, expect: deny, protocol: ICMP, icmpType: 300}",
            (5, "out-of-range", "icmpType 300 is not from 0 to 255", ""),
        ),
        (
            "table: |\n  from to expct\n  a b allow",
            (5, "bad-table", "unknown column 'expct'", "did you mean 'expect'?"),
        ),
        (
            "table: |\n  from to expect\n  a b",
            (6, "bad-table", "2 words in a table of 3 columns", "write - for none"),
        ),
        (
            "table: |\n  from to port expect\n  a b http allow",
            (6, "bad-table", "port 'http' is not a number", ""),
        ),
        (
            "matrix:\n  - to: [a, b]\n    from:\n      c: [deny]",
            (7, "bad-table", "1 verdicts for 2 destinations", ""),
        ),
        ("policies: [a.yaml]", (1, "empty", "no cases, no table and no matrix", "")),
    ],
)
def test_what_is_wrong_is_told_with_line_and_hint(text: str, expected: tuple[int, str, str, str]) -> None:
    assert expected in wrong(text)


def test_another_kind_is_refused() -> None:
    suites, findings = read_suites({"a": b"apiVersion: v1\nkind: Pod\n"})
    assert (suites, [(one.code, one.line) for one in findings]) == ([], [("unknown-kind", 2)])


@pytest.mark.parametrize("text", [b"", b"- 1\n", b"a: [\n", b"\xff\xfe", b"a: " + b"[" * 200])
def test_what_is_no_test_file_is_refused_without_a_traceback(text: bytes) -> None:
    suites, findings = read_suites({"a": text})
    assert suites == []
    assert findings


def test_names_of_test_files() -> None:
    assert is_test("web_test.yaml")
    assert is_test("web.test.yml")
    assert not is_test("latest.yaml")
    assert not is_test("test.yaml")

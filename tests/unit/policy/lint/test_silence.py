from __future__ import annotations

from tsujiban.policy.lint import LintFinding, lint_objects
from tsujiban.policy.lint.silence import comments
from tsujiban.resources.load import read

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  annotations: {%s}
spec:
  containers: [{name: main}]
"""
OPEN = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress:
%s
"""


def found(text: str) -> list[LintFinding]:
    sources = {"a.yaml": text.encode()}
    loaded = read(sources.items())
    assert loaded.ok, loaded.findings
    return lint_objects(loaded.objects, sources=sources, findings=loaded.findings)


def codes(text: str) -> dict[str, str | None]:
    return {one.code: one.silenced for one in found(text)}


def test_an_annotation_silences_its_codes_with_the_reason() -> None:
    told = codes(POD % '"tsujiban.io/lint-ignore": "TSJ105, TSJ107,tsj108 a sandbox"')
    assert told == {"TSJ105": "a sandbox", "TSJ107": "a sandbox", "TSJ108": "a sandbox"}


def test_an_annotation_may_have_a_line_for_each_reason() -> None:
    told = codes(POD % '"tsujiban.io/lint-ignore": "TSJ105 open\\nTSJ107 on purpose"')
    assert told == {"TSJ105": "open", "TSJ107": "on purpose", "TSJ108": None}


def test_a_comment_silences_its_own_line() -> None:
    assert codes(OPEN % "    - {} # tsujiban:ignore TSJ106 for all") == {"TSJ106": "for all"}


def test_a_comment_of_its_own_silences_the_next_line_that_says_something() -> None:
    rule = "    # tsujiban:ignore TSJ106 for all\n    # really\n\n    - {}"
    assert codes(OPEN % rule) == {"TSJ106": "for all"}


def test_a_comment_elsewhere_silences_nothing_and_is_told_of() -> None:
    told = found(OPEN % "    - {}\n# tsujiban:ignore TSJ106 for all")
    assert [(one.code, one.line, one.silenced) for one in told] == [("TSJ106", 8, None), ("TSJ190", 9, None)]


def test_a_silence_without_reason_works_and_is_told_of() -> None:
    assert codes(OPEN % "    - {} # tsujiban:ignore TSJ106") == {"TSJ106": "", "TSJ191": None}


def test_an_unknown_code_gets_the_near_one() -> None:
    told = [one for one in found(OPEN % "    - {} # tsujiban:ignore TSJ1006 for all") if one.code == "TSJ191"]
    assert [one.hint for one in told] == ["did you mean TSJ106?"]


def test_a_silence_without_code_is_told_of() -> None:
    assert codes(OPEN % "    - {} # tsujiban:ignore") == {"TSJ106": None, "TSJ191": None}


def test_only_comments_count() -> None:
    assert list(comments("a: b#tsujiban:ignore TSJ101 no\nc: d # tsujiban:ignored TSJ101 no\n")) == []

from __future__ import annotations

from tsujiban.policy.lint import CODES, Level, LintFinding, sarif

ONE = LintFinding(
    code="TSJ106",
    name="wide-open",
    severity=Level.INFO,
    message="it is open",
    hint="close it",
    file="a b/ü.yaml",
    line=3,
    object="NetworkPolicy shop/web",
    field="spec.ingress[0]",
)


def test_a_finding_has_rule_level_message_and_place() -> None:
    log = sarif.render([ONE], "1.2.3")
    (run,) = log["runs"]
    (result,) = run["results"]
    assert log["version"] == "2.1.0"
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "TSJ106"
    assert result["level"] == "note"
    assert result["message"]["text"] == "NetworkPolicy shop/web spec.ingress[0]: it is open. close it"
    (place,) = result["locations"]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b/%C3%BC.yaml"},
        "region": {"startLine": 3},
    }
    assert "suppressions" not in result


def test_a_silenced_finding_is_suppressed_with_the_reason() -> None:
    import msgspec

    (run,) = sarif.render([msgspec.structs.replace(ONE, silenced="on purpose", file="")], "1")["runs"]
    (result,) = run["results"]
    assert result["suppressions"] == [{"kind": "inSource", "justification": "on purpose"}]
    assert "locations" not in result


def test_every_code_is_a_rule() -> None:
    (run,) = sarif.render([], "1")["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == sorted(CODES)

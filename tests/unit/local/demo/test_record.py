from __future__ import annotations

from tsujiban.local.demo.record import ActRecord, Check, Record
from tsujiban.local.demo.stage import Stage

GOOD = Check(what="a", expected="x", observed="x", ok=True)
BAD = Check(what="a", expected="x", observed="y", ok=False)


class Nobody:
    def step(self, text: str) -> None:
        pass

    def checked(self, check: Check) -> None:
        pass


def test_an_act_is_right_when_it_ended_and_every_check_is() -> None:
    assert ActRecord(number=1, title="a", checks=[GOOD]).ok
    assert not ActRecord(number=1, title="a", checks=[GOOD, BAD]).ok
    assert not ActRecord(number=1, title="a", checks=[GOOD], error="boom").ok


def test_an_act_without_checks_shows_nothing() -> None:
    assert not ActRecord(number=1, title="a").ok
    assert not Record().ok


def test_one_bad_act_spoils_the_evening() -> None:
    good, bad = ActRecord(number=1, title="a", checks=[GOOD]), ActRecord(number=2, title="b", checks=[BAD])
    assert Record(acts=[good]).ok
    assert not Record(acts=[good, bad]).ok


def test_the_stage_writes_down_what_differs() -> None:
    act = ActRecord(number=1, title="a")
    stage = Stage(act, Nobody())
    stage.same("balance", 1, 2, rule="r", post="proxy")
    assert act.checks == [Check(what="balance", expected="1", observed="2", ok=False, rule="r", post="proxy")]

from __future__ import annotations

from tsujiban.local.demo.programme import PROGRAMME


def test_ten_acts_each_with_a_title_and_a_story_of_its_own() -> None:
    assert len(PROGRAMME) == 10
    assert len({act.title for act in PROGRAMME}) == 10
    assert len({act.play for act in PROGRAMME}) == 10
    assert all(act.story.endswith(".") for act in PROGRAMME)

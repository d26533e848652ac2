import pytest

from tsujiban.agent.objects import NotKnown, Objects


def test_a_secret_that_is_not_there_and_one_that_nobody_has_told_of_are_two_things() -> None:
    objects = Objects(secrets={"keys": {"word": b"hush"}, "gone": None})
    assert objects.secret("keys") == {"word": b"hush"}
    assert objects.secret("gone") is None
    with pytest.raises(NotKnown, match="secret 'unheard': the controller has not sent it yet") as caught:
        objects.secret("unheard")
    assert caught.value.reason == "ContainerCreating"


def test_values_are_in_no_log() -> None:
    objects = Objects(secrets={"keys": {"word": b"hush"}}, tokens={("volume", "path"): b"token-1"})
    assert "hush" not in repr(objects)
    assert "token-1" not in repr(objects)

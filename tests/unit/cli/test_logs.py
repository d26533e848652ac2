from __future__ import annotations

from pathlib import Path

import pytest

from tsujiban.cli.errors import Failure
from tsujiban.cli.logs import choose_container, read

POD: dict[str, object] = {
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
}


def test_the_first_container_is_meant_when_none_is_named() -> None:
    assert choose_container(POD, "") == "a"
    assert choose_container(POD, "b") == "b"
    assert choose_container(POD, "sidecar", extra=("sidecar",)) == "sidecar"


def test_a_container_that_is_not_there() -> None:
    with pytest.raises(Failure) as caught:
        choose_container(POD, "c", extra=("sidecar",))
    assert "a, b, sidecar" in caught.value.hint


@pytest.mark.parametrize(("tail", "text"), [(None, b"1\n2\n3"), (2, b"2\n3"), (0, b""), (9, b"1\n2\n3")])
def test_tail(tmp_path: Path, tail: int | None, text: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"1\n2\n3")
    assert b"".join(read(path, tail=tail)) == text


def test_following_survives_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    lines = read(path, follow=True)
    assert next(lines) == b"old\n"
    with path.open("ab") as file:
        file.write(b"more\n")
    assert next(lines) == b"more\n"
    path.rename(tmp_path / "log.1")
    path.write_bytes(b"new\n")
    assert next(lines) == b"new\n"


def test_a_log_that_is_cut_short_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a long line\n")
    lines = read(path, follow=True)
    assert next(lines) == b"a long line\n"
    path.write_bytes(b"new\n")
    assert next(lines) == b"new\n"

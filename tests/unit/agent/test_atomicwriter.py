"""A volume's files change all at once, and nothing of before is left."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tsujiban.agent import atomicwriter
from tsujiban.agent.atomicwriter import write

ME = os.getuid()


def put(place: Path, **files: str) -> bool:
    return write(place, {name.replace("__", "/"): (text.encode(), 0o644) for name, text in files.items()}, ME)


def seen(place: Path) -> dict[str, str]:
    """What a container lists, and what it reads there."""
    names = sorted(name for name in os.listdir(place) if not name.startswith(".."))
    return {name: (place / name).read_text() for name in names if (place / name).is_file()}


def test_the_layout_is_the_kubelets(tmp_path: Path) -> None:
    place = tmp_path / "v"
    assert put(place, a="1", d__b="2")
    assert os.readlink(place / "a") == "..data/a"
    assert os.readlink(place / "d") == "..data/d"
    stamped = os.readlink(place / "..data")
    assert stamped.startswith("..20")
    assert sorted(os.listdir(place)) == sorted(["..data", stamped, "a", "d"])
    assert (place / "d" / "b").read_text() == "2"
    assert (place / stamped).stat().st_mode & 0o777 == 0o755


def test_what_is_the_same_is_left_alone(tmp_path: Path) -> None:
    assert put(tmp_path / "v", a="1")
    before = os.readlink(tmp_path / "v" / "..data")
    assert not put(tmp_path / "v", a="1")
    assert os.readlink(tmp_path / "v" / "..data") == before
    assert write(tmp_path / "v", {"a": (b"1", 0o600)}, ME)
    assert (tmp_path / "v" / "a").stat().st_mode & 0o777 == 0o600


def test_what_has_gone_is_gone(tmp_path: Path) -> None:
    place = tmp_path / "v"
    put(place, a="1", b="2", d__x="3")
    put(place, b="4")
    assert seen(place) == {"b": "4"}
    assert len(os.listdir(place)) == 3  # ..data, its directory, b
    put(place)
    assert os.listdir(place).count("..data") == 1
    assert seen(place) == {}


def test_a_file_that_was_mounted_by_itself_stays_what_it_was(tmp_path: Path) -> None:
    put(tmp_path / "v", a="1")
    with (tmp_path / "v" / "a").open() as mounted:  # a bind mount holds the inode, as this does
        put(tmp_path / "v", a="2")
        assert mounted.read() == "1"
    assert seen(tmp_path / "v") == {"a": "2"}


def test_whoever_looks_sees_all_of_before_or_all_of_after(tmp_path: Path) -> None:
    place = tmp_path / "v"
    put(place, a="0", b="0")
    odd: list[tuple[str, str]] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                held = os.open(place / "..data", os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:  # what the link led to went while it was followed; the link never does
                if not os.path.lexists(place / "..data"):
                    odd.append(("nothing", "nothing"))
                continue
            try:
                pair = tuple(read(held, name) for name in ("a", "b"))
            except FileNotFoundError:  # it has been replaced since: as of before, and gone as a whole
                continue
            finally:
                os.close(held)
            if pair[0] != pair[1]:
                odd.append((pair[0], pair[1]))

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(1, 200):
        put(place, a=str(number), b=str(number))
        assert (place / "a").read_text() == str(number)  # there is never nothing
    over.set()
    looking.join()
    assert odd == []


def read(held: int, name: str) -> str:
    descriptor = os.open(name, os.O_RDONLY, dir_fd=held)
    with os.fdopen(descriptor) as file:
        return file.read()


def test_files_of_an_older_version_are_replaced(tmp_path: Path) -> None:
    place = tmp_path / "v"
    (place / "d").mkdir(parents=True)
    (place / "d" / "x").write_text("old")
    (place / "a").write_text("old")
    (place / "gone").write_text("old")
    assert atomicwriter.present(place) is None
    put(place, a="new", d__x="new")
    assert seen(place) == {"a": "new"}
    assert (place / "d" / "x").read_text() == "new"


def test_what_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "v"
    put(place, a="1")
    with pytest.raises(OSError, match="a"):
        put(place, a="2", a__b="3")  # a file and a directory of one name
    assert seen(place) == {"a": "1"}
    assert len(os.listdir(place)) == 3
    (place / "..stale").mkdir()  # what a killed agent leaves
    put(place, a="2")
    assert not (place / "..stale").exists()

import pytest

from tsujiban.local import preflight


def test_python() -> None:
    assert preflight.python_problems((3, 11)) == []
    assert "3.10 is too old" in preflight.python_problems((3, 10))[0]


def test_missing_tools_name_their_packages() -> None:
    problems = preflight.tool_problems(
        {"bird", "nft", "etcd"}, lambda tool: None if tool != "nft" else "/nft"
    )
    assert problems == [
        "`bird` is not installed: apt-get install bird2",
        "`etcd` is not installed: apt-get install etcd-server",
    ]


@pytest.mark.parametrize(
    ("answer", "fine"), [("BIRD version 2.0.12\n", True), ("BIRD version 1.6.8", False), ("", False)]
)
def test_bird_must_be_of_version_2(answer: str, fine: bool) -> None:
    assert (preflight.bird_version_problems(answer) == []) == fine


def test_everything_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(preflight.PreflightError) as caught:
        preflight.check("etcd")
    lines = str(caught.value).splitlines()
    assert len(lines) == len(preflight.TOOLS) + 2
    assert "sudo" in lines[-1]

import pytest

from tsujiban.kernel import names


def test_names_are_stable_and_told_apart() -> None:
    assert names.name("policy", "default/web") == names.name("policy", "default/web")
    assert names.name("policy", "default/web") != names.name("tier", "default/web")
    assert names.digest("a", "bc") != names.digest("ab", "c")
    assert names.name("policy", "default/web") == "policy-" + names.digest("policy", "default/web")


def test_ids_are_written_as_they_are_when_they_may_be() -> None:
    assert names.written("default/knp:web/ingress/0", 127) == "default/knp:web/ingress/0"
    assert names.written("_profile/none", 127) == "_profile/none"


@pytest.mark.parametrize("text", ["x" * 128, 'a"b', "a b", "$x", "a\nb", "", "ä"])
def test_other_ids_become_a_digest(text: str) -> None:
    assert names.written(text, 127) == "#" + names.digest(text)


@pytest.mark.parametrize("text", ["tsj0123456789ab", "eth0", "a.b-c_d"])
def test_interfaces(text: str) -> None:
    assert names.interface(text) == text


@pytest.mark.parametrize("text", ["", "x" * 16, 'a"', "a b", "a*", "a/b", "a\n"])
def test_what_is_no_interface_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the name of a network interface"):
        names.interface(text)


def test_macs() -> None:
    assert names.mac("02:AB:00:00:00:01") == "02:ab:00:00:00:01"
    for text in ("", "02:ab:00:00:00", "02:ab:00:00:00:01:02", "02-ab-00-00-00-01", "02:ab:00:00:00:0g"):
        with pytest.raises(ValueError, match="not a MAC address"):
            names.mac(text)

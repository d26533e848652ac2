from __future__ import annotations

from tsujiban.proxy import clusters, delta
from tsujiban.proxy.resource import Kind


def test_a_response_names_what_has_changed_with_its_version_and_what_is_gone() -> None:
    one = clusters.nobody("a")
    made = delta.response(Kind.CLUSTER, 3, [one], ["b"])
    assert (made.type_url, made.nonce, list(made.removed_resources)) == (Kind.CLUSTER, "3", ["b"])
    assert [(part.name, part.version) for part in made.resources] == [("a", one.version)]
    assert made.resources[0].resource.value == one.encoded()

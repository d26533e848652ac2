"""Files for the offline commands: read, judged, refused whole when anything is wrong.

Unlike `apply`, what can be evaluated but not enforced is taken, and an empty file is a policy
that says nothing. Warnings are for `lint`; here they would drown the answer.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tsujiban.cli import findings, manifests
from tsujiban.policy.offline import PLACES
from tsujiban.resources.findings import errors
from tsujiban.resources.load import LoadedObject, read


@contextmanager
def uncollected() -> Iterator[None]:
    """What is made in the block stays, and nothing of it is garbage: walking it again and again to
    find that out would cost a tenth of an offline command's time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()


@uncollected()
def load(
    files: Sequence[Path], endpoints: Sequence[Path] = (), *, recursive: bool = False
) -> list[LoadedObject]:
    """The objects of the files. With `endpoints`, what there is comes from those files alone,
    and only policies are taken from the others. Raises Failure."""
    from tsujiban.resources.crosscheck import crosscheck

    sources = manifests.contents(manifests.expand(files, recursive=recursive))
    found = read(sources.items(), offline=True)
    objects, said = found.objects, found.findings
    if endpoints:
        places = manifests.contents(manifests.expand(endpoints))
        given = read(places.items(), offline=True)
        objects = [one for one in objects if one.kind.kind not in PLACES] + given.objects
        about_policies = [finding for finding in said if finding.object.partition(" ")[0] not in PLACES]
        said, sources = about_policies + given.findings, {**sources, **places}
    wrong = errors(said)
    wrong = wrong or errors(crosscheck(objects))
    if wrong:
        findings.show(wrong, sources)
        raise findings.refusal(len(wrong))
    return objects

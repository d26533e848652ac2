"""What lint looks at: the objects, what they compile to, and the way back from one to the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tsujiban.policy import workloads
from tsujiban.policy.compile import compile_object
from tsujiban.policy.definitions import AuthorizationForm, NetworkPolicyForm, ProfileForm
from tsujiban.policy.dialects.common import Place
from tsujiban.policy.dialects.istio import MeshNames
from tsujiban.policy.lint.codes import Code, LintFinding
from tsujiban.policy.lint.parts import Places
from tsujiban.policy.lint.space import Space, TooManyClasses, spaces
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import EndpointProgram, PolicyProgram, Rule
from tsujiban.resources import positions
from tsujiban.resources.load import LoadedObject
from tsujiban.resources.positions import Path

ProgramForm = NetworkPolicyForm | ProfileForm | AuthorizationForm


class Subject:
    """Objects compiled, with the questions that more than one check asks."""

    def __init__(self, objects: Sequence[LoadedObject], trust_domain: str) -> None:
        self.objects = objects
        self.offline = OfflineWorld(objects, trust_domain=trust_domain)
        self.world = self.offline.world
        self.places = Places(self.world)
        self.spaces: list[Space] = []
        self.unjudged: list[EndpointProgram] = []  # too much traffic to look at all of it
        for endpoint in self._kinds_of_endpoints():
            try:
                self.spaces += spaces(self.places, endpoint)
            except TooManyClasses:
                self.unjudged.append(endpoint)
        written = policies_written(objects, trust_domain)
        self.forms = {name: form for name, (form, _) in written.items()}
        self.written = {name: one for name, (_, one) in written.items()}
        self._hosts = self._endpoint_objects()

    def _kinds_of_endpoints(self) -> Iterable[EndpointProgram]:
        """One of each group of replicas: endpoints that differ in address and name alone."""
        seen: dict[tuple[object, ...], EndpointProgram] = {}
        for endpoint in self.world.endpoints.values():
            labels = tuple(sorted(self.offline.graph.labels(endpoint.id).items()))
            own = endpoint.addresses if self._addresses_matter(endpoint) else len(endpoint.addresses)
            versions = tuple(":" in address for address in endpoint.addresses)
            key = (
                labels,
                endpoint.identity,
                endpoint.mesh,
                endpoint.named_ports,
                endpoint.host,
                endpoint.ingress,
                endpoint.egress,
                endpoint.profiles,
                versions,
                own,
            )
            seen.setdefault(key, endpoint)
        return seen.values()

    def _addresses_matter(self, endpoint: EndpointProgram) -> bool:
        """Whether some rule of the endpoint's asks for its own address by number."""
        for tier in endpoint.ingress:
            for program in map(self.world.policies.get, tier.policies):
                if any(
                    r.dst.nets is not None or r.dst.not_nets or r.dst.services for r in _rules(program, True)
                ):
                    return True
        for tier in endpoint.egress:
            for program in map(self.world.policies.get, tier.policies):
                if any(
                    r.src.nets is not None or r.src.not_nets or r.src.services for r in _rules(program, False)
                ):
                    return True
        return False

    def _endpoint_objects(self) -> dict[str, LoadedObject]:
        by_object = {id(one.object): one for one in self.objects}
        found: dict[str, LoadedObject] = {}
        for stand_in in workloads.stand_ins([one.object for one in self.objects]):
            meta = stand_in.pod.metadata
            found[f"{meta.namespace or 'default'}/{meta.name}"] = by_object[id(stand_in.workload)]
        for one in self.objects:
            if one.kind.kind in ("Pod", "WorkloadEndpoint"):
                found[one.name] = one
            elif one.kind.kind == "HostEndpoint":
                found[f"host/{one.name}"] = one
        return found

    def endpoint_object(self, endpoint: str) -> LoadedObject | None:
        """The object that an endpoint comes from."""
        return self._hosts.get(endpoint)

    def selected(self) -> dict[str, list[EndpointProgram]]:
        """The endpoints that each policy is on, by program id."""
        found: dict[str, list[EndpointProgram]] = {}
        for endpoint in self.world.endpoints.values():
            names = {n for tier in (*endpoint.ingress, *endpoint.egress) for n in tier.policies}
            for name in (*names, *endpoint.profiles, *endpoint.authorization):
                found.setdefault(name, []).append(endpoint)
        return found

    def rule_path(self, program: str, rule: str) -> Path:
        """Where the user wrote a rule: `spec.ingress[0]`."""
        steps = rule.removeprefix(program + "/").split("/")
        if len(steps) == 2 and steps[1].isdecimal():
            return ("spec", steps[0], int(steps[1]))
        if len(steps) == 1 and steps[0].isdecimal():
            return ("spec", "rules", int(steps[0]))
        return ("spec",)


def policies_written(
    objects: Iterable[LoadedObject], trust_domain: str
) -> dict[str, tuple[ProgramForm, LoadedObject]]:
    """The policies with rules among the objects, by program id: their normal form, and the object."""
    names = MeshNames(trust_domain)
    found: dict[str, tuple[ProgramForm, LoadedObject]] = {}
    for one in objects:
        form = compile_object(one.object, Place(one), names)
        if isinstance(form, NetworkPolicyForm | ProfileForm | AuthorizationForm):
            found[form.program.id] = (form, one)
    return found


def _rules(program: PolicyProgram | None, ingress: bool) -> tuple[Rule, ...]:
    if program is None:
        return ()
    return program.ingress if ingress else program.egress


def finding(code: Code, about: LoadedObject, path: Path, message: str, hint: str = "") -> LintFinding:
    """A finding about a field of an object."""
    place = about.position(path)
    line = about.line(path)
    return LintFinding(
        code=code.id,
        name=code.name,
        severity=code.level,
        message=message,
        hint=hint,
        file=about.file,
        line=line,
        column=place.column if place.line == line else 0,
        object=about.title,
        field=positions.render(path),
        page=code.page,
    )

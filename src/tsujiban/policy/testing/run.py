"""Policy tests run: each flow judged and explained, and what is not as expected told with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tsujiban.policy.clauses import Clause
from tsujiban.policy.explain import Explanation, LayerStory, RuleStory, explain
from tsujiban.policy.offline import End, OfflineWorld, UnknownName
from tsujiban.policy.program import Frozen
from tsujiban.policy.testing.mutate import Mutant, mutants
from tsujiban.policy.testing.suite import Case, Suite, read_suites
from tsujiban.resources.findings import Finding
from tsujiban.resources.load import LoadedObject

_ORDER = [str(clause) for clause in Clause]
_MISSES = 3  # nearest misses that are told


class BadTests(ValueError):
    """Test files that cannot be run. `findings` say what is wrong, and where."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(map(str, findings)))
        self.findings = findings


class Result(Frozen, frozen=True):
    """What came of one case. `why` is for people, one line each, when it failed."""

    case: Case
    suite: str
    passed: bool
    verdict: str
    decided_by: tuple[str, ...]
    why: tuple[str, ...] = ()
    told: tuple[Explanation, ...] = ()  # of every pair of ends that the names stand for


class Report(Frozen, frozen=True):
    """What came of all tests of one world."""

    results: tuple[Result, ...] = ()
    mutants: tuple[Mutant, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every case came out as expected."""
        return all(result.passed for result in self.results)

    @property
    def score(self) -> float:
        """Part of the mutants that could be noticed and were, from 0 to 1; 1 when there are none."""
        return score(self.mutants)


def score(given: Iterable[Mutant]) -> float:
    """Part of the mutants that could be noticed and were, from 0 to 1; 1 when there are none."""
    counted = [mutant.killed for mutant in given if not mutant.equivalent]
    return sum(counted) / len(counted) if counted else 1.0


def run_tests(tests: Mapping[str, bytes], objects: Iterable[LoadedObject], *, mutate: bool = False) -> Report:
    """Run test files, given by name, on a set of objects. Which files they name is the caller's affair:
    `policies` and `endpoints` are not looked at. All must agree on trust domain and strictness.

    Raises BadTests.
    """
    suites, wrong = read_suites(tests)
    if wrong:
        raise BadTests(wrong)
    return run(suites, list(objects), mutate=mutate)


def run(suites: Iterable[Suite], objects: Iterable[LoadedObject], *, mutate: bool = False) -> Report:
    """Run suites of one world. Raises BadTests."""
    suites = list(suites)
    if not suites:
        return Report()
    objects = list(objects)
    world = OfflineWorld(objects, trust_domain=suites[0].trust_domain, strict=suites[0].strict)
    wrong: list[Finding] = []
    results: list[Result] = []
    for suite in suites:
        for case in suite.cases:
            try:
                results.append(judge(world, case, suite))
            except UnknownName as error:
                wrong.append(Finding(code="unknown-name", message=str(error), file=case.file, line=case.line))
    if wrong:
        raise BadTests(wrong)
    found: tuple[Mutant, ...] = ()
    if mutate:
        asked = [(result.case, [story.flow for story in result.told]) for result in results if result.passed]
        found = tuple(mutants(world, objects, asked))
    return Report(results=tuple(results), mutants=found)


def judge(world: OfflineWorld, case: Case, suite: Suite) -> Result:
    """Judge one case: every pair of ends that its names stand for must come out as expected.

    Raises UnknownName.
    """
    told = tuple(
        explain(world, here, there, port=_port(case, there), clauses=case.clauses)
        for here, there in _pairs(world, case, suite.namespace)
    )
    for story in told:
        why = tuple(_why(story, case))
        if why:
            return Result(
                case=case,
                suite=suite.name,
                passed=False,
                verdict=story.verdict,
                decided_by=story.decided_by,
                why=why,
                told=told,
            )
    return Result(
        case=case,
        suite=suite.name,
        passed=True,
        verdict=told[0].verdict,
        decided_by=told[0].decided_by,
        told=told,
    )


def _pairs(world: OfflineWorld, case: Case, namespace: str) -> list[tuple[End, End]]:
    sources = world.ends(case.source, namespace)
    targets = world.ends(case.destination, namespace)
    pairs = [(here, there) for here in sources for there in targets]
    others = [(here, there) for here, there in pairs if not here.endpoint or here.endpoint != there.endpoint]
    return others or pairs


def _port(case: Case, there: End) -> int:
    """The port asked for; of a service with one port and none asked for, that one."""
    if not case.port and len(there.ports) == 1:
        return there.ports[0][1]
    return case.port


# ---------------------------------------------------------------------- why it failed


def _why(story: Explanation, case: Case) -> Iterator[str]:
    if story.verdict != case.expect:
        yield f"expected {case.expect}, got {story.verdict}: {story.source} -> {story.destination}"
        yield from _deciders(story)
        yield from _misses(story, case.expect)
    elif case.rule and case.rule not in story.decided_by:
        by = ", ".join(story.decided_by) or "no rule"
        pair = f"{story.source} -> {story.destination}"
        yield f"{story.verdict} as expected, but by {by}, not by {case.rule}: {pair}"
        yield from _deciders(story)
        missed = next((rule for rule in _rules(story) if rule.id == case.rule), None)
        if missed is None:
            yield f"{case.rule} was not asked"
        else:
            yield _told(missed)


def _deciders(story: Explanation) -> Iterator[str]:
    places = {rule.id: _place(rule.file, rule.line) for rule in _rules(story)}
    for layer in story.layers:
        if layer.rule and layer.verdict == story.verdict:
            post = {"both": "", "kernel": " at the kernel", "proxy": " at the proxy"}[layer.post]
            head = f"{layer.layer} of {layer.endpoint}: {layer.verdict}{post}"
            yield f"{head} by {layer.rule}{places.get(layer.rule, '')}"


def _misses(story: Explanation, expect: str) -> Iterator[str]:
    """The rules that would have given the expected verdict, those that came nearest first."""
    layers = [layer for layer in story.layers if expect == "deny" or layer.verdict == "deny"]
    missed = [rule for layer in layers for rule in _of(layer) if not rule.matched and rule.action == expect]
    missed.sort(key=lambda rule: _ORDER.index(rule.clause) if rule.clause in _ORDER else -1, reverse=True)
    for rule in missed[:_MISSES]:
        yield _told(rule)
    if not missed and expect == "allow":
        yield "no rule that would allow it was asked"


def _told(rule: RuleStory) -> str:
    if rule.matched:
        return f"{rule.id} {rule.action} matches, but does not decide{_place(rule.file, rule.line)}"
    got = f": wants {rule.wanted}; got {rule.got}" if rule.wanted or rule.got else " does not match"
    return f"nearest miss: {rule.id} {rule.action}: {rule.clause}{got}{_place(rule.file, rule.line)}"


def _rules(story: Explanation) -> Iterator[RuleStory]:
    for layer in story.layers:
        yield from _of(layer)


def _of(layer: LayerStory) -> Iterator[RuleStory]:
    for tier in layer.tiers:
        for policy in tier.policies:
            if not policy.staged:
                yield from policy.rules


def _place(file: str, line: int) -> str:
    if not file:
        return ""
    return f" ({file}:{line})" if line else f" ({file})"

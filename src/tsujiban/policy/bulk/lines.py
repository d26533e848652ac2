"""Verdicts as lines of JSON, for streams of millions: what is the same in many is encoded once.

A layer of an answer is three pieces: what the outcome says before the endpoint's name, the name,
and what it says after. An answer is those pieces joined; no object is made for it.
"""

from __future__ import annotations

import msgspec

from tsujiban.policy.bulk.asked import Asked
from tsujiban.policy.bulk.chains import Outcome
from tsujiban.policy.bulk.judge import ACCEPTED, UNJUDGED, BulkEvaluator, Party, Told
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Verdict

_encode = msgspec.json.Encoder().encode


class LayerLine(msgspec.Struct, rename="camel", omit_defaults=True):
    """One layer of an answer."""

    layer: str
    endpoint: str
    verdict: str
    rule: str = ""
    post: str = ""


class AnswerLine(msgspec.Struct, rename="camel"):
    """One answer."""

    verdict: str
    decided_by: tuple[str, ...]
    layers: list[LayerLine]


def line_of(judged: Verdict) -> bytes:
    """A verdict as one line, with its end."""
    layers = [
        LayerLine(
            layer=layer.layer,
            endpoint=layer.endpoint,
            verdict=str(layer.verdict),
            rule=layer.rule,
            post=str(layer.post),
        )
        for layer in judged.layers
    ]
    answer = AnswerLine(verdict=str(judged.verdict), decided_by=judged.decided_by, layers=layers)
    return _encode(answer) + b"\n"


class Lines:
    """The same, from what an evaluator tells of ends and questions."""

    def __init__(self, judge: BulkEvaluator) -> None:
        self._world = judge.world
        self._told = judge.told

    def line(self, source: Party, destination: Party, asked: Asked) -> bytes:
        """The answer as one line, with its end."""
        told = self._told(source, destination, asked)
        if told is None:
            flow = asked.flow(source.endpoint, source.address, destination.endpoint, destination.address)
            return line_of(evaluate(self._world, flow))
        sent, received, authentication, authorization = told
        if (
            sent is None
            or received is None
            or authorization is not UNJUDGED
            or authentication is not ACCEPTED
        ):
            return _line(source, destination, told)
        # what most flows are: between two workloads, and the mesh has nothing to say
        before, after, sender = sent.text or _text(sent)
        upon, since, receiver = received.text or _text(received)
        here, there = source.text or _name(source), destination.text or _name(destination)
        if sent.denies or received.denies:
            verdict, both = DENY, sent.denies and received.denies
        else:
            verdict, both = ALLOW, True
        rules = b"%b,%b" % (sender, receiver) if both else sender if sent.denies else receiver
        silent = destination.silent or _silent(destination)
        return b"".join((verdict, rules, LAYERS, before, here, after, b",", upon, there, since, silent))


ALLOW, DENY = b'{"verdict":"allow","decidedBy":[', b'{"verdict":"deny","decidedBy":['
LAYERS, END = b'],"layers":[', b"]}\n"


def _line(source: Party, destination: Party, told: Told) -> bytes:
    layers: list[bytes] = []
    decided: list[bytes] = []
    denied: list[bytes] = []
    for outcome, party in zip(told, (source, destination, destination, destination), strict=True):
        if outcome is None:
            continue
        before, after, rule = outcome.text or _text(outcome)
        layers.append(before + (party.text or _name(party)) + after)
        if outcome.denies:
            denied.append(rule)
        elif rule:
            decided.append(rule)
    verdict, rules = (DENY, denied) if denied else (ALLOW, decided)
    return b"".join((verdict, b",".join(rules), LAYERS, b",".join(layers), END))


def _text(outcome: Outcome) -> tuple[bytes, bytes, bytes]:
    """An outcome's pieces: before and after the endpoint's name, and the rule, b"" for none."""
    line = LayerLine(
        layer=outcome.layer,
        endpoint="",
        verdict=str(outcome.action),
        rule=outcome.rule,
        post=str(outcome.post),
    )
    front, name, back = _encode(line).partition(b'"endpoint":""')
    outcome.text = front + name[:-2], back, _encode(outcome.rule) if outcome.rule else b""
    return outcome.text


def _name(party: Party) -> bytes:
    party.text = _encode("" if party.program is None else party.program.id)
    return party.text


def _silent(party: Party) -> bytes:
    """The end of a line where the layers of the mesh say nothing."""
    name = party.text or _name(party)
    layers = [before + name + after for before, after, _ in map(_text, (ACCEPTED, UNJUDGED))]
    party.silent = b"," + b",".join(layers) + END
    return party.silent

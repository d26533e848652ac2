"""`tsujiban explain SRC DST`: why a flow is allowed or denied, on files or on the running cluster.

With one word it is kubectl's: what a kind and its fields are (`cli.fields`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tsujiban.cli.complete import pods
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.options import files_option, recursive_option
from tsujiban.cli.session import cluster_option, namespace_option

if TYPE_CHECKING:
    from tsujiban.policy.explain import Explanation, LayerStory, PolicyStory, RuleStory, TierStory
    from tsujiban.policy.flow import Request

COLOURS = {"allow": "green", "deny": "red", "pass": "yellow", "log": "yellow"}


@click.command()
@click.argument("source", metavar="SOURCE|KIND[.FIELD]", shell_complete=pods)
@click.argument("destination", required=False, metavar="[DESTINATION]", shell_complete=pods)
@files_option("Manifests instead of the running cluster: a file, a folder, or -.", required=False)
@recursive_option
@click.option("--protocol", default="TCP", show_default=True, help="Name or IANA number.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Destination port.")
@click.option("--source-port", type=click.IntRange(0, 65535), help="Source port, when it matters.")
@click.option("--icmp-type", type=click.IntRange(0, 255), help="With --protocol ICMP.")
@click.option("--icmp-code", type=click.IntRange(0, 255), help="With --protocol ICMP.")
@click.option("--method", help="HTTP method; makes the flow an HTTP request.")
@click.option("--path", help="HTTP path; makes the flow an HTTP request.")
@click.option("--host", help="HTTP host; makes the flow an HTTP request.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME:VALUE", help="HTTP header; may be repeated."
)
@click.option("--claims", metavar="JSON", help="Claims of a token that verified; an HTTP request's.")
@click.option("--sni", default="", help="Server name of the application's own TLS.")
@click.option("--principal", help="SPIFFE ID that the source proves; '' for plaintext. Default: its own.")
@click.option("--trust-domain", help="With -f: the mesh's trust domain [default: cluster.local].")
@click.option(
    "--strict/--no-strict",
    default=None,
    help="Refuse plaintext where no PeerAuthentication accepts it. Default: on the running cluster.",
)
@click.option("-o", "--output", "form", type=click.Choice(["json"]), help="Form of the output.")
@namespace_option
@cluster_option
def explain(
    source: str,
    destination: str | None,
    files: tuple[Path, ...],
    recursive: bool,
    protocol: str,
    port: int,
    source_port: int | None,
    icmp_type: int | None,
    icmp_code: int | None,
    method: str | None,
    path: str | None,
    host: str | None,
    headers: tuple[str, ...],
    claims: str | None,
    sni: str,
    principal: str | None,
    trust_domain: str | None,
    strict: bool | None,
    form: str | None,
    namespace: str,
    cluster: str,
) -> None:
    """Say which rules decide a flow from SOURCE to DESTINATION, and why the others did not match.

    Each is a pod (`namespace/name` or `name`), a workload (`deployment/web`, or just `web`), a
    service (`service/web`) or an address.

    With one word, a kind or a field of one, say what it is: `tsujiban explain networkpolicy.spec.ingress`.
    """
    if destination is None:
        from tsujiban.cli import fields

        for line in fields.told(source, recursive=recursive):
            click.echo(line)
        return
    from tsujiban.policy.explain import explain_objects
    from tsujiban.policy.offline import UnknownName

    if files:
        from tsujiban.cli import offline

        objects = offline.load(files, recursive=recursive)
        domain = trust_domain or "cluster.local"
    else:
        from tsujiban.cli import running

        objects, domain = running.objects(cluster)
    request = _request(method, path, host, headers, claims)
    try:
        told = explain_objects(
            objects,
            source,
            destination,
            namespace=namespace,
            protocol=protocol,
            port=port,
            source_port=source_port,
            icmp_type=icmp_type,
            icmp_code=icmp_code,
            request=request,
            principal=principal,
            sni=sni,
            trust_domain=domain,
            strict=not files if strict is None else strict,
        )
    except (UnknownName, ValueError) as error:
        raise Failure(str(error.args[0] if error.args else error), code=Exit.USAGE) from error
    if form:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
    else:
        for line in lines(told):
            click.echo(line)


def _request(
    method: str | None, path: str | None, host: str | None, headers: tuple[str, ...], claims: str | None
) -> Request | None:
    from msgspec.structs import replace

    from tsujiban.policy.flow import request_of

    given: dict[str, str] = {}
    repeated: set[str] = set()
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise Failure(f"--header {header!r}: write NAME:VALUE", code=Exit.USAGE)
        key = name.strip().lower()
        if key in given:
            repeated.add(key)
        given[key] = f"{given[key]},{value.strip()}" if key in given else value.strip()
    found = request_of(method, path, host, given, None if claims is None else _claims(claims))
    return replace(found, repeated=frozenset(repeated)) if found else None


def _claims(text: str) -> dict[str, object]:
    import msgspec

    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.MsgspecError as error:
        hint = """Write an object, such as '{"iss": "https://issuer", "sub": "me"}'."""
        raise Failure(f"--claims: {error}", hint=hint, code=Exit.USAGE) from error


# ---------------------------------------------------------------------- readable form


def lines(told: Explanation) -> Iterator[str]:
    """The explanation for eyes, one layer after the other, the verdict last."""
    flow = told.flow
    from tsujiban.resources import protocols

    what = protocols.name(flow.protocol)
    if flow.protocol in protocols.WITH_PORTS:
        what += f" port {flow.port}"
    if flow.http is not None:
        what += f", {flow.http.method} {flow.http.path}"
    if flow.sni:
        what += f", TLS to {flow.sni}"
    yield click.style(f"{told.source} -> {told.destination}", bold=True) + f"  {what}"
    if not told.layers:
        yield "  no policy stands between them"
    for layer in told.layers:
        yield ""
        yield from _layer(layer)
    yield ""
    yield f"{_verdict(told.verdict)}  by {', '.join(told.decided_by) or 'no rule'}"
    for other in told.differs:
        yield f"  but {other}"


def _layer(layer: LayerStory) -> Iterator[str]:
    post = {"both": "", "kernel": " at the kernel", "proxy": " at the proxy"}[layer.post]
    yield f"{click.style(layer.layer, bold=True)} of {layer.endpoint}: {_verdict(layer.verdict)}{post}"
    if layer.note:
        yield f"  {layer.note}"
    for tier in layer.tiers:
        yield from _tier(tier)


def _tier(tier: TierStory) -> Iterator[str]:
    yield f"  {tier.name}" + (
        f": {_verdict(tier.outcome)} by {tier.rule}" if tier.outcome else ": decides nothing"
    )
    for policy in tier.policies:
        yield from _policy(policy)


def _policy(policy: PolicyStory) -> Iterator[str]:
    staged = click.style(" (staged: not enforced)", fg="yellow") if policy.staged else ""
    yield f"    {policy.id}{staged}{_place(policy.file, policy.line)}"
    for rule in policy.rules:
        yield f"      {_rule(rule)}"
    if not policy.rules:
        yield "      has no rules for this direction"


def _rule(rule: RuleStory) -> str:
    if rule.matched:
        mark, why = click.style("✓", fg=COLOURS.get(rule.action, "yellow"), bold=True), "matches"
    else:
        mark, why = click.style("·", dim=True), f"{rule.clause}"
        if rule.wanted or rule.got:
            why += f": wants {rule.wanted}; got {rule.got}"
        else:
            why += " does not match"
    return f"{mark} {rule.id} {rule.action}: {why}{_place(rule.file, rule.line)}"


def _place(file: str, line: int) -> str:
    return click.style(f"  {file}:{line}" if line else f"  {file}", dim=True) if file else ""


def _verdict(word: str) -> str:
    return click.style(word, fg=COLOURS.get(word), bold=True)

"""The files in /etc that are a pod's own: who it is, whom it knows by name, whom it asks for others. Pure.

What comes from the pod's specification has been validated where it was written; what is no address or no
name nevertheless is left out, for a line of these files must never hold more than it seems to.
Source: Kubernetes "DNS for Services and Pods" and "Adding entries to Pod /etc/hosts with HostAliases";
resolv.conf(5), hosts(5).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tsujiban.resources.kinds import parts
from tsujiban.resources.kinds.core import PodSpec
from tsujiban.resources.validate import names, poddns

MOST_NAMESERVERS = 3  # MAXNS of resolv.conf(5)


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """How a pod is called, and what it asks for about names."""

    hostname: str
    subdomain: str = ""
    namespace: str = "default"
    cluster_domain: str = "cluster.local"
    dns_address: str = ""
    addresses: tuple[str, ...] = ()
    aliases: tuple[parts.HostAlias, ...] = ()
    own_dns: bool = False  # the policy None: only what `dns` says
    dns: parts.PodDNSConfig = parts.PodDNSConfig()


def asked(spec: PodSpec) -> dict[str, Any]:
    """What a pod's specification says of it, as fields of Names."""
    found, _ = poddns.read(spec)
    return {"aliases": found.host_aliases, "own_dns": spec.dns_policy == poddns.NONE, "dns": found.dns_config}


def files(pod: Names) -> dict[str, str]:
    """Contents by name of the file."""
    return {"resolv.conf": _resolv(pod), "hosts": _hosts(pod), "hostname": pod.hostname + "\n"}


def _resolv(pod: Names) -> str:
    domain = f"svc.{pod.cluster_domain}"
    own = pod.own_dns
    searches = () if own else (f"{pod.namespace}.{domain}", domain, pod.cluster_domain)
    servers = () if own or not pod.dns_address else (pod.dns_address,)
    options: dict[str, str | None] = {} if own else {"ndots": "5"}
    options |= {one.name: one.value for one in pod.dns.options}
    wanted = [one for one in pod.dns.searches if one == "." or names.is_subdomain(one.removesuffix("."))]
    lines = [_line("search", dict.fromkeys((*searches, *wanted)))]
    every = dict.fromkeys((*servers, *filter(_is_address, pod.dns.nameservers)))
    lines += [f"nameserver {one}\n" for one in list(every)[:MOST_NAMESERVERS]]
    said = (name if value is None else f"{name}:{value}" for name, value in options.items())
    lines.append(_line("options", [one for one in said if one.isprintable() and " " not in one]))
    return "".join(lines)


def _hosts(pod: Names) -> str:
    full = (
        f"{pod.hostname}.{pod.subdomain}.{pod.namespace}.svc.{pod.cluster_domain}\t" if pod.subdomain else ""
    )
    lines = ["127.0.0.1\tlocalhost\n", "::1\tlocalhost ip6-localhost ip6-loopback\n"]
    lines += [f"{ipaddress.ip_address(one)}\t{full}{pod.hostname}\n" for one in pod.addresses]
    for alias in pod.aliases:
        called = [name for name in alias.hostnames if names.is_subdomain(name)]
        if called and _is_address(alias.ip):
            lines.append("\t".join((alias.ip, *called)) + "\n")
    return "".join(lines)


def _line(word: str, values: Iterable[str] | Mapping[str, Any]) -> str:
    found = " ".join(values)
    return f"{word} {found}\n" if found else ""


def _is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False

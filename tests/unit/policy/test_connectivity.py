from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.support.manifests import PODS, host
from tests.support.manifests import objects as manifests

from tsujiban.policy.connectivity import Connectivity, analyse
from tsujiban.policy.connectivity_forms import FORMS
from tsujiban.policy.offline import UnknownName
from tsujiban.policy.symbolic import requests
from tsujiban.policy.symbolic.words import TooManyDistinctions
from tsujiban.resources.load import LoadedObject, read

DENY = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: no-ipv6}
spec: {selector: app == 'nobody', ingress: [{action: Deny, source: {nets: ["fd00::/8"]}}]}
"""
WORKLOADS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: i}]}
status: {podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}, {ip: "2001:db8::2"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: shop, labels: {app: other}}
spec: {containers: [{name: c, image: i}]}
status: {podIP: 10.0.0.3}
"""


def ingress(name: str, app: str, rules: str) -> str:
    return f"""
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: {app}}}}}
  policyTypes: [Ingress]
  ingress: {rules}
"""


def authorization(rules: str, action: str = "ALLOW") -> str:
    return f"""
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {action.lower()}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: db}}}}
  action: {action}
  rules: {rules}
"""


def objects(*parts: str) -> list[LoadedObject]:
    loaded = read([("shop.yaml", "\n".join((WORKLOADS, *parts)).encode())], offline=True)
    assert loaded.ok, loaded.findings
    return loaded.objects


def table(told: Connectivity) -> dict[tuple[str, str], str]:
    return {(c.source, c.destination): c.summary for c in told.connections}


def into_db(*parts: str) -> dict[str, str]:
    found = table(analyse(objects(*parts)))
    return {source: words for (source, destination), words in found.items() if destination == "shop/db"}


def test_without_policies_everything_is_one_group_and_open() -> None:
    told = analyse(objects())
    assert all(c.summary == "all" for c in told.connections)


def test_ports_are_ranges_and_named_ports_numbers() -> None:
    ports = "[{port: 80, endPort: 90}, {port: http}, {port: 53, protocol: UDP}]"
    found = table(
        analyse(objects(ingress("p", "web", f"[{{from: [{{podSelector: {{}}}}], ports: {ports}}}]")))
    )
    assert found["shop/db", "shop/web"] == "TCP 80-90, 8080; UDP 53"


def test_outside_is_in_the_words_of_the_policy() -> None:
    block = "{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}"
    told = analyse(objects(ingress("p", "db", f"[{{from: [{block}], ports: [{{port: 443}}]}}]")))
    name = "192.0.2.0/24 except 192.0.2.128/25"
    assert table(told)[name, "shop/db"] == "TCP 443"
    assert next(g for g in told.groups if g.name == name).cidrs == ("192.0.2.0/25",)
    assert ("0.0.0.0/0", "shop/db") not in table(told)


def test_requests_are_methods_and_path_sets() -> None:
    words = into_db(
        authorization(
            "[{to: [{operation: {methods: [GET], paths: [/api/*]}}]}, {to: [{operation: {ports: ['81']}}]}]"
        )
    )
    rest = "UDP; SCTP; ICMP; ICMPv6; other protocols"
    assert words["shop/other"] == f"TCP 0-80, 82-65535 [GET /api/*]; TCP 81; {rest}"


def test_a_denied_path_inside_an_allowed_prefix_is_excepted() -> None:
    words = into_db(
        authorization("[{to: [{operation: {paths: [/api/*]}}]}]"),
        authorization("[{to: [{operation: {paths: [/api/admin*]}}]}]", "DENY"),
    )
    assert "[/api/* except /api/admin*]" in words["shop/other"]


def test_what_can_never_match_is_nothing() -> None:
    """A path that an earlier prefix has denied whole: no request is left, so no connection."""
    words = into_db(
        ingress("p", "db", "[{from: [{podSelector: {}}], ports: [{port: 80}]}]"),
        authorization("[{to: [{operation: {paths: [/api/x]}}]}]"),
        authorization("[{to: [{operation: {paths: [/api*]}}]}]", "DENY"),
    )
    assert words == {}


def test_guarded_but_open_is_all() -> None:
    """Only paths that can be read in two ways are refused; that is not worth words on every line."""
    assert set(into_db(authorization("[{}]")).values()) == {"all"}


def test_all_but_a_port() -> None:
    words = into_db(authorization("[{to: [{operation: {ports: ['22']}}]}]", "DENY"))
    assert words["shop/other"] == "all except TCP 22"


def calico(rule: str) -> str:
    return f"""
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {{name: c, namespace: shop}}
spec:
  selector: app == 'db'
  types: [Ingress]
  ingress: [{rule}]
"""


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("{action: Allow, protocol: ICMP, icmp: {type: 8, code: 0}}", "ICMP type 8/0"),
        ("{action: Allow, protocol: ICMP, icmp: {type: 8}}", "ICMP type 8"),
        ("{action: Allow, protocol: ICMP, notICMP: {type: 8, code: 0}}", "ICMP type 0-7, 8/1-255, 9-255"),
        ("{action: Allow, protocol: 47}", "47"),
        ("{action: Allow, protocol: UDP, source: {ports: [53]}}", "UDP from port 53"),
        ("{action: Allow, protocol: TCP, destination: {notPorts: [22]}}", "TCP 0-21, 23-65535"),
        (
            "{action: Allow, protocol: TCP, http: {methods: [GET], paths: [{prefix: /a}]}}",
            "TCP [GET /a/**]",
        ),
    ],
)
def test_calico_clauses(rule: str, words: str) -> None:
    assert into_db(calico(rule))["shop/other"] == words


def test_identity_counts() -> None:
    words = into_db(
        authorization("[{from: [{source: {principals: [cluster.local/ns/shop/sa/nobody]}}]}]"),
        ingress("p", "db", "[{ports: [{port: 80}]}]"),
    )
    assert words == {}


def test_ip_versions_are_told_apart_only_where_they_differ() -> None:
    same = into_db(ingress("p", "db", "[{from: [{podSelector: {}}]}]"))
    assert (
        same["shop/other, shop/web"] == "all" if "shop/other, shop/web" in same else same["shop/web"] == "all"
    )
    told = analyse(objects(ingress("p", "db", "[{from: [{ipBlock: {cidr: '::/0'}}]}]")))
    assert [c.source for c in told.connections if c.destination == "shop/db"] == ["::/0"]


def test_a_workload_reaches_itself_only_when_it_has_several_pods() -> None:
    found = table(analyse(objects(ingress("p", "db", "[]"))))
    assert ("shop/web", "shop/web") in found or any("shop/web" in s and s == d for s, d in found)
    assert ("shop/db", "shop/db") not in found


def test_what_never_leaves_a_host_is_no_connection() -> None:
    one = host("one", 1, "a")
    told = analyse(manifests(one), exposure=True)
    ours = "app/a, host/one"
    assert set(table(told)) == {(ours, "0.0.0.0/0"), ("0.0.0.0/0", ours)}
    assert [e.cluster for e in told.exposure] == ["", ""], "there is nobody else"
    told = analyse(manifests(one, host("two", 2, "b")), exposure=True)
    everybody = "app/a, app/b and 2 more"
    assert table(told)[everybody, everybody] == "all", "two hosts reach each other"
    assert [e.cluster for e in told.exposure] == ["all", "all"]


def test_how_far_a_host_is_reachable_is_not_about_what_is_on_it() -> None:
    extra = host("one", 1, "a").replace("172.16.0.1]", "172.16.0.1, fd00::1]")  # its pod has IPv4 alone
    told = analyse(manifests(extra, PODS, DENY), exposure=True)
    found = {e.group: e.cluster for e in told.exposure if e.direction == "ingress"}
    assert found["host/one"] == found["app/a"] == "all", found


def test_focus_keeps_the_connections_of_one() -> None:
    told = analyse(objects(ingress("p", "db", "[{from: [{podSelector: {}}]}]")), focus=["db"])
    assert told.connections
    assert all("shop/db" in (c.source, c.destination) for c in told.connections)


def test_an_unknown_focus_says_what_is_near() -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        analyse(objects(), focus=["shop/wep"])


def test_exposure() -> None:
    rules = (
        "[{from: [{namespaceSelector: {}}], ports: [{port: 80}]}, {from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]"
    )
    told = analyse(objects(ingress("p", "db", rules)), exposure=True)
    found = {(e.group, e.direction): e for e in told.exposure}
    assert found["shop/db", "ingress"].cluster == "TCP 80"
    assert found["shop/db", "ingress"].outside == {"192.0.2.0/24": "all"}
    assert found["shop/db", "egress"].cluster == "all"


def test_too_many_distinctions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_CLASSES", 3)
    with pytest.raises(TooManyDistinctions, match="kinds of requests"):
        analyse(objects(authorization("[{to: [{operation: {methods: [GET], paths: [/a, /b]}}]}]")))


def test_the_order_of_objects_does_not_matter() -> None:
    given = objects(ingress("p", "db", "[{from: [{podSelector: {}}]}]"), ingress("q", "web", "[]"))
    forms = [form(analyse(order)) for order in (given, given[::-1]) for form in FORMS.values()]
    assert forms[: len(FORMS)] == forms[len(FORMS) :]


@pytest.fixture
def told() -> Connectivity:
    return analyse(
        objects(
            ingress("p", "db", "[{from: [{podSelector: {}}], ports: [{port: 80}]}]"),
            authorization("[{to: [{operation: {methods: [GET], paths: [/a*]}}]}]"),
        )
    )


def test_text_has_a_line_a_connection(told: Connectivity) -> None:
    lines = FORMS["txt"](told).splitlines()
    assert len([line for line in lines if "=>" in line]) == len(told.connections)
    assert any(line.endswith(": TCP 80 [GET /a*]") for line in lines)


def test_markdown_does_not_run_into_emphasis(told: Connectivity) -> None:
    assert "TCP 80 [GET /a\\*]" in FORMS["md"](told)


def test_csv_has_a_row_a_pair(told: Connectivity) -> None:
    assert "shop/web,shop/db,TCP 80 [GET /a*]" in FORMS["csv"](told).splitlines()


def test_dot_quotes_names(told: Connectivity) -> None:
    assert FORMS["dot"](told).count("->") == len(told.connections)


def test_svg_is_xml_with_every_connection(told: Connectivity) -> None:
    root = ET.fromstring(FORMS["svg"](told))  # noqa: S314 - our own
    assert len(root.findall("{http://www.w3.org/2000/svg}line")) == len(told.connections)


def test_nothing_is_said_of_nothing() -> None:
    empty = Connectivity(groups=(), connections=())
    assert FORMS["txt"](empty) == "nothing is allowed\n"
    assert "nothing is allowed" in FORMS["svg"](empty)


def test_bank_example_says_what_the_demonstration_shows() -> None:
    folder = Path(__file__).parents[3] / "examples" / "bank"
    sources = [(name, (folder / name).read_bytes()) for name in ("bank.yaml", "policy.yaml")]
    found = table(analyse(read(sources, offline=True).objects))
    assert found["default/summary", "default/database"] == "TCP 2379 [POST /v3/kv/range]"
    assert ("default/customer", "default/database") not in found
    assert json.dumps(sorted(map(list, found)))

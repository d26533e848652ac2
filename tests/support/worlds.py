"""Random worlds in every dialect, and flows in them: raw manifests, valid, small, full of collisions.

Everything is drawn from one `random.Random`, so a long run can use plain seeds and a property
test Hypothesis' own (`worlds()`, which shrinks). Pools of names are tiny on purpose: policies
must meet each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

NAMESPACES = ("x", "y", "z")
LABELS = {"app": ("a", "b", "c"), "role": ("f", "g")}
NAMESPACE_LABELS = {"team": ("red", "blue"), "env": ("dev", "prod")}
ACCOUNTS = ("default", "s1", "s2")
PORTS = (80, 81, 443, 5000)
PORT_NAMES = ("web", "dns")
PROTOCOLS = ("TCP", "UDP", "SCTP")
ICMPS = {"ICMP": (0, 8), "ICMPv6": (128, 129)}  # types of echo
CIDRS = (
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.0.0/30",
    "10.2.0.2/32",
    "192.0.2.0/24",
    "0.0.0.0/0",
    "2001:db8::/32",
)
OUTSIDE = ("192.0.2.7", "198.51.100.1", "10.9.9.9", "2001:db8:ffff::1")
METHODS = ("GET", "POST", "PUT")
PATHS = ("/", "/a", "/a/b", "/ab", "/c/d", "/a/../c/d", "/a//b", "/a%2fb", "/a/")
HOSTS = ("web.x", "api.y:8080", "WEB.x")
NODES = ("n1", "n2")
TIERS = ("t1", "t2")


class WorldMaker:
    """Makes objects and flows out of one source of randomness."""

    node_addresses: Mapping[str, tuple[str, ...]] = {"n1": ("172.16.0.1",), "n2": ("172.16.0.2",)}
    dual_stack = 0.2  # the share of pods that have IPv6 too

    def __init__(self, random: Random, *, size: int = 3) -> None:
        self.random = random
        self.size = size

    # ------------------------------------------------------------------ little helpers

    def chance(self, likelihood: float) -> bool:
        return self.random.random() < likelihood

    def some(self, pool: tuple[Any, ...], most: int = 2) -> list[Any]:
        return self.random.sample(pool, self.random.randint(1, min(most, len(pool))))

    def labels(self, pool: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
        return {key: self.random.choice(values) for key, values in pool.items() if self.chance(0.8)}

    def name(self, pool: tuple[str, ...]) -> str:
        return str(self.random.choice(pool))

    # ------------------------------------------------------------------ what there is

    def objects(self) -> list[Json]:
        """A whole world: places, then policies of all dialects."""
        return self.places() + self.policies()

    def places(self) -> list[Json]:
        made: list[Json] = []
        for index, node in enumerate(NODES):
            addresses = [{"type": "InternalIP", "address": one} for one in self.node_addresses[node]]
            made.append(
                self.object("v1", "Node", node, labels={"zone": f"z{index}"})
                | {"status": {"addresses": addresses}}
            )
        for namespace in NAMESPACES:
            if self.chance(0.9):
                made.append(self.object("v1", "Namespace", namespace, labels=self.labels(NAMESPACE_LABELS)))
            for account in ACCOUNTS:
                if self.chance(0.3):
                    made.append(
                        self.object(
                            "v1",
                            "ServiceAccount",
                            account,
                            namespace,
                            labels={"rank": self.name(("hi", "lo"))},
                        )
                    )
        for index, namespace in enumerate(NAMESPACES):
            for number in range(self.random.randint(1, self.size)):
                made.append(
                    self.pod(
                        namespace,
                        f"p{number}",
                        f"10.{index + 1}.0.{number + 1}",
                        f"2001:db8:{index}::{number + 1}",
                    )
                )
        if self.chance(0.5):
            made += self.service(made)
        return made

    def object(
        self,
        version: str,
        kind: str,
        name: str,
        namespace: str = "",
        labels: dict[str, str] | None = None,
        spec: Json | None = None,
    ) -> Json:
        metadata: Json = {"name": name}
        if namespace:
            metadata["namespace"] = namespace
        if labels:
            metadata["labels"] = labels
        return {"apiVersion": version, "kind": kind, "metadata": metadata} | (
            {} if spec is None else {"spec": spec}
        )

    def pod(self, namespace: str, name: str, address: str, second: str) -> Json:
        labels = self.labels(LABELS)
        if self.chance(0.1):
            labels["tsujiban.io/mesh"] = "none"
        ports = [
            {"name": port, "containerPort": self.random.choice(PORTS), "protocol": self.name(PROTOCOLS[:2])}
            for port in PORT_NAMES
            if self.chance(0.6)
        ]
        made = self.object("v1", "Pod", name, namespace, labels=labels)
        made["metadata"]["uid"] = f"{namespace}-{name}"
        made["spec"] = {
            "nodeName": self.node(namespace, name),
            "serviceAccountName": self.name(ACCOUNTS),
            "containers": [{"name": "main", "image": "host", "ports": ports}],
        }
        if self.chance(0.05):
            made["spec"]["hostNetwork"] = True
        ips = [{"ip": address}] + ([{"ip": second}] if self.chance(self.dual_stack) else [])
        status: Json = {"phase": "Running"}
        if self.chance(0.95):
            status |= {"podIP": address, "podIPs": ips}
        return made | {"status": status}

    def node(self, namespace: str, name: str) -> str:
        """Where a pod runs."""
        return self.name(NODES)

    def service(self, places: list[Json]) -> list[Json]:
        namespace = self.name(NAMESPACES)
        addresses = [
            p["status"]["podIP"]
            for p in places
            if p["kind"] == "Pod" and p["metadata"]["namespace"] == namespace and "podIP" in p["status"]
        ]
        service = self.object("v1", "Service", "svc", namespace)
        service["spec"] = {"clusterIP": "10.96.0.20", "ports": [{"name": "main", "port": 80}]}
        found = self.object("discovery.k8s.io/v1", "EndpointSlice", "svc-1", namespace)
        found["metadata"]["labels"] = {"kubernetes.io/service-name": "svc"}
        found |= {
            "addressType": "IPv4",
            "endpoints": [{"addresses": [a]} for a in addresses if self.chance(0.7)],
            "ports": [{"name": "main", "port": 80, "protocol": "TCP"}],
        }
        return [service, found]

    # ------------------------------------------------------------------ what is allowed

    def policies(self) -> list[Json]:
        makers: tuple[Callable[[int], Json], ...] = (
            self.kubernetes,
            self.kubernetes,
            self.calico,
            self.calico,
            self.calico_global,
            self.staged,
            self.cluster,
            self.admin,
            self.authorization,
            self.peer_authentication,
            self.request_authentication,
            self.calico_for_hosts,
            self.staged_namespaced,
            self.staged_kubernetes,
        )
        made = [
            self.object(
                "projectcalico.org/v3",
                "Tier",
                tier,
                spec={"order": self.random.choice((10, 2_000_000))}
                | ({"defaultAction": "Pass"} if self.chance(0.5) else {}),
            )
            for tier in TIERS
        ]
        for index in range(self.random.randint(0, 4 * self.size)):
            made.append(self.random.choice(makers)(index))
        if self.chance(0.3):
            made.append(self.network_set())
        made.append(self.network_set(self.name(NAMESPACES)))
        made += [self.host_endpoint(node) for node in NODES if self.chance(0.4)]
        if self.chance(0.2):
            made.append(self.baseline())
        if self.chance(0.2):
            made.append(self.profile())
        return made

    def label_selector(self, pool: Mapping[str, tuple[str, ...]]) -> Json:
        key = self.name(tuple(pool))
        values = list(pool[key])
        form = self.random.randrange(5)
        if form == 0:
            return {}
        if form == 1:
            return {"matchLabels": {key: self.random.choice(values)}}
        operator = self.name(("In", "NotIn", "Exists", "DoesNotExist"))
        requirement: Json = {"key": key, "operator": operator}
        if operator in ("In", "NotIn"):
            requirement["values"] = self.some(tuple(values))
        return {"matchExpressions": [requirement]}

    def kubernetes(self, index: int) -> Json:
        spec: Json = {"podSelector": self.label_selector(LABELS)}
        types = self.random.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
        spec["policyTypes"] = types
        for direction, peers in (("Ingress", "from"), ("Egress", "to")):
            if direction in types and self.chance(0.8):
                spec[direction.lower()] = [
                    self.kubernetes_rule(peers) for _ in range(self.random.randint(1, 2))
                ]
        return self.object(
            "networking.k8s.io/v1", "NetworkPolicy", f"np{index}", self.name(NAMESPACES), spec=spec
        )

    def kubernetes_rule(self, peers: str) -> Json:
        rule: Json = {}
        if self.chance(0.8):
            rule[peers] = [self.kubernetes_peer() for _ in range(self.random.randint(1, 2))]
        if self.chance(0.6):
            rule["ports"] = [self.kubernetes_port() for _ in range(self.random.randint(1, 2))]
        return rule

    def kubernetes_peer(self) -> Json:
        form = self.random.randrange(4)
        if form == 0:
            return {
                "ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/30"]}
                if self.chance(0.5)
                else {"cidr": self.name(CIDRS)}
            }
        if form == 1:
            return {"podSelector": self.label_selector(LABELS)}
        if form == 2:
            return {"namespaceSelector": self.label_selector(NAMESPACE_LABELS)}
        return {
            "podSelector": self.label_selector(LABELS),
            "namespaceSelector": self.label_selector(NAMESPACE_LABELS),
        }

    def kubernetes_port(self) -> Json:
        port: Json = {"protocol": self.name(PROTOCOLS)}
        form = self.random.randrange(4)
        if form == 1:
            port["port"] = self.random.choice(PORTS)
        elif form == 2:
            port |= {"port": 80, "endPort": self.random.choice((80, 100, 443))}
        elif form == 3:
            port["port"] = self.name(PORT_NAMES)
        return port

    def selector(self, pool: Mapping[str, tuple[str, ...]] = LABELS) -> str:
        key = self.name(tuple(pool))
        value = self.name(pool[key])
        forms = (
            "all()",
            f"{key} == '{value}'",
            f"{key} != '{value}'",
            f"has({key})",
            f"!has({key})",
            f"{key} in {{'{value}', 'zz'}}",
            f"{key} not in {{'{value}'}}",
            f"{key} starts with '{value[:1]}'",
        )
        text = self.name(forms)
        if self.chance(0.2):
            other = self.name(tuple(pool))
            text = f"({text}) {self.name(('&&', '||'))} {other} == '{self.name(pool[other])}'"
        return text

    def calico(self, index: int) -> Json:
        spec = self.calico_spec()
        return self.object(
            "projectcalico.org/v3",
            "NetworkPolicy",
            f"{spec['tier']}.cnp{index}",
            self.name(NAMESPACES),
            spec=spec,
        )

    def calico_global(self, index: int) -> Json:
        spec = self.calico_spec()
        if self.chance(0.4):
            spec["namespaceSelector"] = self.selector(NAMESPACE_LABELS)
        return self.object(
            "projectcalico.org/v3", "GlobalNetworkPolicy", f"{spec['tier']}.gnp{index}", spec=spec
        )

    def calico_for_hosts(self, index: int) -> Json:
        """A policy about what a node forwards, or of what comes before everything else there."""
        made = self.calico_global(index)
        spec = made["spec"]
        spec["applyOnForward"] = True
        early = self.random.choice((None, "preDNAT", "doNotTrack"))
        if early:
            spec[early] = True
        if early == "preDNAT":
            spec["types"] = ["Ingress"]
            spec.pop("egress", None)
        for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
            rule.pop("http", None)
        return made

    def host_endpoint(self, node: str) -> Json:
        spec = {
            "node": node,
            "interfaceName": self.name(("*", "eth0", "")),
            "expectedIPs": list(self.node_addresses[node]),
            "profiles": self.random.choice(([], ["projectcalico-default-allow"], ["kns.x"])),
        }
        if not spec["interfaceName"]:
            del spec["interfaceName"]
        return self.object(
            "projectcalico.org/v3", "HostEndpoint", f"{node}-hep", labels=self.labels(LABELS), spec=spec
        )

    def staged(self, index: int) -> Json:
        spec = self.calico_spec()
        return self.object(
            "projectcalico.org/v3", "StagedGlobalNetworkPolicy", f"{spec['tier']}.sgnp{index}", spec=spec
        )

    def staged_namespaced(self, index: int) -> Json:
        made = self.calico(index)
        return made | {"kind": "StagedNetworkPolicy"}

    def staged_kubernetes(self, index: int) -> Json:
        made = self.kubernetes(index)
        return made | {"apiVersion": "projectcalico.org/v3", "kind": "StagedKubernetesNetworkPolicy"}

    def calico_spec(self) -> Json:
        spec: Json = {"tier": self.name((*TIERS, "default")), "selector": self.selector()}
        if self.chance(0.8):
            spec["order"] = self.random.choice((1, 100, 1000, 1001.5))
        if self.chance(0.2):
            spec["serviceAccountSelector"] = self.selector({"rank": ("hi", "lo")})
        types = self.random.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
        spec["types"] = types
        for direction in types:
            spec[direction.lower()] = [self.calico_rule(direction) for _ in range(self.random.randint(0, 3))]
        return spec

    def calico_rule(self, direction: str) -> Json:
        rule: Json = {"action": self.random.choice(("Allow", "Allow", "Deny", "Pass", "Log"))}
        protocol = self.random.choice((None, None, *PROTOCOLS))
        if self.chance(0.2):
            protocol = self.name(("UDPLite", *ICMPS))
        if protocol:
            rule["protocol"] = protocol
        elif self.chance(0.1):
            rule["notProtocol"] = "UDP"
        if protocol in ICMPS:
            clause = self.random.choice((None, "icmp", "notICMP"))
            if clause:
                fields = {"type": self.random.choice(ICMPS[protocol])}
                rule[clause] = fields | ({"code": self.random.choice((0, 1))} if self.chance(0.5) else {})
        elif self.chance(0.1):
            rule["ipVersion"] = self.random.choice((4, 6))
        if protocol not in PROTOCOLS:
            protocol = None  # it has no ports
        if self.chance(0.7):
            rule["source"] = self.entity(protocol, direction == "Egress")
        if self.chance(0.7):
            rule["destination"] = self.entity(protocol, direction == "Ingress")
        if any("ets" in word for end in ("source", "destination") for word in rule.get(end, ())):
            rule.pop("ipVersion", None)  # which the networks say themselves
        if direction == "Ingress" and rule["action"] == "Allow" and protocol == "TCP" and self.chance(0.5):
            rule["http"] = {"methods": self.some(METHODS)} | (
                {"paths": [{self.name(("exact", "prefix")): self.name(PATHS[:5])}]}
                if self.chance(0.7)
                else {}
            )
        return rule

    def entity(self, protocol: str | None, own: bool) -> Json:
        entity: Json = {}
        if not own:
            form = self.random.randrange(6)
            if form == 0:
                entity["selector"] = self.selector()
            elif form == 1:
                entity["nets"] = self.some(CIDRS[:5])
            elif form == 2:
                entity["namespaceSelector"] = self.random.choice(
                    (self.selector(NAMESPACE_LABELS), "global()")
                )
            elif form == 3:
                entity["serviceAccounts"] = (
                    {"names": self.some(ACCOUNTS)} if self.chance(0.6) else {"selector": "rank == 'hi'"}
                )
            elif form == 4:
                entity["notSelector"] = self.selector()
            elif self.chance(0.3):
                entity["services"] = {"name": "svc", "namespace": self.name(NAMESPACES)}
                return entity
            if self.chance(0.1):
                entity["notNets"] = ["10.1.0.0/30"]
        if protocol and self.chance(0.4):
            word = "ports" if self.chance(0.8) else "notPorts"
            entity[word] = [self.random.choice((*PORTS, "80:100", *PORT_NAMES))]
        return entity

    def network_set(self, namespace: str = "") -> Json:
        return self.object(
            "projectcalico.org/v3",
            "NetworkSet" if namespace else "GlobalNetworkSet",
            "nets",
            namespace,
            labels=self.labels(LABELS),
            spec={"nets": self.some(CIDRS[:5])},
        )

    def profile(self) -> Json:
        return self.object(
            "projectcalico.org/v3",
            "Profile",
            f"kns.{self.name(NAMESPACES)}",
            spec={"ingress": [self.calico_rule("Ingress")], "egress": [{"action": "Allow"}]},
        )

    def cluster_peer(self, egress: bool) -> Json:
        form = self.random.randrange(4 if egress else 2)
        if form == 0:
            return {"namespaces": self.label_selector(NAMESPACE_LABELS)}
        if form == 1:
            return {"pods": self.pods()}
        if form == 2:
            return {"networks": self.some(CIDRS)}
        return {"nodes": {"matchLabels": {"zone": self.name(("z0", "z1"))}}}

    def unless_networks(self, rule: Json, port: Json) -> list[Json]:
        """A named port, unless the peers of the rule are such as have none."""
        peers = [*rule.get("to", ()), *rule.get("from", ())]
        return [] if any("networks" in peer or "nodes" in peer for peer in peers) else [port]

    def pods(self) -> Json:
        return {
            "namespaceSelector": self.label_selector(NAMESPACE_LABELS),
            "podSelector": self.label_selector(LABELS),
        }

    def subject(self) -> Json:
        if self.chance(0.5):
            return {"namespaces": self.label_selector(NAMESPACE_LABELS)}
        return {"pods": self.pods()}

    def cluster(self, index: int) -> Json:
        def rule(egress: bool) -> Json:
            made: Json = {
                "action": self.name(("Accept", "Deny", "Pass")),
                "to" if egress else "from": [
                    self.cluster_peer(egress) for _ in range(self.random.randint(1, 2))
                ],
            }
            if self.chance(0.5):
                made["protocols"] = [
                    self.random.choice(
                        (
                            {"tcp": {"destinationPort": {"number": self.random.choice(PORTS)}}},
                            {"udp": {"destinationPort": {"range": {"start": 80, "end": 100}}}},
                            {"sctp": {"destinationPort": {"number": 5000}}},
                            *self.unless_networks(made, {"destinationNamedPort": self.name(PORT_NAMES)}),
                        )
                    )
                ]
            return made

        spec: Json = {
            "tier": self.name(("Admin", "Baseline")),
            "priority": self.random.randrange(3),
            "subject": self.subject(),
        }
        for direction, egress in (("ingress", False), ("egress", True)):
            if self.chance(0.7):
                spec[direction] = [rule(egress) for _ in range(self.random.randint(1, 2))]
        return self.object(
            "policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", f"cl{index}", spec=spec
        )

    def admin_rules(self, actions: tuple[str, ...]) -> Json:
        made: Json = {}
        for direction, peers, egress in (("ingress", "from", False), ("egress", "to", True)):
            if not self.chance(0.7):
                continue
            rule: Json = {
                "action": self.name(actions),
                peers: [self.cluster_peer(egress) for _ in range(self.random.randint(1, 2))],
            }
            if self.chance(0.5):
                rule["ports"] = [
                    self.random.choice(
                        (
                            {
                                "portNumber": {
                                    "protocol": self.name(PROTOCOLS),
                                    "port": self.random.choice(PORTS),
                                }
                            },
                            {"portRange": {"protocol": "TCP", "start": 80, "end": 100}},
                            *self.unless_networks(rule, {"namedPort": self.name(PORT_NAMES)}),
                        )
                    )
                ]
            made[direction] = [rule]
        return made

    def admin(self, index: int) -> Json:
        spec = {"priority": self.random.randrange(3), "subject": self.subject()}
        spec |= self.admin_rules(("Allow", "Deny", "Pass"))
        return self.object(
            "policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", f"anp{index}", spec=spec
        )

    def baseline(self) -> Json:
        spec = {"subject": self.subject()} | self.admin_rules(("Allow", "Deny"))
        return self.object(
            "policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy", "default", spec=spec
        )

    def mesh_spec(self) -> Json:
        key = self.name(tuple(LABELS))
        return {"selector": {"matchLabels": {key: self.name(LABELS[key])}}} if self.chance(0.6) else {}

    def mesh_namespace(self) -> str:
        return self.name((*NAMESPACES, "istio-system"))

    def authorization(self, index: int) -> Json:
        spec = self.mesh_spec()
        spec["action"] = self.random.choice(("ALLOW", "ALLOW", "DENY", "AUDIT"))
        spec["rules"] = [self.authorization_rule() for _ in range(self.random.randint(1, 2))]
        return self.object(
            "security.istio.io/v1", "AuthorizationPolicy", f"ap{index}", self.mesh_namespace(), spec=spec
        )

    def authorization_rule(self) -> Json:
        rule: Json = {}
        if self.chance(0.7):
            rule["from"] = [{"source": self.source()}]
        if self.chance(0.6):
            rule["to"] = [{"operation": self.operation()}]
        if self.chance(0.3):
            rule["when"] = [
                self.random.choice(
                    (
                        {"key": "destination.port", "values": ["80"]},
                        {"key": "source.namespace", "notValues": ["x"]},
                        {"key": "request.headers[x-team]", "values": ["red*"]},
                        {"key": "request.auth.claims[role]", "values": ["admin"]},
                        {"key": "source.ip", "values": ["10.1.0.0/16"]},
                    )
                )
            ]
        return rule

    def source(self) -> Json:
        return dict(
            self.random.choice(
                (
                    {"namespaces": self.some(NAMESPACES)},
                    {"notNamespaces": self.some(NAMESPACES)},
                    {"principals": [f"cluster.local/ns/{self.name(NAMESPACES)}/sa/{self.name(ACCOUNTS)}"]},
                    {"principals": ["*"]},
                    {"notPrincipals": ["*/sa/s1"]},
                    {"ipBlocks": self.some(CIDRS[:5])},
                    {"requestPrincipals": ["*"]},
                    {"serviceAccounts": [self.name(ACCOUNTS)]},
                )
            )
        )

    def operation(self) -> Json:
        return dict(
            self.random.choice(
                (
                    {"ports": ["80"]},
                    {"methods": self.some(METHODS)},
                    {"notMethods": self.some(METHODS)},
                    {"paths": ["/a*"]},
                    {"paths": ["/a/{*}"]},
                    {"notPaths": ["/c/{**}"]},
                    {"hosts": ["web.*"]},
                )
            )
        )

    def peer_authentication(self, index: int) -> Json:
        spec = self.mesh_spec()
        spec["mtls"] = {"mode": self.name(("UNSET", "DISABLE", "PERMISSIVE", "STRICT"))}
        if "selector" in spec and self.chance(0.4):
            spec["portLevelMtls"] = {"80": {"mode": self.name(("DISABLE", "PERMISSIVE", "STRICT"))}}
        return self.object(
            "security.istio.io/v1", "PeerAuthentication", f"pa{index}", self.mesh_namespace(), spec=spec
        )

    def request_authentication(self, index: int) -> Json:
        spec = self.mesh_spec() | {"jwtRules": [{"issuer": "https://issuer.example"}]}
        return self.object(
            "security.istio.io/v1", "RequestAuthentication", f"ra{index}", self.mesh_namespace(), spec=spec
        )

    # ------------------------------------------------------------------ flows

    def flow(self, names: list[str]) -> Json:
        """A flow between two of the names or addresses outside, as `tsujiban verdict` reads it."""
        ends = [*names, *names, *OUTSIDE]
        flow: Json = {
            "src": self.random.choice(ends),
            "dst": self.random.choice(ends),
            "protocol": self.random.choice(("TCP", "TCP", "TCP", "UDP", "SCTP", "ICMP")),
        }
        if flow["protocol"] == "ICMP":
            return flow | {"icmpType": self.random.choice((0, 8)), "icmpCode": 0}
        flow["port"] = self.random.choice((*PORTS, 90))
        if flow["protocol"] == "TCP" and self.chance(0.6):
            flow |= {"method": self.name(METHODS), "path": self.name(PATHS), "host": self.name(HOSTS)}
            if self.chance(0.3):
                flow["headers"] = {"X-Team": self.name(("red1", "blue"))}
            if self.chance(0.3):
                flow["claims"] = {"iss": "https://issuer.example", "sub": "me", "role": "admin"}
        if self.chance(0.1):
            flow["principal"] = self.random.choice(
                ("", "spiffe://cluster.local/ns/x/sa/s1", "spiffe://X/bad")
            )
        return flow


def pod_names(objects: list[Json]) -> list[str]:
    """namespace/name of the pods of a world."""
    return [f"{o['metadata']['namespace']}/{o['metadata']['name']}" for o in objects if o["kind"] == "Pod"]


def worlds(size: int = 3) -> st.SearchStrategy[WorldMaker]:
    """Makers of random worlds; what they make shrinks with their source of randomness."""
    return st.randoms(use_true_random=False).map(lambda random: WorldMaker(random, size=size))

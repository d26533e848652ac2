"""Examples of every command, for `--help` and the manual pages. Each is tried by a test: it must parse."""

from __future__ import annotations

# command -> (command line, what it does)
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "apply": (
        ("tsujiban apply -f policy.yaml --wait", "return when both posts of every node enforce it"),
        ("tsujiban apply -R -f manifests --dry-run server", "have the cluster check it all, change nothing"),
    ),
    "authz-server": (
        ("tsujiban authz-server --listen unix:/run/authz/authz.sock", "answer an Envoy of this machine"),
        (
            "tsujiban authz-server --listen 0.0.0.0:9001 --credentials own.pem --client-ca ca.pem -f pol",
            "by files, over mutual TLS",
        ),
    ),
    "backup": (
        ("tsujiban backup bank.tar", "save all objects, while the cluster works"),
        ("tsujiban backup bank.tar --with-keys", "and the keys of the CA: encrypt the file"),
    ),
    "completion": (
        ("tsujiban completion bash > /etc/bash_completion.d/tsujiban", "for every bash from now on"),
        ("tsujiban completion zsh", "what `source <(...)` takes"),
        ("tsujiban completion fish", "what `| source` takes"),
    ),
    "connectivity": (
        ("tsujiban connectivity -f manifests", "every allowed connection"),
        ("tsujiban connectivity -f manifests --focus default/web -o svg", "a picture of one workload's"),
    ),
    "controller token": (
        (
            "tsujiban controller token -o token.json --server https://10.0.0.1:6443",
            "for one machine, within 15 minutes",
        ),
    ),
    "controller join": (
        (
            "tsujiban controller join --token-file token.json --state-dir /var/lib/tsujiban-controller",
            "this machine is a controller, too",
        ),
    ),
    "create token": (
        ("tsujiban create token robot", "good for an hour"),
        ("tsujiban create token robot --duration 8h --audience vault", "for somebody else than the API"),
    ),
    "delete": (
        ("tsujiban delete pod web-1", "one object"),
        ("tsujiban delete -f manifests --ignore-not-found", "all that the files name"),
        ("tsujiban delete pods -l app=web --now", "all with a label, and soon"),
    ),
    "demo bank": (
        ("tsujiban demo bank", "ten acts, in about a minute"),
        ("tsujiban demo bank --keep", "and leave it running"),
        ("tsujiban demo bank --mesh node", "the same, without sidecars"),
    ),
    "describe": (
        ("tsujiban describe pod/web-1", "with its events"),
        ("tsujiban describe pods -l app=web", "all with a label"),
        ("tsujiban describe networkpolicy.projectcalico.org web", "with the file and line it came from"),
    ),
    "diff": (
        ("tsujiban diff -f old -f new", "the connections that come and go"),
        ("tsujiban diff -f policy.yaml", "what applying it would open and close in the running cluster"),
        ("tsujiban diff --old old --new new --fail-on added -o md", "for a pull request"),
    ),
    "down": (
        ("tsujiban down", "stop it, and remove all of it"),
        ("tsujiban down --keep-state", "keep its objects and its CA for the next `up`"),
    ),
    "exec": (
        ("tsujiban exec web-1 -- id", "one command"),
        ("tsujiban exec -it deployment/web -c main -- bash", "a shell at this terminal"),
    ),
    "explain": (
        ("tsujiban explain customer database --port 2379", "a connection in the running cluster"),
        (
            "tsujiban explain default/a default/b --port 80 --method GET --path /x -f manifests",
            "a request, by files",
        ),
        ("tsujiban explain networkpolicy.spec.ingress", "what a field means"),
    ),
    "flows": (
        ("tsujiban flows -f --verdict deny", "what is denied, live"),
        ("tsujiban flows --endpoint default/web-1 -o json", "one endpoint's, for programs"),
    ),
    "get": (
        ("tsujiban get pods -A -o wide", "all pods, and where they run"),
        ("tsujiban get gnp,networkpolicies", "policies, and whether they are enforced"),
        ("tsujiban get deployment/web -o yaml", "one object as it is"),
        ("tsujiban get pods -w --output-watch-events", "and what becomes of them"),
    ),
    "kubeconfig": (
        ("tsujiban kubeconfig --merge", "then kubectl works, context tsujiban-local"),
        ("tsujiban kubeconfig --server https://10.0.0.1:6443", "for another machine"),
    ),
    "lint": (
        ("tsujiban lint -R -f policies", "rules in vain, open doors, bad habits"),
        ("tsujiban lint -f policies --ignore TSJ108 -o sarif", "for a code scanner"),
    ),
    "logs": (
        ("tsujiban logs deployment/web -f", "go on with what is written"),
        ("tsujiban logs web-1 -c sidecar --tail 20", "of the pod's Envoy"),
        ("tsujiban logs web-1 -p", "of the container before it was last restarted"),
    ),
    "man": (
        ("tsujiban man get", "one page; `| man -l -` shows it"),
        ("tsujiban man -d /usr/local/share/man", "install all pages"),
    ),
    "port-forward": (
        ("tsujiban port-forward web-1 8080:80", "127.0.0.1:8080 is port 80 of the pod"),
        ("tsujiban port-forward deployment/visitor 8080:customer:8080", "through the pod's sidecar"),
    ),
    "restore": (("tsujiban restore bank.tar", "into a cluster that is down; then `tsujiban up`"),),
    "revoke": (
        ("tsujiban revoke spiffe://cluster.local/ns/shop/sa/cart", "whoever proves this identity"),
        ("tsujiban revoke serial:1f00ab --reason 'key on a stick'", "one certificate"),
        ("tsujiban revoke", "show the list"),
    ),
    "status": (
        ("tsujiban status", "every component; exit code 1 when one is not healthy"),
        ("tsujiban status -o json", "for programs"),
    ),
    "test": (
        ("tsujiban test policies", "all policy tests of a folder"),
        ("tsujiban test policies --mutate --min-score 90", "and whether they would notice a change"),
    ),
    "up": (
        ("tsujiban up", "two nodes; or as it was before"),
        ("tsujiban up --cluster bank --nodes 3", "another cluster beside it"),
    ),
    "verdict": (
        ("tsujiban verdict -f policies --endpoints endpoints.yaml --flows flows.jsonl", "a line for a line"),
    ),
    "version": (
        ("tsujiban version", "of this program and of the cluster"),
        ("tsujiban version --client -o json", "asks nobody"),
    ),
}


def lines(name: str) -> list[str]:
    """The examples of a command, as a person reads them; none for one that has none."""
    found = EXAMPLES.get(name, ())
    width = max((len(line) for line, _ in found), default=0)
    if width > 50:  # one above the other
        return [text for line, what in found for text in (f"# {what}", line)]
    return [f"{line:<{width}}  # {what}" for line, what in found]


def epilog(name: str) -> str | None:
    """The end of `--help`, in click's markup for text that is not wrapped."""
    found = lines(name)
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in found)]) if found else None

"""Probes over HTTPS and gRPC, of a server that a container really runs, as kubectl shows what they find."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.etcdbed import Certificates
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import WAIT, Kubectl

from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

# gRPC by hand, for the machine's Python has no library for it: whoever ends a request is answered
SERVER = r"""
import http.server, os, socket, ssl, struct, threading

def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body

def header(name, value):
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value

def answer(stream):
    state = 1 if os.path.exists("/tmp/serving") else 2
    print("gRPC", state, flush=True)
    head = b"\x88" + header(b"content-type", b"application/grpc")
    said = struct.pack(">BI", 0, 2) + bytes([8, state])
    tail = header(b"grpc-status", b"0")
    return frame(1, 4, stream, head) + frame(0, 0, stream, said) + frame(1, 5, stream, tail)

def talk(peer):
    with peer, peer.makefile("rb") as heard:
        heard.read(24)
        peer.sendall(frame(4, 0, 0))
        while len(head := heard.read(9)) == 9:
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            heard.read(size)
            if kind == 0 and flags & 1:
                peer.sendall(answer(int.from_bytes(head[5:], "big")))

def grpc(listener):
    while True:
        threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists("/tmp/ill") else 200)
        self.end_headers()

threading.Thread(target=grpc, args=(socket.create_server(("", 9090)),), daemon=True).start()
secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
secured.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
pages = http.server.HTTPServer(("", 8443), Page)
pages.socket = secured.wrap_socket(pages.socket, server_side=True)
pages.serve_forever()
"""
PATIENTLY = {"periodSeconds": 1, "timeoutSeconds": 30}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probed"},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "tls", "secret": {"secretName": "probed"}}],
        "containers": [
            {
                "name": "main",
                "image": "host",
                "command": ["python3", "-c", SERVER],
                "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
                "startupProbe": {"grpc": {"port": 9090}, "failureThreshold": 1000, **PATIENTLY},
                "readinessProbe": {
                    "httpGet": {"scheme": "HTTPS", "port": 8443},
                    "failureThreshold": 1,
                    **PATIENTLY,
                },
            }
        ],
    },
}


def test_probes_over_https_and_grpc(kubectl: Kubectl, tmp_path: Path) -> None:
    files = Certificates(tmp_path, ["127.0.0.1"])
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "probed"},
        "stringData": {"tls.crt": files.cert.read_text(), "tls.key": files.key.read_text()},
    }
    both = {"apiVersion": "v1", "kind": "List", "items": [secret, POD]}
    kubectl("create", "-f", "-", stdin=json.dumps(both))
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/probed", WAIT)
    assert until(lambda: "gRPC 2" in kubectl("logs", "probed"), PATIENCE)  # it does not serve yet
    started = "jsonpath={.status.containerStatuses[0].started}"
    assert kubectl("get", "pod", "probed", "-o", started) == "false"
    kubectl("exec", "probed", "--", "touch", "/tmp/serving")  # noqa: S108 - the pod's own
    kubectl("wait", "--for=condition=Ready", "pod/probed", WAIT)
    kubectl("exec", "probed", "--", "touch", "/tmp/ill")  # noqa: S108 - the pod's own
    kubectl("wait", "--for=condition=Ready=false", "pod/probed", WAIT)
    kubectl("exec", "probed", "--", "rm", "/tmp/ill")  # noqa: S108 - the pod's own
    kubectl("wait", "--for=condition=Ready", "pod/probed", WAIT)
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}"
    assert kubectl("get", "pod", "probed", "-o", restarts) == "0"
    kubectl("delete", "pod/probed", "secret/probed", "--wait=false")

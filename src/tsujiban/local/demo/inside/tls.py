"""A TLS client as a thief writes one. Prints how far it got as one line of JSON.

Reads JSON from standard input: address, port, seconds (to connect, and to shake hands), silence (seconds to
listen), alpn (list), send (text), certificate and key in PEM (both "" for none), and the mark of its packets
(0 for none; who sets one needs the right to). The key is never written to a disk: it lives in a memory file.
"""

import json
import os
import socket
import ssl
import sys


def memory_file(text: str) -> str:
    """Path of an anonymous file in memory that holds `text`."""
    descriptor = os.memfd_create("pem")
    os.write(descriptor, text.encode())
    return f"/proc/self/fd/{descriptor}"


def main() -> None:
    """Connect, shake hands, send, listen."""
    given = json.load(sys.stdin)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the thief takes any server
    if given["alpn"]:
        context.set_alpn_protocols(given["alpn"])
    if given["key"]:
        context.load_cert_chain(memory_file(given["certificate"]), memory_file(given["key"]))
    result = {"stage": "connect", "error": "", "answer": "", "version": ""}
    try:
        with socket.socket() as plain:
            plain.settimeout(given["seconds"])
            if given.get("mark"):
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, given["mark"])
            plain.connect((given["address"], given["port"]))
            result["stage"] = "handshake"
            with context.wrap_socket(plain) as secure:
                result["version"] = secure.version() or ""
                result["stage"] = "answer"
                secure.settimeout(given["silence"])
                secure.sendall(bytes.fromhex(given["send"]))
                # in TLS 1.3 a server refuses a client's certificate after the client believes all is well
                result["answer"] = secure.recv(65536).hex()
                result["stage"] = "answered" if result["answer"] else "closed"
    except OSError as error:
        result["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""teller: opens the bank's accounts in an empty database, then waits.

It runs beside the database, in the same pod, and speaks to it over the loopback interface, so no
policy has to let anyone write from outside. `teller.py restore` writes the opening balances again.
"""

import base64
import http.client
import json
import os
import signal
import sys
import time
import urllib.parse

DATABASE = urllib.parse.urlsplit(os.environ.get("DATABASE_URL", "http://127.0.0.1:2379"))
HOLDER = "Aoi Tanaka"
ACCOUNT = {
    "id": "1042",
    "holder": HOLDER,
    "iban": "CR05 0152 0200 1026 2840 66",
    "currency": "EUR",
    "balance": 1284756,
}
# newest last; amounts in minor units
ENTRIES = (
    ("2026-10-26", "Opening balance", "Brought forward", 1045416),
    ("2026-10-27", "Hoshi Grocery", "Food", -4815),
    ("2026-10-28", "City Transit", "Travel", -3600),
    ("2026-10-30", "Tower Electric", "Home", -8842),
    ("2026-11-01", "Rent, Lantern Street 7", "Home", -94000),
    ("2026-11-03", "Yuki Tanaka", "Transfer received", 25000),
    ("2026-11-05", "Paper & Ink Books", "Leisure", -3795),
    ("2026-11-09", "Hoshi Grocery", "Food", -6120),
    ("2026-11-12", "Old Mill Dental", "Health", -7250),
    ("2026-11-15", "Watchtower Instruments", "Salary", 412500),
    ("2026-11-17", "Savings plan", "Own account", -50000),
    ("2026-11-20", "Kawa Ramen", "Food", -2380),
    ("2026-11-21", "Northern Railways", "Travel", -5358),
    ("2026-11-22", "Violin lessons", "Leisure", -12000),
)


def call(path, body, seconds=2.0):
    """One call of etcd's HTTP gateway on this pod's loopback interface."""
    connection = http.client.HTTPConnection(DATABASE.hostname, DATABASE.port, timeout=seconds)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"etcd answered {answer.status}: {content[:200]!r}")
    return json.loads(content)


def encode(text):
    return base64.b64encode(text.encode()).decode()


def put(key, value):
    call("/v3/kv/put", {"key": encode(key), "value": encode(json.dumps(value, ensure_ascii=False))})


def restore():
    """Write the account as it was opened."""
    put(f"accounts/{ACCOUNT['id']}", ACCOUNT)


def open_accounts():
    """Load everything, unless this database has been loaded before."""
    if "kvs" in call("/v3/kv/range", {"key": encode(f"accounts/{ACCOUNT['id']}")}):
        return
    for number, (date, text, category, amount) in enumerate(ENTRIES):
        entry = {"date": date, "text": text, "category": category, "amount": amount}
        put(f"statements/{ACCOUNT['id']}/{number:06}", entry)
    restore()


def wait_for_database():
    """Poll until etcd answers."""
    while True:
        try:
            call("/v3/kv/range", {"key": encode("accounts/")})
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    if sys.argv[1:] == ["restore"]:
        restore()
    else:
        wait_for_database()
        open_accounts()
        sys.stderr.write("the accounts are open\n")
        signal.sigwait([signal.SIGTERM, signal.SIGINT])

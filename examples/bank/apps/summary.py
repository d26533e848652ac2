"""summary: the bank's API. Reads accounts from the database (etcd, over its HTTP gateway).

GET /accounts/{id}            holder, IBAN, currency, balance in minor units
GET /accounts/{id}/statement  the last entries, newest first
"""

import base64
import http.client
import json
import os
import re
import sys
import urllib.parse

from serve import Handler, as_json, reference, run

DATABASE = urllib.parse.urlsplit(os.environ.get("DATABASE_URL", "http://database:2379"))
PORT = int(os.environ.get("PORT", "8080"))
ACCOUNT = re.compile(r"/accounts/([0-9]{1,12})(/statement)?")
SECONDS = 5.0  # patience with the database


class Unavailable(Exception):
    """The database did not answer, or refused."""


def encode(text):
    return base64.b64encode(text.encode()).decode()


def read(key, prefix=False):
    """Values under a key of etcd, or under all keys that begin with it, in the order of the keys."""
    query = {"key": encode(key)}
    if prefix:
        query["range_end"] = encode(key[:-1] + chr(ord(key[-1]) + 1))
    connection = http.client.HTTPConnection(DATABASE.hostname, DATABASE.port, timeout=SECONDS)
    try:
        body = json.dumps(query)
        connection.request("POST", "/v3/kv/range", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"database: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise Unavailable(f"database answered {answer.status}")
    return [json.loads(base64.b64decode(pair["value"])) for pair in json.loads(content).get("kvs", [])]


class Summary(Handler):
    """The API's two reads."""

    def respond(self, path):
        match = ACCOUNT.fullmatch(path)
        if match is None:
            return as_json(404, {"error": "no such resource"})
        number, statement = match.groups()
        try:
            if statement:
                return as_json(200, {"entries": read(f"statements/{number}/", prefix=True)[::-1]})
            accounts = read(f"accounts/{number}")
        except Unavailable as error:
            ticket = reference()
            sys.stderr.write(f"{ticket} {error}\n")
            return as_json(503, {"error": "the accounts cannot be read at the moment", "reference": ticket})
        if not accounts:
            return as_json(404, {"error": "no such account"})
        return as_json(200, accounts[0])


if __name__ == "__main__":
    run(Summary, PORT)

"""ConfigMaps and Secrets: what may be a key, which becomes a file's name, and a value.

Source: the answers of Kubernetes' API server (v1.34).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from tsujiban.resources.kinds import core
from tsujiban.resources.positions import Path
from tsujiban.resources.validate.report import Report

MAX_BYTES = 1024 * 1024  # of all values
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEYS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or"
    " 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def check_secret(secret: core.Secret, raw: Mapping[str, Any], report: Report) -> None:
    """A Secret."""
    size = 0
    for key, value in secret.data.items():
        _key(key, ("data", key), report)
        size += _decoded(value, ("data", key), report)
    _size(size, report)


def check_config_map(config_map: core.ConfigMap, raw: Mapping[str, Any], report: Report) -> None:
    """A ConfigMap."""
    size = 0
    for key, value in config_map.data.items():
        _key(key, ("data", key), report)
        size += len(value.encode())
    for key, value in config_map.binary_data.items():
        _key(key, ("binaryData", key), report)
        if key in config_map.data:
            report.error(("binaryData", key), "duplicate", "duplicate of key present in data")
        size += _decoded(value, ("binaryData", key), report)
    _size(size, report)


def key_problem(key: str) -> str:
    """What is wrong with a key; "" for nothing."""
    if len(key) > 253:
        return "must be no more than 253 characters"
    if not _KEY.fullmatch(key):
        return _KEYS
    if key in (".", ".."):
        return f"must not be '{key}'"
    return "must not start with '..'" if key.startswith("..") else ""


def _key(key: str, path: Path, report: Report) -> None:
    if message := key_problem(key):
        report.error(path, "bad-name", f'Invalid value: "{key[:64]}": {message}')


def _decoded(value: str, path: Path, report: Report) -> int:
    """How many bytes it stands for."""
    try:
        return len(base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True))
    except (binascii.Error, ValueError):
        report.error(path, "bad-value", "illegal base64 data")
        return 0


def _size(size: int, report: Report) -> None:
    if size > MAX_BYTES:
        report.error(("data",), "too-large", f"Too long: may not be more than {MAX_BYTES} bytes")

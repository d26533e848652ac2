"""Work in another network namespace: on a thread that enters it and ends there.

A namespace belongs to a thread; one that has left its own must not serve anybody else
afterwards. Python 3.11 has no os.setns.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000


class _Result(Generic[T]):
    """What the thread found."""

    value: T
    error: BaseException | None = None


def enter(path: str) -> None:
    """Put the calling thread into the network namespace at `path`, for good. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(handle)


def inside(path: str, work: Callable[[], T]) -> T:
    """What `work` returns, or raises, in the network namespace at `path`. Blocks."""
    result: _Result[T] = _Result()

    def run() -> None:
        try:
            enter(path)
            result.value = work()
        except BaseException as error:  # noqa: BLE001 - raised again, on the caller's thread
            result.error = error

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    if result.error is not None:
        raise result.error
    return result.value

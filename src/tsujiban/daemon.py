"""What our daemons have in common: how they log, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Coroutine

import structlog


def log_to_stderr(level: int = logging.INFO) -> None:
    """Log one JSON object a line on standard error, which the supervisor keeps.

    Secrets must never be passed to a logger.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def run(work: Coroutine[object, object, None]) -> None:
    """Run until it ends, or until SIGTERM or SIGINT, which cancel it."""
    asyncio.run(_until_signalled(work))


async def _until_signalled(work: Coroutine[object, object, None]) -> None:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task

"""How much memory asyncio keeps for each TLS connection.

It receives into a buffer of 256 KiB, which every connection keeps for as long as it lives, and it reads what
was decrypted into another that large, made anew for each read. A server with a thousand idle watches would
hold a quarter of a gigabyte for nothing. What comes to us is mostly a few hundred bytes; a large body is read
in more steps.
"""

from __future__ import annotations

from asyncio.sslproto import SSLProtocol

READ_BYTES = 4 * 1024


def bound() -> None:
    """Have connections made from now on in this process keep `READ_BYTES`."""
    SSLProtocol.max_size = READ_BYTES

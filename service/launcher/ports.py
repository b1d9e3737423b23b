"""Free ports of this machine."""

from __future__ import annotations

import random
import socket
from pathlib import Path

__all__ = ["free_port"]

_LOOPBACK = "127.0.0.1"
_LOWEST = 20_000
"""Ray gives lower ports to its workers."""
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ATTEMPTS = 100


def free_port() -> int:
    """A free port for a process that is yet to start.

    Outside the kernel's ephemeral range, from which an outgoing connection might take it meanwhile.
    """
    with _RANGE.open() as file:
        ephemeral = int(file.read().split()[0])
    for _ in range(_ATTEMPTS if ephemeral > _LOWEST else 0):
        port = random.randrange(_LOWEST, ephemeral)
        if _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        anyone: int = probe.getsockname()[1]
        return anyone


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
        return True

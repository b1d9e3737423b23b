"""Ports of this machine that nobody has."""

from __future__ import annotations

import random
import socket
from pathlib import Path

__all__ = ["free_port"]

_LOOPBACK = "127.0.0.1"
_LOWEST = 20_000
"""Below it are the ports that Ray gives to its workers."""
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ATTEMPTS = 100


def free_port() -> int:
    """One that nobody listens on now, to be listened on by a process that is yet to start.

    Until then every connection that anybody opens might be given a port of those that the kernel
    hands out by itself, so it is none of them.
    """
    with _RANGE.open() as file:
        handed_out = int(file.read().split()[0])
    for _ in range(_ATTEMPTS if handed_out > _LOWEST else 0):
        port = random.randrange(_LOWEST, handed_out)
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

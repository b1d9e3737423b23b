"""Where the services of the cases listen."""

from __future__ import annotations

import socket

__all__ = ["free_port", "own_address"]


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def own_address() -> str:
    """Of this machine, as Ray finds it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 1))  # nothing is sent
        address: str = probe.getsockname()[0]
        return address

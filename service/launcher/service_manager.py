"""What a service manager, such as systemd, is told of this process: see sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket

__all__ = ["tell_ready", "tell_stopping"]

_SOCKET = "NOTIFY_SOCKET"


def tell_ready() -> None:
    """Says that requests are answered from now on. What starts after this service waits for it."""
    _tell("READY=1")


def tell_stopping() -> None:
    """Says that this process ends by its own will."""
    _tell("STOPPING=1")


def _tell(state: str) -> None:
    path = os.environ.get(_SOCKET, "")
    if not path.startswith(("/", "@")):
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    # Nobody may listen any more, and that is the manager's affair.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(1.0)
        manager.sendto(state.encode(), address)

"""Upgrades to other protocols: there are none, and who asks for one is answered at once."""

from __future__ import annotations

from uvicorn.config import WS_PROTOCOLS

__all__ = ["ignore_upgrades"]


def ignore_upgrades() -> None:
    """Lets uvicorn servers of this process that are made from now on serve no WebSocket.

    Serve makes them, and has no setting for it. With WebSocket, uvicorn never answers a POST that
    has `Upgrade: websocket`; without, it answers, but takes the body for the other protocol's.
    HAProxy removes the header.
    """
    WS_PROTOCOLS["auto"] = None

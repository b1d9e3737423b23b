"""What is to be measured."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Front", "Options"]


class Front(StrEnum):
    """What a request goes through."""

    HAPROXY = "haproxy"
    """The gateway behind HAProxy, as `polyhead serve` sets it up."""
    PYTHON_PROXY = "python-proxy"
    """The gateway behind Ray Serve's own proxy, as Serve comes."""
    ALONE = "alone"
    """The gateway's application in one process of uvicorn, which is the model as well: no Ray."""
    BARE = "bare"
    """One process of uvicorn and FastAPI, without gateway, Ray or model."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one run."""

    fronts: tuple[Front, ...] = tuple(Front)
    clients: tuple[int, ...] = (1, 32, 64)
    """How many ask at a time, one number after the other."""
    rounds: int = 3
    """How often each contender has its turn with each number of clients."""
    seconds: float = 4.0
    """Length of a turn."""

"""What is to be measured, checked when it is said."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from loadtests.bench.errors import BenchError

__all__ = ["Front", "Options"]

_MOST_CLIENTS = 256
"""Well below what a gateway takes in."""


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
    """Of one run.

    Raises:
        BenchError: a value breaks a rule.
    """

    fronts: tuple[Front, ...] = tuple(Front)
    clients: tuple[int, ...] = (1, 32, 64)
    """How many ask at a time, one number after the other."""
    rounds: int = 3
    """How often each contender has its turn with each number of clients."""
    seconds: float = 4.0
    """Of a turn."""

    def __post_init__(self) -> None:
        for name, values in (("fronts", self.fronts), ("clients", self.clients)):
            if not values or len(set(values)) < len(values):
                raise BenchError(f"`{name}` must be one or more different ones, but are {values}")
        for count in self.clients:
            if not 1 <= count <= _MOST_CLIENTS:
                raise BenchError(f"`clients` must be 1 to {_MOST_CLIENTS}, but is {count}")
        if self.rounds < 1:
            raise BenchError(f"`rounds` must be at least 1, but is {self.rounds}")
        if not 0 < self.seconds <= 600:
            raise BenchError(f"`seconds` must be above 0 and at most 600, but is {self.seconds}")

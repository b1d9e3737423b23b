"""Clients who ask again as soon as they are answered: a closed loop."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop

from loadtests.mix import Request
from loadtests.open_loop.client import Client
from loadtests.open_loop.exchanges import Exchanges
from loadtests.open_loop.generator import Generator

__all__ = ["Load", "generate_load"]

_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a number of clients saw."""

    exchanges: Exchanges
    seconds: float
    """From the first request to the last answer."""
    cpu_seconds: float
    """What the clients themselves used."""
    reconnections: int
    """How often a connection was closed between two requests."""

    @property
    def requests_per_second(self) -> float:
        """Right answers a second."""
        return float(self.exchanges.right.sum()) / self.seconds


def generate_load(
    url: str, requests: Sequence[Request], *, clients: int, seconds: float, seed: int = 0
) -> Load:
    """Has `clients` draw requests and ask for `seconds`; who has asked waits for the answer."""

    async def ask() -> Load:
        async with Client(url) as client:
            generator = Generator(
                client,
                requests,
                rng=random.Random(seed),
                places=clients,
                max_wait=seconds,
                timeout=_TIMEOUT_SECONDS,
                echoes_ids=False,
            )
            cpu_before = time.process_time()
            await generator.ask_in_turn(clients, seconds)
            return Load(
                exchanges=generator.ended,
                seconds=generator.elapsed,
                cpu_seconds=time.process_time() - cpu_before,
                reconnections=client.reconnections,
            )

    return uvloop.run(ask())

"""Services to do harm to, and `polyhead serve`, the first of them."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Protocol

from loadtests.processes import end, pids, start_python, wait_for
from service.launcher.ports import free_port

__all__ = ["APPLICATION", "LocalService", "Service", "ServiceError"]

APPLICATION = "polyhead"
_START_SECONDS = 180.0
_END_SECONDS = 20.0
_REPLICAS = 2
_TAIL = 2000


class ServiceError(RuntimeError):
    """A service did not start, or did not become whole again."""


class Service(Protocol):
    """What a case needs to know of either."""

    url: str
    folder: Path

    def pids(self, title: str) -> list[int]:
        """Its processes with that in their title."""
        ...

    def close(self) -> None:
        """Ends all of it."""
        ...


class LocalService:
    """`polyhead serve` with two gateways, and two translators of one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            *("-m", "loadtests.faults.fragile_serve"),
            *("serve", "--port", str(port), "--model", "en-de", "--replicas", str(_REPLICAS)),
        ]
        variables = {"POLYHEAD_GATEWAY_REPLICAS": str(_REPLICAS), "POLYHEAD_SABOTAGE": str(folder)}
        self.process = start_python(command, folder / "log", variables)
        if not wait_for(self._ready_or_ended, _START_SECONDS) or self.process.poll() is not None:
            self.close()
            raise ServiceError(f"it did not start: {(folder / 'log').read_text()[-_TAIL:]}")

    def pids(self, title: str) -> list[int]:
        """Its processes with that in their title."""
        return [pid for pid in pids(self.process.pid, title) if pid != self.process.pid]

    def close(self) -> None:
        """As Ctrl-C does, and then whatever is left."""
        self.process.send_signal(signal.SIGINT)
        end(self.process, _END_SECONDS)

    def _ready_or_ended(self) -> bool:
        return "Ctrl-C" in (self.folder / "log").read_text() or self.process.poll() is not None

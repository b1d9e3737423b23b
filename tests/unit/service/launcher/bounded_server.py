"""The HTTP server of a single process, on a thread of this one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from starlette.types import ASGIApp

from service.launcher.http_server import ConnectionLimits, HttpServer, listening_socket
from tests.integration.service_process import wait_for


def limits(**given: Any) -> ConnectionLimits:
    """Those of a patient server, but for what is given."""
    usual: dict[str, Any] = {
        "most": 1000, "most_per_address": 1000, "head_seconds": 60.0, "idle_seconds": 60.0,
        "stall_seconds": 60.0, "max_body_bytes": 2**20,
    }  # fmt: skip
    return ConnectionLimits(**(usual | given))


@contextlib.contextmanager
def serving(app: ASGIApp, given: ConnectionLimits) -> Iterator[int]:
    """Serves an application on a free port of the loopback interface; gives the port."""
    server = HttpServer(app, given)
    listening = listening_socket("127.0.0.1", 0)
    port = int(listening.getsockname()[1])
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True
    )
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield port
    finally:
        server.should_exit = True
        thread.join(60)

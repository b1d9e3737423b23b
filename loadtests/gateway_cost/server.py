"""A contender's process: serves on a port until its stdin is closed, then ends all it started.

`python -m loadtests.gateway_cost.server FRONT PORT READY` makes the file READY once it serves.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.gateway_cost.load import HOST
from loadtests.gateway_cost.options import Front

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["main"]


def main() -> None:
    """Returns when whoever started this process has closed the pipe, or has died."""
    front, port, ready = Front(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    if front in (Front.BARE, Front.ALONE):
        from loadtests.gateway_cost.applications import bare_application, gateway_alone

        app = bare_application() if front is Front.BARE else gateway_alone()
        _serve_with_uvicorn(app, port, ready)
    else:
        _serve_with_ray(port, ready, haproxy=front is Front.HAPROXY)


def _serve_with_uvicorn(app: FastAPI, port: int, ready: Path) -> None:
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=HOST,
            port=port,
            loop="uvloop",
            http="httptools",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
    )

    def end_with_parent() -> None:
        _wait_for_end()
        server.should_exit = True

    threading.Thread(target=end_with_parent, daemon=True).start()
    ready.touch()  # it may be asked too early, but never another one in its place
    server.run()


def _serve_with_ray(port: int, ready: Path, *, haproxy: bool) -> None:
    """As `polyhead serve` does, but for the model."""
    from service.launcher.local_ray import local_ray

    with local_ray(host=HOST, max_in_flight=512, haproxy=haproxy):
        from ray import serve
        from ray.serve.schema import LoggingConfig

        from loadtests.gateway_cost.fake_service import application
        from service.settings import Settings

        quiet = LoggingConfig(enable_access_log=False, log_level="WARNING")
        serve.start(http_options={"host": HOST, "port": port}, logging_config=quiet)
        settings = Settings(num_cpus_per_gateway=0.0, graceful_shutdown_seconds=1.0)
        serve.run(application(settings), name="polyhead", route_prefix="/")
        ready.touch()
        _wait_for_end()


def _wait_for_end() -> None:
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()

"""A contender's process, from both ends.

`python -m loadtests.gateway_cost.contender FRONT PORT` serves until its stdin is closed, then ends
all it has started.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from loadtests.bench.contender import BenchError
from loadtests.mix import Kind, Request
from loadtests.open_loop.generator import Load, generate_load
from loadtests.processes import CpuTimes, cpu_times, end, start_python, wait_for
from service.launcher.ports import free_port

if TYPE_CHECKING:
    import uvicorn

__all__ = ["ANSWER", "MODEL", "PAIR", "REQUEST", "TEXTS", "Contender", "Front"]

_HOST = "127.0.0.1"
_READY_SECONDS = 150.0
"""A busy machine takes its time to start Ray."""
_SETTLE_SECONDS = 1.0
"""HAProxy begins anew, and closes connections, as long as Serve tells it of new replicas."""
_END_SECONDS = 20.0
_LOG_TAIL_CHARS = 2000
MODEL = "fake"
PAIR = ("en", "de")
TEXTS = (
    "Two children are playing in front of a church.",
    "It is raining. They do not mind.",
)
"""More than one text and one sentence: what is sent on for a request must not depend on it."""
_TARGETS = (
    "Zwei Kinder spielen vor einer Kirche.",
    "Es regnet. Es macht ihnen nichts aus.",
)

ANSWER: dict[str, Any] = {
    "translations": [{"text": target, "finish_reason": "stop"} for target in _TARGETS],
    "model": MODEL,
    "source": PAIR[0],
    "target": PAIR[1],
    "usage": {"source_tokens": 22, "target_tokens": 20},
    "timings": {"queue_seconds": 0.0, "encode_seconds": 0.0, "decode_seconds": 0.0},
}
"""In the form of the native API."""


class Front(StrEnum):
    """What a request goes through."""

    HAPROXY = "haproxy"
    """The gateway behind HAProxy, as `polyhead serve` sets it up."""
    PYTHON_PROXY = "python-proxy"
    """The gateway behind Ray Serve's own proxy, as Serve comes."""
    ALONE = "alone"
    """The gateway's application in one process of uvicorn, which is the model as well: no Ray. As
    each gateway, it has Python's collector look seldom."""
    SINGLE_PROCESS = "single-process"
    """The same behind the server of `polyhead serve --single-process`."""
    BARE = "bare"
    """One process of uvicorn and FastAPI, without gateway, Ray or model."""


class Contender:
    """Started at once; `with` ends it and everything it has started.

    Args:
        front: which one.
        folder: gets what it writes to stdout and stderr, request log lines included.
        key: API key of the requests.
    """

    def __init__(self, front: Front, folder: Path, key: str | None = None) -> None:
        self.front = front
        self._headers = () if key is None else (f"Authorization: Bearer {key}",)
        self._port = free_port()
        self._output = folder / f"{front}.log"
        command = ["-m", "loadtests.gateway_cost.contender", front, str(self._port)]
        # Ctrl-C is for the parent, who ends this one by its pipe.
        self._process = start_python(command, self._output, stdin=subprocess.PIPE)
        self._root = psutil.Process(self._process.pid)

    def load(self, clients: int, seconds: float) -> Load:
        """What clients see who ask again and again.

        Raises:
            BenchError: an answer was wrong, or none came.
        """
        url = f"http://{_HOST}:{self._port}"
        load = generate_load(
            url, [REQUEST], clients=clients, seconds=seconds, headers=self._headers
        )
        for fault in load.exchanges.faults:
            raise BenchError(f"{self.front}: {fault}")
        return load

    def wait_until_ready(self) -> None:
        """Returns once the right answers come, one after the other.

        Raises:
            BenchError: it has ended, or does not answer, or not right.
        """

        def settled() -> bool:
            ended = self._process.poll() is not None
            return ended or not self.load(1, _SETTLE_SECONDS).reconnections

        if not wait_for(settled, _READY_SECONDS) or self._process.poll() is not None:
            said = self._output.read_text(errors="replace")[-_LOG_TAIL_CHARS:]
            raise BenchError(f"{self.front} did not get ready; it said:\n{said}")

    def cpu(self) -> CpuTimes:
        """CPU times of all its processes until now."""
        with_ray = self.front in (Front.HAPROXY, Front.PYTHON_PROXY)
        # With Ray, it writes the others' log lines to its own stderr.
        return cpu_times(self._root, "launcher" if with_ray else "uvicorn")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        end(self._process, _END_SECONDS)


def main() -> None:
    """Returns when whoever started this process has closed the pipe, or has died."""
    front, port = Front(sys.argv[1]), int(sys.argv[2])
    if front in (Front.BARE, Front.ALONE):
        _serve_with_uvicorn(front, port)
    elif front is Front.SINGLE_PROCESS:
        _serve_in_a_single_process(port)
    else:
        _serve_with_ray(port, haproxy=front is Front.HAPROXY)


def _serve_with_uvicorn(front: Front, port: int) -> None:
    import uvicorn

    from loadtests.gateway_cost.applications import bare_application, gateway_alone
    from service.launcher.single_process import spare_the_collector

    app = bare_application() if front is Front.BARE else gateway_alone()
    config = uvicorn.Config(
        app,
        host=_HOST,
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    if front is Front.ALONE:
        spare_the_collector()
    _end_with_parent(server)
    server.run()


def _serve_in_a_single_process(port: int) -> None:
    from loadtests.gateway_cost.applications import gateway_alone
    from service.gateway.front import FrontMiddleware
    from service.launcher.http_server import HttpServer, listening_socket
    from service.launcher.single_process import connection_limits, spare_the_collector
    from service.settings import Settings

    settings = Settings()
    front = FrontMiddleware(gateway_alone(), settings.limits, settings.connections)
    server = HttpServer(front, connection_limits(settings))
    spare_the_collector()
    _end_with_parent(server)
    server.run([listening_socket(_HOST, port)])


def _end_with_parent(server: uvicorn.Server) -> None:
    def wait() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()


def _serve_with_ray(port: int, *, haproxy: bool) -> None:
    """Serves as `polyhead serve` does, but for the model."""
    from service.launcher.haproxy_rules import HAProxyOptions
    from service.launcher.local_ray import local_ray

    with local_ray(HAProxyOptions(host=_HOST, admin_host="") if haproxy else None):
        from ray import serve
        from ray.serve.schema import LoggingConfig

        from loadtests.gateway_cost.applications import ray_application
        from service.settings import Settings

        quiet = LoggingConfig(enable_access_log=False, log_level="WARNING")
        serve.start(http_options={"host": _HOST, "port": port}, logging_config=quiet)
        settings = Settings(num_cpus_per_gateway=0.0, graceful_shutdown_seconds=1.0)
        serve.run(ray_application(settings, "polyhead"), name="polyhead", route_prefix="/")
        sys.stdin.buffer.read()


def _fault_of(answer: object) -> str | None:
    return None if answer == ANSWER else f"an answer must be {ANSWER!r}, but is {answer!r}"


REQUEST = Request(
    kind=Kind.LIST,
    body={"texts": TEXTS, "source": PAIR[0], "target": PAIR[1]},
    fault_of=_fault_of,
)


if __name__ == "__main__":
    main()

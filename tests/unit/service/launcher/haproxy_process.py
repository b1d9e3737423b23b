"""A HAProxy with what Serve writes and we put right, as a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ray.serve._private.haproxy import (
    BackendConfig,
    HAProxyApi,
    HAProxyConfig,
    HTTPOptions,
    ServerConfig,
)

from service.launcher.haproxy import HAProxyOptions, serve_variables
from tests.integration.service_process import wait_for


def written_by_serve(
    folder: Path,
    *,
    port: int = 18_000,
    gateway_port: int = 30_000,
    fallback_port: int | None = None,
    log_target: str = "127.0.0.1:514",
) -> Path:
    """The file of a configuration as Serve generates it, with one gateway.

    Args:
        fallback_port: of Serve's own proxy, which takes what no gateway does.
    """
    gateway = ServerConfig(name="gateway", host="127.0.0.1", port=gateway_port)
    fallback = None
    if fallback_port is not None:
        fallback = ServerConfig(name="proxy", host="127.0.0.1", port=fallback_port)
    backend = BackendConfig(
        name="polyhead", path_prefix="/", servers=[gateway], fallback_server=fallback
    )
    path = folder / "cfg"
    api = HAProxyApi(
        cfg=HAProxyConfig(
            http_options=HTTPOptions(host="127.0.0.1", port=port),
            socket_path=str(folder / "admin"),
            server_state_base=str(folder),
            server_state_file=str(folder / "state"),
            log_target=log_target,
        ),
        backend_configs={"polyhead": backend},
        config_file_path=str(path),
    )
    api._generate_config_file_internal()
    return path


@contextlib.contextmanager
def running_haproxy(config: Path, port: int, options: HAProxyOptions) -> Iterator[str]:
    """The URL of a HAProxy with what Serve wrote. Its output is beside the configuration."""
    variables = serve_variables(config.parent, options)
    with (config.parent / "output").open("wb") as output:
        haproxy = subprocess.Popen(
            [variables["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(config)],
            env={**os.environ, **variables},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: _is_open(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        # An orderly end: whatever HAProxy has to log has been sent when it is over.
        haproxy.terminate()
        try:
            haproxy.wait(timeout=60)
        finally:
            haproxy.kill()


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False

"""HAProxy itself takes what Serve writes and we put right."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ray.serve._private.haproxy import (
    BackendConfig,
    HAProxyApi,
    HAProxyConfig,
    HTTPOptions,
    ServerConfig,
)

from service.haproxy import serve_variables


def _written_by_serve(folder: Path) -> Path:
    gateway = ServerConfig(name="gateway", host="127.0.0.1", port=30_000)
    backend = BackendConfig(name="polyhead", path_prefix="/", servers=[gateway])
    path = folder / "cfg"
    api = HAProxyApi(
        cfg=HAProxyConfig(
            http_options=HTTPOptions(host="127.0.0.1", port=18_000),
            socket_path=str(folder / "admin"),
            server_state_base=str(folder),
            server_state_file=str(folder / "state"),
        ),
        backend_configs={"polyhead": backend},
        config_file_path=str(path),
    )
    api._generate_config_file_internal()
    return path


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost"])
def test_haproxy_takes_the_configuration(tmp_path: Path, host: str) -> None:
    config = _written_by_serve(tmp_path)
    before = config.read_text()
    assert "bind *:8404" in before
    assert "bind :9101" in before
    variables = serve_variables(tmp_path, host=host)
    checked = subprocess.run(
        [variables["RAY_SERVE_HAPROXY_BINARY_PATH"], "-c", "-f", str(config)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    binds = [line.split()[1] for line in config.read_text().splitlines() if "  bind " in line]
    assert sorted(binds) == sorted(
        [f"{host}:18000", f"unix@{tmp_path / '9101'}", f"unix@{tmp_path / '8404'}"]
    )
    # Nothing else is what it was where Serve would have answered in words of its own.
    assert "status 404" not in config.read_text()
    answer = (tmp_path / "503").read_text()
    assert answer.startswith("HTTP/1.1 503 ")
    assert "Retry-After: 1" in answer

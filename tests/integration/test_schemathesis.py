"""schemathesis against the running service: what it answers is what `/openapi.json` says."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.service_process import ServiceProcess
from tests.stores import store_of

_MANY = os.environ.get("SCHEMATHESIS_EXAMPLES")
_EXAMPLES = _MANY or "3"
"""Generated requests for each operation, beside some hundred that are the same each time."""


@pytest.mark.timeout(0)  # as many examples as are wanted
def test_the_service_does_what_its_description_says(
    single_service: ServiceProcess, tmp_path: Path
) -> None:
    _run(single_service, tmp_path)


@pytest.mark.timeout(0)
@pytest.mark.skipif(_MANY is None, reason="on demand: SCHEMATHESIS_EXAMPLES")
async def test_so_it_does_where_keys_are_required(tiny_model: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store = store_of(url, tmp_path)
    _, secret = await store.keys.add("one")
    await store.close()
    service = ServiceProcess(
        tmp_path, "--single-process", "--model", str(tiny_model),
        POLYHEAD_STORE_URL=url, POLYHEAD_SUGGESTIONS="true", POLYHEAD_ACCESS__KEYS="required",
    )  # fmt: skip
    try:
        service.wait_until_ready()
        await asyncio.to_thread(_run, service, tmp_path, f"--header=Authorization: Bearer {secret}")
    finally:
        service.close()


def _run(service: ServiceProcess, folder: Path, *options: str) -> None:
    config = Path(__file__).with_name("schemathesis.toml")
    command = [
        sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
        f"--config-file={config}", "run", f"{service.url}/openapi.json",
        f"--max-examples={_EXAMPLES}", "--seed=1", *options,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    print(done.stdout[-20_000:])
    assert done.returncode == 0, done.stderr
    assert service.client.get("/ready").status_code == 200

"""schemathesis against the running service: what it answers is what `/openapi.json` says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.service_process import ServiceProcess

_EXAMPLES = os.environ.get("POLYHEAD_SCHEMATHESIS_EXAMPLES", "3")
"""Generated requests for each operation, beside some hundred that are the same each time."""


@pytest.mark.timeout(0)  # as many examples as are wanted
def test_the_service_does_what_its_description_says(
    single_service: ServiceProcess, tmp_path: Path
) -> None:
    config = Path(__file__).with_name("schemathesis.toml")
    command = [
        sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
        f"--config-file={config}", "run", f"{single_service.url}/openapi.json",
        f"--max-examples={_EXAMPLES}", "--seed=1",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    print(done.stdout[-20_000:])
    assert done.returncode == 0, done.stderr
    assert single_service.client.get("/ready").status_code == 200

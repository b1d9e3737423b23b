"""The image's recipe, read by hadolint. Nothing is built."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.deploy.conftest import Tools

ROOT = Path(__file__).parents[2]


def test_hadolint_has_nothing_to_say(tools: Tools) -> None:
    ran = subprocess.run(
        [tools["hadolint"], "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

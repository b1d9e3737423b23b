"""The gateway's process stays small: it never loads the tensor library, nor needs Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOADED = "import sys, {module}; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"


@pytest.mark.parametrize(
    "module", ["service.gateway.application", "service.settings", "service.protocol"]
)
def test_neither_torch_nor_ray_is_loaded(module: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", LOADED.format(module=module)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    loaded = set(result.stdout.split())
    assert "service" in loaded
    assert loaded & {"torch", "ray", "numpy", "sentencepiece"} == set()

"""What the files in deploy/ are checked with: programs that `make check-deploy` looks for."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

_WHERE = {
    "promtool": "Debian's package prometheus brings it",
    "prometheus": "Debian's package prometheus brings it",
    "kubectl": "its `kubectl kustomize` renders, and needs no cluster",
    "hadolint": "pip install '.[deploy]'",
    "kubernetes-validate": "pip install '.[deploy]'",
}


class Tools:
    """Programs by name, from beside this Python or from the PATH."""

    def __getitem__(self, name: str) -> str:
        beside = Path(sys.executable).with_name(name)
        found = str(beside) if beside.exists() else shutil.which(name)
        if found is None:
            pytest.fail(f"{name} must be installed, but is not on the PATH: {_WHERE[name]}")
        return found


@pytest.fixture(scope="session")
def tools() -> Tools:
    """What is missing fails the test that needs it."""
    return Tools()

"""The figures of a stage, on disk as soon as they are known."""

from __future__ import annotations

import json
import os
from pathlib import Path

from loadtests.bench.figures import shown

__all__ = ["Figures"]

Value = float | int | str | bool | None


class Figures:
    """A flat dictionary in a file; what has been recorded survives whatever comes later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, Value] = {}

    def record(self, name: str, value: Value) -> None:
        """Keeps a value, and shows it."""
        self._values[name] = value
        print(f"{name}: {shown(value)}", flush=True)
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(self._values), encoding="utf-8")
        os.replace(beside, self._path)

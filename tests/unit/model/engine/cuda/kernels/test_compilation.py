"""Every kernel can be compiled for its GPU; `make check-kernels` looks closer."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[6]


def kernel_names() -> set[str]:
    """All that are launched: helpers are compiled with the kernels that call them."""
    return {
        node.name
        for path in (ROOT / "model/engine/cuda/kernels/jit").glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_kernel")
    }


@pytest.mark.parametrize(("model", "dtype"), [("embedded", "bfloat16"), ("recurrent", "float32")])
def test_all_kernels_compile_for_hopper(model: str, dtype: str) -> None:
    script = [sys.executable, "-m", "tests.kernels", "--brief", "--targets", "90"]
    ran = subprocess.run(
        [*script, "--models", model, "--dtypes", dtype],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr[-3000:]
    lines = [line.split() for line in ran.stdout.splitlines()]
    compiled = {words[0] for words in lines if len(words) > 1 and words[1] == dtype}
    of_others = {"attend_self_kernel"} if model == "recurrent" else {"recur_kernel"}
    assert compiled == kernel_names() - of_others

"""Every kernel can be compiled for the GPU that it is made for."""

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


@pytest.mark.parametrize(("dtype", "beams"), [("bfloat16", 1), ("bfloat16", 4), ("float32", 2)])
def test_all_kernels_compile_for_hopper(tmp_path: Path, dtype: str, beams: int) -> None:
    script = [sys.executable, "-m", "tests.unit.model.engine.cuda.kernels.compile_kernels"]
    ran = subprocess.run(
        [*script, "--dtype", dtype, "--beams", str(beams)],
        cwd=ROOT,
        # A cache of its own: this test is about compiling.
        env=os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    compiled = {line.split()[0]: int(line.split()[1]) for line in ran.stdout.splitlines()}
    of_others = {"attend_source_kernel"}
    if beams == 1:
        of_others = {"attend_beams_kernel", "reorder_beams_kernel"}
    expected = kernel_names() - of_others
    assert set(compiled) == expected
    assert min(compiled.values()) > 0

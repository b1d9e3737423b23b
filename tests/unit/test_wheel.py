"""What a wheel holds, with a compiler that compiles nothing; `make wheel` takes a real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from model.engine.native.build import instruction_sets

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a wheel is built from, the packages that have nothing to do with the engine left out."""
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns("pretrained", "training", "build", "__pycache__")
    shutil.copytree(ROOT / "model", folder / "model", ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "polyhead.py", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    return folder


def wheel(project: Path, machine: str | None) -> Path:
    """Builds one with a compiler, for any machine, that writes down what it was asked for."""
    programs = project.parent / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("c++", "x86_64-linux-gnu-g++", "aarch64-linux-gnu-g++"):
        # The output is named last.
        script = '#!/bin/sh\nasked="$*"\nwhile [ $# -gt 1 ]; do shift; done\necho "$asked" > "$1"\n'
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    variables = {"PATH": f"{programs}:{os.environ['PATH']}"}
    if machine is not None:
        variables["POLYHEAD_WHEEL_MACHINE"] = machine
    # What pip and other front ends call.
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    built = project.parent / "built"
    subprocess.run(
        [sys.executable, "-P", "-c", build, str(built)],
        cwd=project, env=os.environ | variables, timeout=200, check=True, capture_output=True,
    )  # fmt: skip
    [path] = built.iterdir()
    return path


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_wheel_for_one_kind_of_machine(project: Path, tmp_path: Path, machine: str) -> None:
    """With a library for each of its instruction sets, which is found where it is installed."""
    path = wheel(project, machine)
    assert path.name == f"polyhead-0.1.0-py3-none-linux_{machine}.whl"
    with ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".so")]
        [about] = [name for name in archive.namelist() if name.endswith("/WHEEL")]
        assert b"Root-Is-Purelib: false" in archive.read(about)
        archive.extractall(tmp_path / "installed")
    assert len(names) == len(instruction_sets(machine))
    for each in instruction_sets(machine):
        assert any(name.endswith(f"-{each}-{machine}.so") for name in names)
    find = (
        f"import platform; platform.machine = lambda: {machine!r}; "
        "from model.engine.native.build import build, instruction_sets\n"
        "for each in instruction_sets(): print(build(each))"
    )
    found = subprocess.run(
        [sys.executable, "-c", find],
        cwd=tmp_path / "installed", env=os.environ | {"PATH": "/nowhere"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    installed = {str(tmp_path / "installed" / name) for name in names}
    assert set(found.stdout.split()) == installed


def test_without_a_machine_a_wheel_is_compiled_where_it_runs(project: Path) -> None:
    path = wheel(project, None)
    assert path.name == "polyhead-0.1.0-py3-none-any.whl"
    with ZipFile(path) as archive:
        names = archive.namelist()
    assert "model/engine/native/interface.cc" in names
    assert not [name for name in names if name.endswith(".so")]

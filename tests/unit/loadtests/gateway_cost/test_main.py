"""What the command takes, and what it refuses in words."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from loadtests.gateway_cost import __main__ as command
from loadtests.gateway_cost.contender import Front


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Fronts and numbers of clients that would have been measured, and the other options."""
    found: list[tuple[Any, ...]] = []

    def run(fronts: Any, clients: Any, **options: Any) -> dict[str, int]:
        found.append((fronts, clients, options))
        return {"schema": 1}

    monkeypatch.setattr(command, "run", run)
    return found


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--front", "nginx"),
        ("--clients", "0"),
        ("--clients", "257"),
        ("--rounds", "0"),
        ("--seconds", "0"),
        ("--seconds", "601"),
    ],
)
def test_refused(option: str, value: str, asked: list[tuple[Any, ...]]) -> None:
    ran = CliRunner().invoke(command.app, [option, value])
    assert ran.exit_code == 2
    assert f"Invalid value for '{option}'" in " ".join(ran.stderr.split())
    assert asked == []


def test_everything_is_measured_unless_told_otherwise(asked: list[tuple[Any, ...]]) -> None:
    ran = CliRunner().invoke(command.app, ["--json"])
    assert (ran.exit_code, ran.stdout) == (0, '{"schema": 1}\n')
    assert asked == [(tuple(Front), (1, 32, 64), {"rounds": 3, "seconds": 4.0, "key": None})]


def test_what_is_named_twice_is_measured_once(asked: list[tuple[Any, ...]]) -> None:
    clients = ["--clients", "2", "--clients", "1", "--clients", "2"]
    CliRunner().invoke(command.app, ["--json", "--front", "bare", "--front", "bare", *clients])
    assert asked[0][:2] == ((Front.BARE,), (2, 1))

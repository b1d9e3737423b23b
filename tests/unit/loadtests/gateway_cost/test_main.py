"""What the command takes, and what it refuses in words."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from loadtests.gateway_cost import __main__ as command
from loadtests.gateway_cost.options import Front, Options


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """What would have been measured."""
    found: list[Options] = []
    monkeypatch.setattr(command, "run", lambda options: found.append(options) or {"schema": 1})
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
def test_refused(option: str, value: str, asked: list[Options]) -> None:
    ran = CliRunner().invoke(command.app, [option, value])
    assert ran.exit_code == 2
    assert f"Invalid value for '{option}'" in " ".join(ran.stderr.split())
    assert asked == []


def test_everything_is_measured_unless_told_otherwise(asked: list[Options]) -> None:
    ran = CliRunner().invoke(command.app, ["--json"])
    assert (ran.exit_code, ran.stdout) == (0, '{"schema": 1}\n')
    assert asked == [Options()]
    assert Options().fronts == tuple(Front)
    assert Options().rounds >= 3


def test_what_is_named_twice_is_measured_once(asked: list[Options]) -> None:
    clients = ["--clients", "2", "--clients", "1", "--clients", "2"]
    CliRunner().invoke(command.app, ["--json", "--front", "bare", "--front", "bare", *clients])
    assert (asked[0].fronts, asked[0].clients) == ((Front.BARE,), (2, 1))

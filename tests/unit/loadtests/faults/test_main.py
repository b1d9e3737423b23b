"""The command: which cases it runs, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from loadtests.faults import __main__ as command
from loadtests.faults.__main__ import Findings, Plan
from loadtests.faults.cases import CASES, Case
from loadtests.faults.cluster import ServiceError
from tests.unit.loadtests.faults.findings import ILL, findings

Run = Callable[[str, Case, Plan], Findings]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Puts something in the place of services that are really harmed."""

    def put(instead: Run) -> None:
        monkeypatch.setattr(command, "run_case", instead)

    return put


def _well(name: str, _: Case, __: Plan) -> Findings:
    return findings(case=name)


def _cases(output: str) -> list[str]:
    return [one["case"] for one in json.loads(output.splitlines()[-1])["cases"]]


def test_runs_what_is_named(run: Callable[[Run], None], capsys: pytest.CaptureFixture[str]) -> None:
    run(_well)
    assert command.main(["engine-error", "redeploy", "--json"]) == 0
    assert _cases(capsys.readouterr().out) == ["engine-error", "redeploy"]


def test_runs_everything_that_it_can(
    run: Callable[[Run], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(_well)
    monkeypatch.setenv("PATH", "")
    assert command.main([]) == 0
    output = capsys.readouterr().out
    assert _cases(output) == [name for name, case in CASES.items() if not case.needs]
    assert output.count("\n") == len(_cases(output)) + 3


def test_a_case_that_was_asked_for_and_cannot_be_had_is_no_success(
    run: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(_well)
    monkeypatch.setenv("PATH", "")
    assert command.main(["head-restarted"]) == 1
    assert command.main(["head-restarted", "redeploy"]) == 1


def test_a_request_that_fails_makes_it_fail(
    run: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run(lambda name, _, __: findings(case=name, after=ILL))
    assert command.main(["gateway-killed"]) == 1
    assert "gateway-killed: no request may fail" in capsys.readouterr().err
    assert command.main(["haproxy-killed"]) == 0


@pytest.mark.parametrize("error", [ServiceError("it did not start"), IndexError("none is left")])
def test_a_case_that_breaks_does_not_keep_the_others_from_running(
    run: Callable[[Run], None], capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def one_breaks(name: str, case: Case, plan: Plan) -> Findings:
        if name == "redeploy":
            raise error
        return _well(name, case, plan)

    run(one_breaks)
    assert command.main(["gateway-killed", "redeploy", "engine-error", "--json"]) == 1
    captured = capsys.readouterr()
    assert _cases(captured.out) == ["gateway-killed", "engine-error"]
    assert f"redeploy: {type(error).__name__}: {error}" in captured.err


def test_rate_and_seed_reach_the_case(
    run: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Plan] = []

    def note(name: str, case: Case, plan: Plan) -> Findings:
        seen.append(plan)
        return _well(name, case, plan)

    run(note)
    assert command.main(["redeploy", "--rate", "12.5", "--seed", "9"]) == 0
    assert seen == [Plan(rate=12.5, seed=9)]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["plan"]["seed"] == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "a case must be one of"),
        (["--rate", "0"], "--rate must be a number > 0, but is 0.0"),
        (["--rate", "nan"], "--rate must be a number > 0, but is nan"),
        (["--rate", "inf"], "--rate must be a number > 0, but is inf"),
    ],
)
def test_wrong_options_are_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        command.main(arguments)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err

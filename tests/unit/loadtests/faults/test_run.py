"""One case from its start to its figures, on a service that is not one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.faults import __main__ as run
from loadtests.faults.__main__ import Findings, Plan, run_case
from loadtests.faults.cases import GATEWAY, TRANSLATOR, Case
from loadtests.faults.cluster import ServiceError
from loadtests.open_loop.exchanges import Exchanges
from loadtests.processes import wait_for
from tests.unit.loadtests.faults.service import FakeService
from tests.unit.loadtests.open_loop.results import answered, not_answered

_PLAN = Plan(
    rate=200.0, before_seconds=0.1, least_after_seconds=0.0, most_after_seconds=0.3, whole_seconds=0
)
_WORKING = """\
# TYPE polyhead_process_up gauge
polyhead_process_up{component="gateway",replica="1"} 1
polyhead_process_up{component="gateway",replica="2"} 1
polyhead_process_up{component="translator",replica="3"} 1
polyhead_process_up{component="translator",replica="4"} 1
# TYPE polyhead_request_retries counter
"""


class _Patient:
    """What a case sees of the fake: two of each kind, until it is harmed."""

    def __init__(self, fake: FakeService, folder: Path) -> None:
        self.fake = fake
        self.url = fake.url
        self.folder = folder
        self.is_closed = False
        self.processes = {GATEWAY: [1, 2], TRANSLATOR: [3, 4]}
        fake.metrics = _WORKING

    def pids(self, title: str) -> list[int]:
        return self.processes[title]

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def patient(service: FakeService, tmp_path: Path) -> _Patient:
    return _Patient(service, tmp_path)


def _case(patient: _Patient) -> Case:
    """A gateway is replaced, which takes 20 requests."""

    def inject(_: object) -> None:
        asked = patient.fake.num_translated
        patient.processes = patient.processes | {GATEWAY: [2, 5]}
        assert wait_for(lambda: patient.fake.num_translated >= asked + 20, 60)

    return Case("a gateway is replaced", inject, lambda _: patient)


def _run(case: Case) -> Findings:
    return run_case("a-case", case, _PLAN)


def test_a_service_that_bears_it(patient: _Patient) -> None:
    found = _run(_case(patient))
    assert found["case"] == "a-case"
    assert found["after"]["sent"] >= 20
    assert (found["before"]["failed"], found["after"]["failed"], found["refused"]) == (0, 0, 0)
    assert found["whole_after_seconds"] is not None
    assert patient.is_closed


def test_only_what_gateways_repeated_since_the_fault_counts(patient: _Patient) -> None:
    def metrics(lost: int) -> str:
        return f'{_WORKING}polyhead_request_retries_total{{reason="lost"}} {lost}\n'

    case = _case(patient)

    def inject(service: object) -> None:
        case.inject(patient)
        patient.fake.metrics = metrics(7)

    patient.fake.metrics = metrics(3)
    assert _run(replace(case, inject=inject))["retried"] == {"lost": 4}


@pytest.mark.parametrize(
    ("now", "then", "more"),
    [
        ({}, {}, {}),
        ({"lost": 3}, {}, {"lost": 3}),
        ({"lost": 3, "timeout": 1}, {"lost": 3}, {"timeout": 1}),
        # Nobody could be asked.
        ({}, {"lost": 3}, {}),
        # Whoever added them up is a new one.
        ({"lost": 2}, {"lost": 3}, {"lost": 2}),
    ],
)
def test_the_growth_of_counters(
    now: dict[str, int], then: dict[str, int], more: dict[str, int]
) -> None:
    assert run._difference(now, then) == more


@pytest.mark.parametrize(
    "changes",
    [
        {"processes": {GATEWAY: [2], TRANSLATOR: [3, 4]}},
        {"processes": {GATEWAY: [2, 5], TRANSLATOR: [3, 4, 6]}},
        {"metrics": _WORKING.replace('replica="2"} 1', 'replica="2"} 0')},
        {"metrics": ""},
        {"over": False},
        {"replaces_all": True},
    ],
)
def test_a_service_that_is_not_whole_again(patient: _Patient, changes: dict[str, object]) -> None:
    case = _case(patient)

    def inject(_: object) -> None:
        case.inject(patient)
        patient.processes = changes.get("processes", patient.processes)  # type: ignore[assignment]
        patient.fake.metrics = str(changes.get("metrics", _WORKING))

    found = _run(
        replace(
            case,
            inject=inject,
            over=lambda _: bool(changes.get("over", True)),
            replaces_all=bool(changes.get("replaces_all", False)),
        )
    )
    assert found["whole_after_seconds"] is None
    assert patient.is_closed


def test_a_service_that_was_never_whole_is_not_harmed(
    patient: _Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_START_SECONDS", 0.2)
    patient.fake.status = 503
    with pytest.raises(ServiceError, match="never had all its replicas"):
        _run(_case(patient))
    assert patient.is_closed
    assert patient.fake.num_translated == 0


def test_refusals_of_a_service_that_ends_are_counted_apart(patient: _Patient) -> None:
    def end(_: object) -> None:
        patient.fake.status = 503
        asked = patient.fake.num_translated
        assert wait_for(lambda: patient.fake.num_translated >= asked + 20, 60)
        patient.processes = {GATEWAY: [], TRANSLATOR: []}

    found = _run(replace(_case(patient), inject=end, ends_service=True))
    assert found["refused"]
    # Those that were on their way should have been answered.
    assert found["refused"] + found["after"]["failed"] >= 20
    assert found["whole_after_seconds"] is None


def test_only_what_was_sent_later_may_be_refused() -> None:
    lost = answered(10.1)._replace(status=0, fault="no answer: ConnectionResetError")
    exchanges = Exchanges([not_answered(9.9, 503), not_answered(10.1, 503), lost])
    assert run.refused_at_once(exchanges, 10.0).tolist() == [False, True, False]


def test_a_service_that_will_not_end_is_an_error(patient: _Patient) -> None:
    case = replace(_case(patient), inject=lambda _: None, ends_service=True)
    with pytest.raises(ServiceError, match="did not end"):
        _run(case)
    assert patient.is_closed

"""A load that goes on whatever happens, and what is made of its answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from loadtests.corpus import LoadTestError
from loadtests.faults.load import SteadyLoad, ask_once, refused_at_once, tally_of
from loadtests.open_loop.exchanges import Exchanges
from loadtests.processes import wait_for
from tests.unit.loadtests.faults.service import FakeService
from tests.unit.loadtests.open_loop.results import answered

_RATE = 400.0


def _ended(*cases: tuple[float, str], status: int = 0) -> Exchanges:
    """(seconds, fault) of each."""
    return Exchanges(
        [answered(0.0, seconds)._replace(fault=fault, status=status) for seconds, fault in cases]
    )


def _faults_of(service: FakeService, **changes: Any) -> set[str]:
    """Tally of requests to a service that has changed since the expected answers were given."""
    expected = ask_once(service.url, seed=1)
    for name, value in changes.items():
        setattr(service, name, value)
    with SteadyLoad(service.url, expected, rate=_RATE, seed=1) as load:
        assert wait_for(lambda: len(load.exchanges) >= 40, 60)
    return set(load.exchanges.rows["fault"])


def test_a_tally_of_nothing() -> None:
    assert tally_of(Exchanges()) == {"sent": 0, "failed": 0, "worst_seconds": 0.0, "faults": []}


def test_a_tally_takes_the_time_of_right_answers_alone() -> None:
    tally = tally_of(_ended((0.2, ""), (0.1, ""), (9.0, "status 500: no")))
    assert tally == {"sent": 3, "failed": 1, "worst_seconds": 0.2, "faults": ["status 500: no"]}


def test_a_tally_names_each_fault_once_and_five_at_most() -> None:
    faults = [f"fault {number // 2}" for number in range(14)]
    tally = tally_of(_ended(*((0.1, fault) for fault in faults)))
    assert (tally["failed"], tally["worst_seconds"]) == (14, 0.0)
    assert tally["faults"] == [f"fault {number}" for number in range(5)]


@pytest.mark.parametrize(
    ("status", "fault", "refused"),
    [
        (200, "", False),
        (503, "status 503: try again later", True),
        (0, "no answer: ConnectionRefusedError", True),
        (0, "no answer: ConnectionResetError", False),
        (500, "status 500: no", False),
    ],
)
def test_only_what_is_said_at_once_is_a_refusal(status: int, fault: str, refused: bool) -> None:
    assert refused_at_once(_ended((0.1, fault), status=status), -1.0).tolist() == [refused]


def test_a_healthy_service_has_no_faults(service: FakeService) -> None:
    assert _faults_of(service) == {""}


def test_every_request_and_every_answer_counts(service: FakeService) -> None:
    expected = ask_once(service.url, seed=1)
    asked = service.num_translated
    with SteadyLoad(service.url, expected, rate=_RATE, seed=1) as load:
        assert wait_for(lambda: service.num_translated > asked + 20, 60)
    assert len(load.exchanges) == service.num_translated - asked


def test_another_translation_than_before_is_a_fault(service: FakeService) -> None:
    assert "the one that was given before" in str(_faults_of(service, prefix="xx:"))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"status": 500, "raw": b"no"}, "status 500: no"),
        ({"raw": b"<html>"}, "the answer must be JSON"),
        ({"raw": b"[]"}, "the answer must be a JSON object"),
    ],
)
def test_a_wrong_answer_is_a_fault(
    service: FakeService, changes: dict[str, Any], fault: str
) -> None:
    assert _faults_of(service, **changes) == {fault}


def test_no_answer_is_a_fault(service: FakeService) -> None:
    expected = ask_once(service.url, seed=1)
    nobody = "http://127.0.0.1:1"
    with SteadyLoad(nobody, expected, rate=_RATE, seed=1) as load:
        assert wait_for(lambda: len(load.exchanges) >= 5, 60)
    assert set(load.exchanges.rows["fault"]) == {"no answer: ConnectionRefusedError"}


@pytest.mark.parametrize(
    "changes", [{"status": 503}, {"raw": b"<html>"}, {"raw": b"{}"}, {"url": "http://127.0.0.1:1"}]
)
def test_a_service_that_is_ill_from_the_start_is_not_asked_on(
    service: FakeService, changes: dict[str, Any]
) -> None:
    for name, value in changes.items():
        setattr(service, name, value)
    with pytest.raises(LoadTestError, match=r"answer"):
        ask_once(service.url, seed=1)
    assert service.num_translated <= 1


def test_the_same_seed_asks_the_same(service: FakeService) -> None:
    first, again, other = (ask_once(service.url, seed=seed) for seed in (1, 1, 2))
    assert [one.body for one in first] == [one.body for one in again]
    assert [one.body for one in first] != [one.body for one in other]


def test_a_load_that_breaks_is_not_taken_for_a_quiet_one(service: FakeService) -> None:
    def broken(_: object) -> str | None:
        raise ZeroDivisionError

    expected = [dataclasses.replace(one, fault_of=broken) for one in ask_once(service.url, seed=1)]
    asked = service.num_translated
    with (
        pytest.raises(ZeroDivisionError),
        SteadyLoad(service.url, expected, rate=_RATE, seed=1),
    ):
        assert wait_for(lambda: service.num_translated > asked, 60)


def test_an_error_of_the_case_is_not_hidden_by_one_of_the_load(service: FakeService) -> None:
    expected = ask_once(service.url, seed=1)
    with (
        pytest.raises(KeyError),
        SteadyLoad(service.url, expected, rate=_RATE, seed=1),
    ):
        raise KeyError("of the case")

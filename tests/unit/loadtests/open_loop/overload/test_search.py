"""Finding the peak of services that exist only as a formula."""

from __future__ import annotations

import math

import pytest

from loadtests.open_loop.overload.run import Trial, find_peak


class _Service:
    """Answers up to `capacity` a second, and less the more it has to refuse."""

    def __init__(self, capacity: float, *, refusing: float = 0.0) -> None:
        self.trials: list[Trial] = []
        self._capacity = capacity
        self._refusing = refusing

    async def attempt(self, rate: float, seconds: float) -> Trial:
        most = self._capacity - self._refusing * max(0.0, rate - self._capacity)
        trial = Trial(
            rate=rate,
            planned=round(rate * seconds),
            answered=round(min(rate, max(0.0, most)) * seconds),
            seconds=seconds,
        )
        self.trials.append(trial)
        return trial

    async def peak(self, *, first: float = 8.0, highest: float = 4000.0) -> tuple[Trial, bool]:
        return await find_peak(self.attempt, first=first, highest=highest, longest=60.0)


@pytest.mark.parametrize("capacity", [10.0, 60.0, 130.0, 333.0, 1500.0])
@pytest.mark.parametrize("refusing", [0.0, 0.3])
async def test_the_peak_is_what_the_service_can_do(capacity: float, refusing: float) -> None:
    service = _Service(capacity, refusing=refusing)
    best, saturated = await service.peak()
    assert saturated
    assert 0.9 * capacity <= best.goodput <= 1.01 * capacity
    assert sum(trial.seconds for trial in service.trials) < 90


async def test_a_service_that_bears_it_all_has_its_peak_beyond() -> None:
    service = _Service(math.inf)
    best, saturated = await service.peak(highest=100.0)
    assert not saturated
    assert best.goodput == 100
    assert max(trial.rate for trial in service.trials) == 100


async def test_a_service_that_answers_nothing_ends_the_search() -> None:
    service = _Service(0.0)
    best, _ = await service.peak()
    assert best.goodput == 0
    assert len(service.trials) < 7


async def test_no_trial_is_longer_than_it_may_be() -> None:
    service = _Service(50.0)
    await find_peak(service.attempt, first=8.0, highest=4000.0, longest=1.0)
    assert {trial.seconds for trial in service.trials} == {1.0}


@pytest.mark.parametrize(
    ("planned", "answered", "saturated"),
    [(24, 15, False), (24, 7, True), (1000, 760, False), (1000, 700, True)],
)
def test_chance_alone_is_no_saturation(planned: int, answered: int, saturated: bool) -> None:
    trial = Trial(rate=8.0, planned=planned, answered=answered, seconds=3.0)
    assert trial.saturated is saturated

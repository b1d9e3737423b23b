"""Clients who wait for their answers and ask again."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from loadtests.corpus import Corpus
from loadtests.mix import Mix, Request
from loadtests.open_loop.generator import generate_load
from tests.integration.stand_in import Answer, right, short, stand_in


@pytest.fixture(scope="module")
def requests() -> Sequence[Request]:
    return Mix("lists", Corpus.read()).each(random.Random(1))


def test_every_answer_is_counted(requests: Sequence[Request]) -> None:
    asked = []

    def counted(path: str, body: dict[str, object]) -> object:
        asked.append(path)
        return right(path, body)

    with stand_in(counted, echo_id=False) as url:
        load = generate_load(url, requests, clients=3, seconds=0.2)
    assert len(load.exchanges) == len(asked) >= 3
    assert load.exchanges.right.all()
    assert load.exchanges.latencies.min() > 0
    assert load.requests_per_second > 0


def test_a_client_has_one_request_at_a_time(requests: Sequence[Request]) -> None:
    with stand_in(right) as url:
        rows = generate_load(url, requests, clients=1, seconds=0.2).exchanges.rows
    assert (rows["sent"][1:] >= rows["ended"][:-1]).all()


@pytest.mark.parametrize(
    ("answer", "status", "fault"),
    [(right, 503, "the status must be 200"), (short, 200, "`translations` must be")],
)
def test_a_wrong_answer_is_a_fault(
    requests: Sequence[Request], answer: Answer, status: int, fault: str
) -> None:
    with stand_in(answer, status=status) as url:
        exchanges = generate_load(url, requests, clients=2, seconds=0.1).exchanges
    assert exchanges.failed.all()
    assert next(iter(exchanges.faults)).startswith(fault)


def test_nobody_there_is_asked_only_so_often(requests: Sequence[Request]) -> None:
    with stand_in(right) as url:
        pass
    exchanges = generate_load(url, requests, clients=1, seconds=0.2).exchanges
    assert set(exchanges.faults) == {"no answer: ConnectionRefusedError"}
    assert 1 <= len(exchanges) <= 3

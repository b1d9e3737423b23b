"""The estimate of how long a request's own work takes."""

from __future__ import annotations

import pytest

from model.engine.service_time import ServiceTimeEstimator
from tests.unit.model.engine.fake_runner import make


def _estimator(num_workers: int = 1, *, encode: float = 0.0, decode: float = 0.0):
    """An estimator of an engine that takes so many seconds for each token and each row."""
    estimator = ServiceTimeEstimator(num_workers)
    _observe(estimator, encode=encode, decode=decode)
    return estimator


def _observe(estimator: ServiceTimeEstimator, *, encode: float, decode: float) -> None:
    estimator.observe(
        encoded_tokens=100, encode_seconds=100 * encode, rows=100, decode_seconds=100 * decode
    )


def test_nothing_is_known_at_first() -> None:
    assert ServiceTimeEstimator(1).seconds_for([make(1000)]) == 0


def test_sources_are_encoded_and_hypotheses_decoded_for_as_many_steps() -> None:
    estimator = _estimator(encode=0.1, decode=0.01)
    assert estimator.seconds_for([make(10), make(20)]) == pytest.approx(3.0 + 0.3)
    assert estimator.seconds_for([make(10, beam_size=4)]) == pytest.approx(1.0 + 0.4)


def test_no_more_tokens_are_decoded_than_are_allowed() -> None:
    assert _estimator(decode=0.01).seconds_for([make(100, limit=5)]) == pytest.approx(0.05)


def test_workers_share_the_work() -> None:
    assert _estimator(4, decode=0.01).seconds_for([make(10)] * 4) == pytest.approx(0.1)


def test_calls_too_short_to_be_timed_are_timed_together() -> None:
    estimator = ServiceTimeEstimator(1)
    for seconds in (0.001, 0.002) * 10:
        estimator.observe(encoded_tokens=0, encode_seconds=0.0, rows=1, decode_seconds=seconds)
    assert estimator.seconds_for([make(10)]) == pytest.approx(0.015, rel=0.1)


def test_what_is_faster_counts_at_once_and_what_is_slower_in_time() -> None:
    estimator = _estimator(decode=0.01)
    _observe(estimator, encode=0.0, decode=0.005)
    assert estimator.seconds_for([make(10)]) == pytest.approx(0.05)
    for _ in range(20):
        _observe(estimator, encode=0.0, decode=0.05)
    assert estimator.seconds_for([make(10)]) < 0.06
    for _ in range(5000):
        _observe(estimator, encode=0.0, decode=0.05)
    assert estimator.seconds_for([make(10)]) == pytest.approx(0.5, rel=0.05)

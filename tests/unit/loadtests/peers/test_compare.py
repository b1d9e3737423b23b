"""What locust's statistics say of a turn."""

from __future__ import annotations

import pytest

from loadtests.peers.compare import turn_of
from loadtests.peers.libretranslate_server import PlainSentences


def test_kinds_of_requests_are_taken_together() -> None:
    entries = [
        {
            "response_times": {"10": 90, "500": 4},
            "num_requests": 94,
            "num_failures": 0,
            "start_time": 100.0,
            "last_request_timestamp": 109.0,
        },
        {
            "response_times": {"20": 6},
            "num_requests": 6,
            "num_failures": 5,
            "start_time": 100.5,
            "last_request_timestamp": 110.0,
        },
    ]
    turn = turn_of("http://a", 8, entries)
    assert (turn.requests, turn.failures) == (100, 5)
    assert turn.requests_per_second == pytest.approx(9.5)
    assert (turn.p50_ms, turn.p95_ms) == (10, 20)


def test_a_turn_without_requests_is_an_error() -> None:
    with pytest.raises(ValueError, match="http://a answered no request of 8 users"):
        turn_of("http://a", 8, [])


def test_sentences_end_with_their_marks() -> None:
    text = "Good morning! How are you? It costs 3.50 euros. Bye"
    assert PlainSentences(None).split_sentences(text) == [
        "Good morning!",
        "How are you?",
        "It costs 3.50 euros.",
        "Bye",
    ]

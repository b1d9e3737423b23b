"""Services beside each other, and a splitter of sentences for one of them."""

from __future__ import annotations

import json

import pytest

from loadtests.peers.compare import main
from loadtests.peers.libretranslate_server import PlainSentences
from tests.integration.stand_in import nothing, right, stand_in


def test_services_take_turns(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--users", "1", "2", "--seconds", "0.1", "--rounds", "2"]
    with stand_in(right, echo_id=False) as one, stand_in(right, echo_id=False) as other:
        main([one, other, *options])
    table, line = capsys.readouterr().out.split("{", 1)
    turns = json.loads("{" + line)["turns"]
    assert [(turn["service"], turn["users"]) for turn in turns] == [
        (service, users) for users in (1, 2) for service in (one, other) * 2
    ]
    assert all(turn["failures"] == 0 < turn["requests_per_second"] for turn in turns)
    requests = sum(turn["requests"] for turn in turns[0:4:2])
    assert f"0 of {requests}" in table


def test_a_service_without_a_right_answer_ends_it() -> None:
    message = "no right answer: the answer must be a JSON object"
    with stand_in(nothing) as url, pytest.raises(SystemExit, match=message):
        main([url, "--users", "1", "--seconds", "0.1", "--rounds", "1"])


def test_sentences_end_with_their_marks() -> None:
    text = "Good morning! How are you? It costs 3.50 euros. Bye"
    assert PlainSentences(None).split_sentences(text) == [
        "Good morning!",
        "How are you?",
        "It costs 3.50 euros.",
        "Bye",
    ]

"""One answer is right, and the request shows all that a request can have."""

from __future__ import annotations

import json

import pytest

from loadtests.gateway_cost.contender import ANSWER, REQUEST, TEXTS


def test_the_one_answer_is_right() -> None:
    assert REQUEST.fault(200, json.dumps(ANSWER)) is None


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [(503, ANSWER, "must be 200"), (200, ANSWER | {"model": "another"}, "an answer must be {")],
)
def test_another_answer_is_refused(status: int, body: object, problem: str) -> None:
    fault = REQUEST.fault(status, json.dumps(body))
    assert fault is not None
    assert problem in fault


def test_a_request_has_several_texts_and_sentences() -> None:
    assert REQUEST.body["texts"] == TEXTS
    assert len(TEXTS) < sum(text.count(".") for text in TEXTS)

"""The model that answers at once is asked once for each request, whatever is in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtests.gateway_cost.applications import FakeTranslator
from loadtests.gateway_cost.contender import ANSWER, MODEL, PAIR, TEXTS
from service.protocol import TranslateCall
from tests.fakes import HOSTED

CALL = TranslateCall(request_id="1", model=HOSTED, texts=TEXTS, source=PAIR[0], target=PAIR[1])


async def test_it_answers_what_clients_expect() -> None:
    reply = await FakeTranslator().translate(CALL)
    assert reply.model == MODEL
    assert [text.text for text in reply.translations] == [
        translation["text"] for translation in ANSWER["translations"]
    ]
    tokens = sum(text.source_tokens for text in reply.translations)
    assert tokens == ANSWER["usage"]["source_tokens"]


async def test_it_refuses_a_part_of_a_request() -> None:
    with pytest.raises(ValueError, match="must have all texts of its request"):
        await FakeTranslator().translate(replace(CALL, texts=TEXTS[:1]))

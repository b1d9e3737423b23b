"""The search of the model that comes with the project for the translation of a sentence."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from model.config import EngineConfig
from model.errors import DeadlineExceededError, InvalidRequestError
from model.translation import CandidateState
from model.translator import Translator

MOST = 2_000
TEXT = "- The dog sleeps.\n"


@pytest.fixture(scope="module")
def translator() -> Iterator[Translator]:
    # The search is in float32, and so is what it is held against.
    config = EngineConfig(device="cpu", num_threads=1, dtype="float32")
    with Translator.load("en-de", config) as loaded:
        yield loaded


async def test_its_best_way_is_the_translation(translator: Translator) -> None:
    found = await translator.search_async(TEXT, most_candidates=MOST)
    assert found.translation.text == translator.translate([TEXT])[0].text
    assert found.beam_size == translator.generation.beam_size
    path = [found.candidates[number] for number in found.best]
    assert path[-1].token == "</s>"
    assert path[-1].state is CandidateState.ENDED
    written = "".join(each.token for each in path[:-1])
    assert written.strip() == found.translation.text.removeprefix("- ").strip()
    assert path[-1].score == pytest.approx(found.translation.score, abs=1e-4)
    assert any(each.state is CandidateState.PRUNED for each in found.candidates)


async def test_other_than_one_sentence_is_refused(translator: Translator) -> None:
    for text in ("", "One dog. Two cats."):
        with pytest.raises(InvalidRequestError, match="must be one sentence, but has"):
            await translator.search_async(text, most_candidates=MOST)


async def test_a_deadline_ends_it(translator: Translator) -> None:
    with pytest.raises(DeadlineExceededError):
        await translator.search_async(TEXT, most_candidates=MOST, deadline=time.monotonic() - 1)


async def test_what_nobody_waits_for_ends(translator: Translator) -> None:
    searching = asyncio.create_task(translator.search_async(TEXT, most_candidates=MOST))
    await asyncio.sleep(0)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    # The thread is free for the next one.
    assert (await translator.search_async("A cat.", most_candidates=MOST)).best

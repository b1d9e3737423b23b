"""Where the model that comes with the project attends for a sentence."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from model.config import EngineConfig
from model.errors import DeadlineExceededError, InvalidRequestError
from model.translator import Translator

MOST = 100_000


@pytest.fixture(scope="module")
def translator() -> Iterator[Translator]:
    with Translator.load("en-de", EngineConfig(device="cpu", num_threads=1)) as loaded:
        yield loaded


async def test_maps_have_the_tokens_of_the_sentence_and_its_translation(
    translator: Translator,
) -> None:
    found = await translator.attention_async("- THE DOG SLEEPS.\n", most_numbers=MOST)
    assert found.translation.text.startswith("- ")
    assert found.translation.text == translator.translate(["- THE DOG SLEEPS.\n"])[0].text
    assert found.source_tokens[:2] == ("The", "dog")
    assert found.source_tokens[-1] == "</s>"
    assert found.target_tokens[0] == "<s>"
    config = translator.engine.model_config
    sources, targets = len(found.source_tokens), len(found.target_tokens)
    assert found.decoder is not None
    for heads, layers, shape in (
        (found.encoder, config.num_encoder_layers, (sources, sources)),
        (found.decoder, config.num_decoder_layers, (targets, targets)),
        (found.cross, config.num_decoder_layers, (targets, sources)),
    ):
        assert heads.maps.shape == (layers, config.num_heads, *shape)
        np.testing.assert_allclose(heads.maps.sum(-1), 1, atol=1e-5)
        assert np.shape(heads.entropies) == (layers, config.num_heads)


@pytest.mark.parametrize("text", ["", "...", "One dog. Two cats.", "a dog sleeps, " * 60])
async def test_other_than_one_sentence_is_refused(translator: Translator, text: str) -> None:
    with pytest.raises(InvalidRequestError, match="must be one sentence, but has"):
        await translator.attention_async(text, most_numbers=MOST)


async def test_larger_maps_are_refused(translator: Translator) -> None:
    with pytest.raises(InvalidRequestError, match="at most 99 numbers, but have"):
        await translator.attention_async("The dog sleeps.", most_numbers=99)
    # Those of the source are small enough, those of the translation are not.
    few = 6 * 4 * 5 * 5 + 200
    with pytest.raises(InvalidRequestError, match=f"at most {few} numbers, but have"):
        await translator.attention_async("The dog sleeps.", most_numbers=few)


async def test_a_deadline_ends_it(translator: Translator) -> None:
    with pytest.raises(DeadlineExceededError):
        await translator.attention_async(
            "The dog sleeps.", most_numbers=MOST, deadline=time.monotonic() - 1
        )

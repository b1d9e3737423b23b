"""A pair of languages on its way through the translator: tokens, prefixes, shortlists, rules."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from model.checkpoints.checkpoint import write_checkpoint
from model.checkpoints.manifest import ModelMetadata
from model.checkpoints.shortlist import Shortlist
from model.config import EngineConfig, GenerationConfig
from model.decoding.sequence_options import NO_OPTIONS
from model.engine.engine import Engine
from model.errors import InvalidRequestError, UnsupportedLanguageError
from model.text.languages import Pair
from model.text.tokenizer import Tokenizer
from model.translator import Translator
from tests.tiny_model import tiny_config, tiny_transformer
from tests.unit.model.fake_engine import FakeEngine
from tests.unit.model.text.listed import (
    LANGUAGES,
    listed_config,
    listed_files,
    listed_tokenizer,
)
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer

TOKENIZER = listed_tokenizer()
PLAIN = train_tiny_tokenizer()
TEXT = "the old man sees a letter."


def metadata(**changes: Any) -> ModelMetadata:
    values: dict[str, Any] = {
        "name": "broad", "version": "1", "license": "-", "source_languages": LANGUAGES,
        "target_languages": LANGUAGES, "tokenizer": listed_config(),
    }  # fmt: skip
    return ModelMetadata(**(values | changes))


def make(
    own: Tokenizer = TOKENIZER,
    *,
    max_source_tokens: int = 20,
    shortlist: Shortlist | None = None,
    **changes: Any,
) -> tuple[Translator, FakeEngine]:
    engine = FakeEngine(max_source_tokens=max_source_tokens)
    engine.model_config = tiny_config(  # type: ignore[attr-defined]
        TOKENIZER.vocab_size, pad_id=2, bos_id=2, eos_id=0, unk_id=1
    )
    translator = Translator(
        cast(Engine, engine), own, metadata=metadata(**changes), shortlist=shortlist,
        generation=GenerationConfig(), device="cpu", dtype="float32", num_parameters=7,
    )  # fmt: skip
    return translator, engine


def test_each_pair_has_its_own_ids_and_prefix() -> None:
    translator, engine = make()
    translator.translate([TEXT], source="en", target="de")
    translator.translate([TEXT], source="EN", target="fr")
    list(translator.translate_stream([TEXT], source="fr", target="en"))
    asyncio.run(translator.translate_async([TEXT], source="de", target="en"))
    pairs = [Pair("en", "de"), Pair("en", "fr"), Pair("fr", "en"), Pair("de", "en")]
    expected = [TOKENIZER.encode_source(TEXT, pair) for pair in pairs]
    assert [tuple(source) for source in engine.sources] == expected
    prefixes = [TOKENIZER.target_prefix(pair) for pair in pairs]
    assert [options.target_prefix for options in engine.options] == prefixes
    assert len(set(expected)) == 3  # by the source alone


@pytest.mark.parametrize(
    ("source", "target", "kind", "message"),
    [
        (None, "de", InvalidRequestError, "`source` must be one of de, en, fr, but is not given"),
        ("en", None, InvalidRequestError, "`target` must be one of de, en, fr, but is not given"),
        ("xx", "de", UnsupportedLanguageError, "broad translates 3 languages, but not xx to de"),
        ("en", "en", UnsupportedLanguageError, "but not en to en"),
        ("en", "x" * 1000, UnsupportedLanguageError, "but not en to x{50}$"),
    ],
)
def test_a_language_that_is_needed_is_never_forgotten(
    source: str | None, target: str | None, kind: type[Exception], message: str
) -> None:
    translator, engine = make()
    with pytest.raises(kind, match=message):
        translator.translate([TEXT], source=source, target=target)
    with pytest.raises(kind, match=message):
        translator.translate_stream([TEXT], source=source, target=target)
    assert not engine.sources


def test_a_model_of_one_pair_need_not_be_told() -> None:
    changes = {"source_languages": ("en",), "target_languages": ("de",)}
    translator, engine = make(**changes)
    translator.translate([TEXT])
    assert tuple(engine.sources[0]) == TOKENIZER.encode_source(TEXT, Pair("en", "de"))
    assert engine.options[0].target_prefix == TOKENIZER.target_prefix(Pair("en", "de"))
    plain, engine = make(PLAIN, tokenizer=PLAIN.config, **changes)
    plain.translate([TEXT])
    assert engine.options == [NO_OPTIONS]
    with pytest.raises(UnsupportedLanguageError, match="translates en to de, but not de to en"):
        plain.translate([TEXT], source="de", target="en")


def test_sentences_end_by_the_rules_of_their_language() -> None:
    translator, engine = make(max_source_tokens=200)
    text = "Der Hund, vgl. Abb. Nr. 3, sucht. Der Hund sucht am 19. Januar die Straße."
    translator.translate([text], source="de", target="en")
    in_german = len(engine.sources)
    translator.translate([text], source="en", target="de")
    assert in_german == 2
    assert len(engine.sources) - in_german > 2


def test_the_template_counts_within_the_limit_of_a_segment() -> None:
    translator, engine = make()
    translator.translate([f"{TEXT[:-1]} and then goes home and a small dog follows his brother."],
                         source="en", target="de")  # fmt: skip
    assert len(engine.sources) > 1
    first = TOKENIZER.source_encoder(Pair("en", "de")).before[0]
    assert all(source[0] == first and len(source) <= 20 for source in engine.sources)


def test_each_sentence_has_its_shortlist() -> None:
    sizes = [token % 3 for token in range(TOKENIZER.vocab_size)]
    offsets = np.cumsum([0, *sizes])
    ids = np.arange(offsets[-1], dtype=np.int32) % TOKENIZER.vocab_size
    shortlist = Shortlist(first=5, offsets=offsets, ids=ids)
    translator, engine = make(shortlist=shortlist)
    translator.translate([TEXT, "a small dog."], source="en", target="de")
    config = engine.model_config  # type: ignore[attr-defined]
    for source, options in zip(engine.sources, engine.options, strict=True):
        assert options.shortlist is not None
        expected = {*range(5), *source, 0}
        expected.update(*(ids[offsets[token] : offsets[token + 1]].tolist() for token in source))
        assert set(options.shortlist.tolist()) == expected
        options.check(
            vocab_size=config.tgt_vocab_size, eos_id=0, max_new_tokens=60, source_len=len(source)
        )


def test_a_whole_model_of_three_languages(tmp_path: Path) -> None:
    model = tiny_transformer(
        vocab_size=TOKENIZER.vocab_size, pad_id=2, bos_id=2, eos_id=0, unk_id=1,
        tied_projection=False,
    )  # fmt: skip
    weights = ((name, weight.detach().numpy()) for name, weight in model.named_parameters())
    shortlist = Shortlist(first=40, offsets=np.zeros(1, np.int64), ids=np.zeros(0, np.int32))
    generation = GenerationConfig(beam_size=2, max_new_tokens=12)
    write_checkpoint(
        tmp_path / "broad", weights, model.config, listed_files(), metadata(), generation,
        shortlist=shortlist,
    )  # fmt: skip
    with Translator.load(tmp_path / "broad", EngineConfig(num_threads=1)) as translator:
        texts = {
            (source, target): translator.translate([TEXT], source=source, target=target)[0].text
            for source, target in translator.languages.pairs
        }
        assert len(set(texts.values())) > 1
        assert not any("__" in text for text in texts.values())

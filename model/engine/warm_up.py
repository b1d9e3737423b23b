"""Work that means nothing, by which an engine's speed is known before the first request."""

from __future__ import annotations

import random
import time
from dataclasses import replace

from model.config import GenerationConfig, Priority
from model.engine.engine import Engine

__all__ = ["warm_up"]

_SECONDS = 0.15
_BEAM_SIZE = 8
"""Many hypotheses for each source: the decoder takes most of a translation's time."""
_SOURCE_TOKENS = 8
_NUM_STEPS = 3


def warm_up(engine: Engine) -> None:
    """Has a new engine translate random tokens on all slots for a fifth of a second.

    Args:
        engine: nobody else uses it yet.

    Raises:
        EngineDeadError: it died of it.
    """
    beam_size = min(_BEAM_SIZE, engine.max_beam_size)
    search = GenerationConfig(beam_size=beam_size, max_new_tokens=_NUM_STEPS)
    expected = [each for each in engine.searches if each.beam_size <= engine.max_beam_size]
    if engine.device != "cpu" and expected:
        # A GPU has prepared for these: any other would have it compile, for nothing.
        search = replace(expected[0], max_new_tokens=_NUM_STEPS)
    slots = engine.stats().max_slots // search.beam_size
    most = min(slots, engine.max_sources(Priority.INTERACTIVE))
    sources = _random_sources(engine, most)
    _translate(engine, sources[:1], search)  # the very first call takes longer than any other
    ends = time.monotonic() + _SECONDS
    while time.monotonic() < ends:
        _translate(engine, sources, search)
    engine.reset_statistics()


def _translate(engine: Engine, sources: list[list[int]], search: GenerationConfig) -> None:
    for future in engine.submit(sources, search):
        future.result()


def _random_sources(engine: Engine, count: int) -> list[list[int]]:
    config = engine.model_config
    generator = random.Random(0)
    special = {config.pad_id, config.bos_id, config.eos_id, config.unk_id}
    ids = [number for number in range(config.src_vocab_size) if number not in special]
    length = min(_SOURCE_TOKENS, engine.max_source_tokens)
    return [
        [*generator.choices(ids or [config.unk_id], k=length - 1), config.eos_id]
        for _ in range(count)
    ]

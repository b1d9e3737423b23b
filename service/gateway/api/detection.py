"""The languages of a request's texts where the client does not say them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from model.text.language_detection import Detection, detect_language

__all__ = ["detect_languages", "rank_languages"]

_CHARACTERS_AT_ONCE = 500
"""More than so many are read on a thread, in a third of a millisecond for each hundred."""
_TEXTS_AT_ONCE = 10
"""So are more texts, each of which takes a tenth of a millisecond at least."""
_thread = ThreadPoolExecutor(1, thread_name_prefix="detection")
"""One, since the model holds the GIL: several would leave the event loop less of it."""
_USUAL = "en"


async def rank_languages(texts: Sequence[str], among: Collection[str]) -> list[list[Detection]]:
    """The languages that each text may be in, likeliest first; none for one without letters."""
    if len(texts) > _TEXTS_AT_ONCE or sum(map(len, texts)) > _CHARACTERS_AT_ONCE:
        return await asyncio.get_running_loop().run_in_executor(_thread, _rank, texts, among)
    return _rank(texts, among)


async def detect_languages(texts: Sequence[str], among: Collection[str]) -> tuple[Detection, ...]:
    """The language of each text, of some.

    A text that tells nothing has that of most of the others; where all do, English, or else the
    first of `among`. The confidence is then 0.
    """
    found = await rank_languages(texts, among)
    known = Counter(ranks[0].language for ranks in found if ranks)
    usual = max(known, key=known.__getitem__, default=_USUAL if _USUAL in among else min(among))
    return tuple(ranks[0] if ranks else Detection(usual, 0.0) for ranks in found)


def _rank(texts: Sequence[str], among: Collection[str]) -> list[list[Detection]]:
    return [detect_language(text, among) for text in texts]

"""What the search is told of the runs of a sentence (model/text/runs.py)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from model.decoding.phrases import GuardedTokens, Phrase
from model.text.runs import Reading
from model.text.tokenizer import SourceEncoder, Tokenizer
from model.text.vocabulary import PLACEHOLDERS

__all__ = ["guarded_tokens", "phrases_of"]


def guarded_tokens(
    tokenizer: Tokenizer, vocab_size: int, *, placeholders: bool, digits: bool
) -> GuardedTokens | None:
    """What only a phrase may write; None: nothing.

    Args:
        tokenizer: the model's.
        vocab_size: of the model's targets.
        placeholders: whether the model was trained with them.
        digits: whether all that has a digit is among it.
    """
    ids: set[int] = set()
    if placeholders and tokenizer.has_placeholders:
        ids = {tokenizer.forms(mark)[0][-1] for mark in PLACEHOLDERS}
    with_digits = tokenizer.ids_with_digits() if digits else {}
    joined = [token for token, is_joined in with_digits.items() if is_joined]
    ids |= with_digits.keys()
    return GuardedTokens(ids, vocab_size, joined) if ids else None


def phrases_of(
    reading: Reading, token_ids: Sequence[int], encoder: SourceEncoder, tokenizer: Tokenizer
) -> tuple[Phrase, ...]:
    """What the target of a sentence has, one for each of its runs.

    Args:
        reading: of the sentence.
        token_ids: that are read of it.
        encoder: that has made them.
        tokenizer: of the model.
    """
    if not reading.runs:
        return ()
    places = _token_places(reading, token_ids, encoder)
    sentence = reading.sentence
    return tuple(
        Phrase(
            forms=tuple(
                dict.fromkeys(
                    ids
                    for form in forms
                    for ids in tokenizer.forms(
                        form,
                        before=sentence[max(0, run.begin - 1) : run.begin],
                        behind=sentence[run.end : run.end + 1],
                    )
                )
            ),
            places=place,
            required=run.required,
        )
        for run, forms, place in zip(reading.runs, reading.forms, places, strict=True)
    )


def _token_places(
    reading: Reading, token_ids: Sequence[int], encoder: SourceEncoder
) -> list[range | None]:
    """The places in `token_ids` of each run; None where that is not known."""
    if encoder.normalizer is not None:
        return [None] * len(reading.runs)
    spans = encoder.vocabulary.spans(reading.text)
    before = len(encoder.before)
    if before + len(spans) + len(encoder.after) != len(token_ids):
        return [None] * len(reading.runs)
    places: list[range | None] = []
    for begin, end in reading.places:
        first = bisect_left(spans, begin + 1, key=lambda span: span[1])
        last = bisect_left(spans, end, key=lambda span: span[0])
        places.append(range(before + first, before + last) if first < last else None)
    return places

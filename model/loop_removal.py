"""Hypotheses without the copies of words, and of parts of words, that make them loops.

The engine bans what would be a copy too many of a block of tokens (`model.decoding.repeats`), and
must allow some: it does not know 10,000 from a word said three times. What is finished can be read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from model.decoding.phrases import trace
from model.decoding.search import Hypothesis
from model.decoding.sequence_options import SequenceOptions
from model.decoding.token_ids import packed_ids
from model.text.alignment import target_spans
from model.text.detokenized import Detokenized
from model.text.loops import find_loop

__all__ = ["without_loops"]


def without_loops(
    hypothesis: Hypothesis, text: str, options: SequenceOptions, texts: Detokenized
) -> Hypothesis:
    """A hypothesis in which nothing comes so often that it is a loop, if whole tokens can be left
    out for that, none of them of a phrase, and what is banned does not come about.

    Args:
        hypothesis: found for a source.
        text: the source.
        options: what the search for it was bound to.
        texts: of the hypothesis, and of what is made of it.
    """
    decided, token_ids = 0, hypothesis.token_ids
    while cuts := find_loop(text, texts[token_ids], decided):
        _, spans = target_spans(texts.tokenizer, token_ids)
        ends = [end for _, end in spans]
        if (cut := next((cut for cut in cuts if set(cut) <= set(ends)), None)) is None:
            break
        first, last = (bisect_right(ends, end) for end in cut)
        phrases = trace(token_ids, options)
        if any(span.begin < last and first < span.end for span in phrases):
            break
        if _begins_banned(token_ids[:first], token_ids[last:], options.banned):
            break
        hypothesis, decided = _without(hypothesis, first, last), cut[0]
        token_ids = hypothesis.token_ids
    return hypothesis


def _begins_banned(
    left: Sequence[int], right: Sequence[int], banned: Iterable[Sequence[int]]
) -> bool:
    """Whether what is banned may begin in `left` and go on with the first token of `right`: of what
    is told while it is written, not all is there yet."""
    return any(
        left[len(left) - size :] == tokens[:size] and right[:1] == tokens[size : size + 1]
        for tokens in banned
        for size in range(1, min(len(left) + 1, len(tokens)))
    )


def _without(hypothesis: Hypothesis, first: int, last: int) -> Hypothesis:
    """A hypothesis without its tokens from one up to another."""
    token_ids, attended = hypothesis.token_ids, hypothesis.attended
    return hypothesis._replace(
        target=packed_ids(token_ids[:first] + token_ids[last:]),
        attended=attended[:first] + attended[last:],
    )

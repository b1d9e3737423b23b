"""Hypotheses without the copies of words, and of parts of words, that make them loops.

The engine bans what would be a copy too many of a block of tokens (`model.decoding.repeats`), and
must allow some: it does not know 10,000 from a word said three times. What is finished can be read.
"""

from __future__ import annotations

from bisect import bisect_right

from model.decoding.phrases import trace
from model.decoding.repeats import most_copies
from model.decoding.search import Hypothesis
from model.decoding.sequence_options import SequenceOptions
from model.text.alignment import target_spans
from model.text.loops import find_loop
from model.text.tokenizer import Tokenizer

__all__ = ["without_loops"]


def without_loops(
    hypothesis: Hypothesis, text: str, options: SequenceOptions, tokenizer: Tokenizer
) -> Hypothesis:
    """A hypothesis in which nothing comes so often that it is a loop, if whole tokens can be left
    out for that, none of them of a phrase.

    Args:
        hypothesis: found for a source.
        text: the source.
        options: what the search for it was bound to.
        tokenizer: the model's.
    """
    decided = 0
    while most_copies(hypothesis.token_ids) > 1:  # else nothing is said twice in a row
        translation, spans = target_spans(tokenizer, hypothesis.token_ids)
        ends = [end for _, end in spans]
        cuts = (cut for cut in find_loop(text, translation, decided) if set(cut) <= set(ends))
        if (cut := next(cuts, None)) is None:
            break
        first, last = (bisect_right(ends, end) for end in cut)
        phrases = trace(hypothesis.token_ids, options)
        if any(span.begin < last and first < span.end for span in phrases):
            break
        hypothesis, decided = _without(hypothesis, first, last), cut[0]
    return hypothesis


def _without(hypothesis: Hypothesis, first: int, last: int) -> Hypothesis:
    """A hypothesis without its tokens from one up to another."""
    token_ids, attended = hypothesis.token_ids, hypothesis.attended
    return hypothesis._replace(
        token_ids=token_ids[:first] + token_ids[last:], attended=attended[:first] + attended[last:]
    )

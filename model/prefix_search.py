"""Translations that begin with what is given, and the search for how a word goes on there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from model.config import GenerationConfig
from model.decoding.sequence_options import SequenceOptions
from model.errors import InvalidOptionError
from model.preprocessing import CallOptions, PreparedText
from model.text.runs import Reading
from model.text.segmentation import SegmentedText
from model.text.sentences import split_sentences
from model.text.target_prefix import PrefixTokenizer, Seam
from model.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from model.engine.sequence import SequenceResult

__all__ = ["PrefixSearch"]

_SENTENCE_ENDS = tuple(".!?\u2026\u3002\uff01\uff1f")


class PrefixSearch:
    """How texts are translated whose translation begins with a prefix.

    Args:
        tokenizer: the model's.
        eos_id: the end token.
    """

    def __init__(self, tokenizer: Tokenizer, eos_id: int) -> None:
        self._tokenizer = tokenizer
        self._eos_id = eos_id
        self._prefix_tokenizer = cache(partial(PrefixTokenizer, tokenizer))

    def begun(self, whole: PreparedText, call: CallOptions) -> PreparedText:
        """A text whose translation begins with the target prefix of its call, if there is one.

        Where that has several sentences, as many of the text are not translated any more.

        Raises:
            InvalidOptionError: there is nothing to translate in the text.
        """
        given = call.text_options.target_prefix
        if not given:
            return whole
        if not whole.text.segments:
            raise InvalidOptionError(
                "`target_prefix` must come with a text that is translated, but there is nothing to "
                "translate in it",
                "target_prefix",
            )
        *done, last = split_sentences(given, call.target)
        if given[-1].isspace() and last.rstrip()[-1:] in _SENTENCE_ENDS:
            done, last = [*done, last], ""
        number = min(len(done), len(whole.text.segments) - 1)
        before = "".join(done[:number])
        last = given[len(before) :]
        text = whole.text
        kept = (*text.separators[: number + 1], *(each.text for each in text.segments[:number]))
        return replace(
            whole,
            text=SegmentedText(
                segments=text.segments[number:],
                separators=("", *text.separators[number + 1 :]),
                tail=text.tail,
            ),
            options=whole.options[number:],
            terms=whole.terms[number:],
            given=given,
            num_given=sum(map(len, kept)),
            seam=self._seam(last, text.segments[number].reading),
        )

    def search(
        self, texts: Sequence[PreparedText], generation: GenerationConfig
    ) -> tuple[tuple[int, ...], GenerationConfig, SequenceOptions] | None:
        """The search for the token behind what is given, if it matters which one it is: its source,
        how to search, and what it is bound to."""
        seam = texts[0].seam if texts else None
        if seam is None or seam.following is None:
            return None
        first, options = texts[0].text.segments[0], texts[0].options[0]
        following = np.union1d(seam.following, np.int32(self._eos_id))
        prefix = options.target_prefix + seam.token_ids
        search = replace(
            generation,
            beam_size=2,
            num_hypotheses=2,
            forced_end=False,
            max_new_tokens=len(prefix) + 1,
        )
        bound = SequenceOptions(
            target_prefix=prefix, shortlist=following.astype(np.int32), banned=options.banned
        )
        return first.token_ids, search, bound

    def continued(
        self, texts: list[PreparedText], results: Sequence[SequenceResult]
    ) -> list[PreparedText]:
        """The texts, of which the first begins with its seam and the token that was found."""
        seam = texts[0].seam if texts else None
        if seam is None:
            return texts
        first, prefix, given = texts[0], seam.token_ids, texts[0].given
        found = (
            hypothesis.token_ids[0]
            for result in results
            for hypothesis in result.hypotheses
            if hypothesis.token_ids
        )
        token = next(found, None)
        if token is not None:
            [(surface, _)] = self._tokenizer.surfaces([token])
            prefix += (token,)
            more = surface[len(seam.rest) :]
            reading = first.text.segments[0].reading
            more = more.upper() if reading is not None and reading.all_caps else more
            given += more.lstrip() if given[-1].isspace() else more
        elif seam.rest:
            prefix = self._prefix_tokenizer().whole(given)
        options = first.options[0]
        begun = replace(options, target_prefix=options.target_prefix + prefix)
        first = replace(first, options=[begun, *first.options[1:]], given=given, seam=None)
        return [first, *texts[1:]]

    def _seam(self, begun: str, reading: Reading | None) -> Seam | None:
        """How the target of a segment begins whose text is `begun`."""
        if not begun.strip():
            return None
        if reading is not None and reading.all_caps:  # as the model writes it
            begun = begun[:1] + begun[1:].lower()
        return self._prefix_tokenizer().seam(begun)

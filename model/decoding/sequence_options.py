"""What the search for the target of one source is bound to, beside how it is searched for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from model.decoding.phrases import GuardedTokens, Phrase
from model.errors import InvalidRequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NO_OPTIONS", "SequenceOptions"]


@dataclass(frozen=True, eq=False, kw_only=True)
class SequenceOptions:
    """What is a sequence's own; all runners read it."""

    target_prefix: tuple[int, ...] = ()
    """The first target tokens, which are given: a language, or the beginning of the translation.
    Each has the log-probability 0. Limits and the length that scores are normalised by count them,
    as they do with Hugging Face's `forced_bos_token_id`; repetition guards look at them;
    hypotheses are without them."""
    shortlist: NDArray[np.int32] | None = None
    """(N,) the target ids that alone may be predicted, in ascending order, the end token among
    them; None is all. Probabilities are of what remains. Not to be written to any more."""
    align_to: range | None = None
    """The places in the source, one after the other, among which that of each target token is
    looked for (`Hypothesis.attended`); None: nobody asks."""
    phrases: tuple[Phrase, ...] = ()
    """What the target has once each. What the target prefix has of them is written already."""
    guarded: GuardedTokens | None = None
    """What only a phrase may write; None: nothing."""
    banned: tuple[tuple[int, ...], ...] = ()
    """Token sequences that the target has not, unless a phrase has them."""

    @property
    def lexically_constrained(self) -> bool:
        """Whether phrases, guarded tokens or banned sequences change predictions."""
        return bool(self.phrases or self.guarded is not None or self.banned)

    @cached_property
    def predictable(self) -> NDArray[np.int32] | None:
        """(N,) the shortlist with the tokens of all phrases, in ascending order; None is all."""
        if self.shortlist is None or not self.phrases:
            return self.shortlist
        import numpy as np

        tokens = [token for phrase in self.phrases for form in phrase.forms for token in form]
        return np.union1d(self.shortlist, np.array(tokens, dtype=np.int32))

    def check(self, *, vocab_size: int, eos_id: int, max_new_tokens: int, source_len: int) -> None:
        """Holds it against a model, a limit and a source.

        Raises:
            InvalidRequestError: an id is none of the `vocab_size` ones, the prefix has the end
                token or leaves no token to predict, the shortlist is not ascending or without the
                end token, there is nothing in the source to align to, a phrase or a banned sequence
                is empty or has the end token, or what is guarded is another vocabulary's.
        """
        if self.align_to is not None:
            _check_places("`align_to`", self.align_to, source_len)
        prefix = self.target_prefix
        if prefix and not 0 <= min(prefix) <= max(prefix) < vocab_size:
            raise InvalidRequestError(
                f"`target_prefix` must have ids in [0, {vocab_size}), but is {prefix}"
            )
        if eos_id in prefix:
            raise InvalidRequestError(
                f"`target_prefix` must be without the end token {eos_id}, but has it"
            )
        if len(prefix) >= max_new_tokens:
            raise InvalidRequestError(
                f"`max_new_tokens` must be at least {len(prefix) + 1}, for {len(prefix)} are given "
                f"to the model, but is {max_new_tokens}"
            )
        if self.shortlist is not None:
            _check_shortlist(self.shortlist, vocab_size, eos_id)
        if self.lexically_constrained:
            self._check_phrases(vocab_size, eos_id, source_len)

    def _check_phrases(self, vocab_size: int, eos_id: int, source_len: int) -> None:
        for phrase in self.phrases:
            if not phrase.forms:
                raise InvalidRequestError("a phrase must have at least one form, but has none")
            for form in phrase.forms:
                _check_tokens("a phrase's form", form, vocab_size, eos_id)
            if phrase.places is not None:
                _check_places("a phrase's `places`", phrase.places, source_len)
        for tokens in self.banned:
            _check_tokens("a banned sequence", tokens, vocab_size, eos_id)
        if self.guarded is not None and (
            len(self.guarded.table) != vocab_size or self.guarded.table[eos_id]
        ):
            raise InvalidRequestError(
                f"`guarded` must be made for {vocab_size} ids and without the end token {eos_id}, "
                f"but is for {len(self.guarded.table)} or has it"
            )


NO_OPTIONS = SequenceOptions()
"""Anything may be predicted from the first token on."""


def _check_shortlist(shortlist: NDArray[np.int32], vocab_size: int, eos_id: int) -> None:
    if (
        shortlist.dtype.name != "int32"
        or shortlist.ndim != 1
        or (shortlist[1:] <= shortlist[:-1]).any()
    ):
        raise InvalidRequestError("`shortlist` must be ascending 32-bit integers, but is not")
    if eos_id not in shortlist:
        raise InvalidRequestError(f"`shortlist` must have the end token {eos_id}, but has it not")
    if shortlist[0] < 0 or shortlist[-1] >= vocab_size:
        raise InvalidRequestError(
            f"`shortlist` must have ids in [0, {vocab_size}), but has {shortlist[0]} to "
            f"{shortlist[-1]}"
        )


def _check_places(name: str, places: range, source_len: int) -> None:
    if not places or places.step != 1 or places.start < 0 or places.stop > source_len:
        raise InvalidRequestError(f"{name} must be places in [0, {source_len}), but is {places}")


def _check_tokens(name: str, tokens: tuple[int, ...], vocab_size: int, eos_id: int) -> None:
    if not tokens or not 0 <= min(tokens) <= max(tokens) < vocab_size or eos_id in tokens:
        raise InvalidRequestError(
            f"{name} must be ids in [0, {vocab_size}) without the end token {eos_id}, at least "
            f"one, but is {tokens}"
        )

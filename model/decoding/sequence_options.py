"""What the search for the target of one source is bound to, beside how it is searched for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    def check(self, *, vocab_size: int, eos_id: int, max_new_tokens: int, source_len: int) -> None:
        """Holds it against a model, a limit and a source.

        Raises:
            InvalidRequestError: an id is none of the `vocab_size` ones, the prefix has the end
                token or leaves no token to predict, the shortlist is not ascending or without the
                end token, or there is nothing in the source to align to.
        """
        places = self.align_to
        if places is not None and (
            not places or places.step != 1 or places.start < 0 or places.stop > source_len
        ):
            raise InvalidRequestError(
                f"`align_to` must be places in [0, {source_len}), but is {places}"
            )
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

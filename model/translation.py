"""What came of one text, as plain data that may cross from one process to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from model.decoding.candidate_state import CandidateState
from model.decoding.finish_reason import FinishReason
from model.text.word_links import WordLink

if TYPE_CHECKING:
    from model.network.weights import Floats

__all__ = [
    "CandidateState",
    "FinishReason",
    "HeadMaps",
    "Progress",
    "SearchCandidate",
    "SentenceAttention",
    "SentenceSearch",
    "TextDelta",
    "Translation",
    "TranslationHypothesis",
    "WordLink",
]


@dataclass(frozen=True, kw_only=True)
class TranslationHypothesis:
    """One of several translations of a text."""

    text: str
    score: float
    """See `Translation.score`."""
    alignments: tuple[WordLink, ...] | None = None
    """The words of the text with those of `text` that say the same, in order; None if nobody
    asked."""


@dataclass(frozen=True, kw_only=True)
class Translation:
    """What came of one text."""

    text: str
    """The best hypothesis, with the text's own white space, line breaks and list markers."""
    finish_reason: FinishReason
    """LENGTH when any of the segments was cut off at its limit of tokens, else STOP."""
    score: float | None
    """Mean of the segments' scores (length-normalised log-probabilities), weighted by their target
    tokens; of a single sentence it is the sentence's. None when there was nothing to translate."""
    hypotheses: tuple[TranslationHypothesis, ...]
    """Best first, at least one. Those of a segment differ in words, not only in punctuation or
    letter case; those of several segments are combined to the best scores. There may be fewer than
    were asked for. A text with nothing to translate is its own only hypothesis, certain (score 0).
    """
    source_tokens: int = 0
    """Source tokens of all segments, end tokens included."""
    target_tokens: int = 0
    """Tokens of all segments' best hypotheses, end tokens included."""
    num_sentences: int = 0
    """Segments that were translated: sentences, and the parts of those too long for the model."""
    queue_seconds: float = 0.0
    """The longest of any segment, as are the next two."""
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    time_to_first_token_seconds: float | None = None
    """The shortest of any segment, from submission; None when there was nothing to translate."""

    @property
    def alignments(self) -> tuple[WordLink, ...] | None:
        """Those of the best hypothesis, whose text is `text`."""
        return self.hypotheses[0].alignments


class TextDelta(NamedTuple):
    """A further part of a translation: those of a text, joined, are its translation."""

    number: int
    """Number of its text, from 0."""
    text: str


class Progress(NamedTuple):
    """What is known of the translations of a call since it was told last."""

    deltas: tuple[TextDelta, ...] = ()
    """In reading order: those of a text follow when all of the text before is there."""
    done: tuple[Translation, ...] = ()
    """The translations of the next texts, all of which is among `deltas`, these and those
    before."""


@dataclass(frozen=True, kw_only=True)
class HeadMaps:
    """One kind of attention of a model, by layer and head."""

    maps: Floats
    """(L, H, Q, M): how much position Q attends to each M; a row is 1 in sum."""
    entropies: tuple[tuple[float, ...], ...]
    """For each layer's heads, the mean entropy of their rows, in nats."""


@dataclass(frozen=True, kw_only=True)
class SentenceAttention:
    """Where the heads of a model attend for one sentence: clues to what it does, no proof."""

    translation: Translation
    source_tokens: tuple[str, ...]
    """What the encoder reads (S)."""
    target_tokens: tuple[str, ...]
    """What the decoder reads (T): the start token, then each token of the translation."""
    encoder: HeadMaps
    """(L, H, S, S)."""
    decoder: HeadMaps | None
    """(L, H, T, T); None of a decoder without self-attention."""
    cross: HeadMaps
    """(L, H, T, S)."""


class SearchCandidate(NamedTuple):
    """A hypothesis that a search has looked at: that of its parent, and one more token."""

    parent: int | None
    """Number of the candidate that it continues; None for a first token."""
    token: str
    """What its token writes, with the space before it, or what it is called."""
    log_prob: float
    """Natural log-probability of all of its tokens together."""
    state: CandidateState
    score: float | None
    """Log-probability of a finished hypothesis by the length penalty, by which they are ranked."""


@dataclass(frozen=True, kw_only=True)
class SentenceSearch:
    """The search for the translation of one sentence, in float32."""

    translation: Translation
    """What has come of it."""
    beam_size: int
    """Hypotheses that go on from a step."""
    candidates: tuple[SearchCandidate, ...]
    """Step by step, those of a step best first; numbered in this order from 0."""
    best: tuple[int, ...]
    """Numbers of the candidates of the best hypothesis, from its first token to its last."""

"""Messages between gateway and translator over a Ray Serve handle: plain dataclasses.

Without framework objects, tensors and clock readings: monotonic clocks of two processes cannot be
compared, so a deadline is sent as the seconds left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from model.config import GenerationConfig, Priority
from model.text.languages import Languages
from model.text_options import NO_TEXT_OPTIONS, TextOptions
from model.translation import SentenceAttention, SentenceSearch, Translation

__all__ = [
    "CallOutcome",
    "HostedModel",
    "LoadedModel",
    "ModelInfo",
    "TranslateCall",
    "TranslateReply",
]


@dataclass(frozen=True, kw_only=True)
class HostedModel:
    """A model of the catalog as a replica must know it to load it."""

    key: str
    """Id and revision, "en-de@1": what is loaded under it never changes."""
    id: str
    """What clients call it; a label of its metrics."""
    directory: str
    """The model directory on the replica's machine, or an embedded or installed model's name."""
    device: str | None = None
    """Instead of the engine's."""
    dtype: str | None = None
    """Instead of the engine's."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """Fields of GenerationConfig that replace the model's own defaults."""
    fingerprint: str = ""
    """What the directory held when it was read: another content is another revision. Empty: not
    looked at."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that a replica holds now."""

    key: str
    id: str
    bytes: int
    """Its memory, as computed before it was loaded."""
    pinned: bool
    """Loaded at the replica's start, and never evicted."""
    calls: int
    """In work."""


@dataclass(frozen=True, kw_only=True)
class TranslateCall:
    """One request: several texts of one language pair, for one model."""

    request_id: str
    model: HostedModel
    texts: tuple[str, ...]
    source: str
    target: str
    generation: GenerationConfig | None = None
    """None takes the model's own defaults."""
    timeout_seconds: float | None = None
    """Time left until the client's deadline when the call was sent."""
    priority: Priority = Priority.INTERACTIVE
    return_alignments: bool = False
    """Whether translations tell which of their words is which of the text's."""
    max_attention_numbers: int | None = None
    """Asks for the attention of the one text, a sentence, in maps of at most so many numbers."""
    max_search_candidates: int | None = None
    """Asks for the search for the one text, a sentence, which looks at no more candidates."""
    text_options: TextOptions = NO_TEXT_OPTIONS
    """What is kept, which terms are used, how the translation begins."""
    use_cache: bool = True
    """Whether results of equal segments before may be taken."""


@dataclass(frozen=True, kw_only=True)
class TranslateReply:
    """The answer to one TranslateCall."""

    model: str
    """The model's name."""
    translations: tuple[Translation, ...]
    """In the order of the call's texts."""
    pivot: str | None = None
    """The language between two models, if there were two."""
    attention: SentenceAttention | None = None
    """Where the model attends for the only text, if that was asked for."""
    search: SentenceSearch | None = None
    """The search for the only text, if that was asked for."""


class CallOutcome(NamedTuple):
    """What became of one call of a batch."""

    number: int
    """Which one of them, from 0."""
    reply: TranslateReply | None = None
    error: Exception | None = None
    """What it raised instead."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What clients are told of a model."""

    name: str
    languages: Languages
    """What it translates from and into; a broad model has tens of thousands of pairs."""
    device: str
    dtype: str
    num_parameters: int
    max_source_tokens: int
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """The model's own search defaults."""

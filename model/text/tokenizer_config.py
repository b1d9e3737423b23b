"""What a model directory says about its tokenizer, beside the tokenizer's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from model.errors import InvalidRequestError

__all__ = [
    "PIECES_FILE",
    "PIECES_FILES",
    "SOURCE",
    "TARGET",
    "TEXT",
    "TOKENIZER_FILES",
    "VOCABULARY_FILE",
    "VOCABULARY_FILES",
    "TokenizerConfig",
    "TokenizerKind",
]

PIECES_FILE = "tokenizer.model"
"""The SentencePiece model of both sides."""
PIECES_FILES = ("source.model", "target.model")
"""Instead, one for each side."""
VOCABULARY_FILE = "vocabulary.json"
"""The pieces of both sides in the order of their ids: a JSON list of strings."""
VOCABULARY_FILES = ("source_vocabulary.json", "target_vocabulary.json")
"""Instead, one for each side."""
TOKENIZER_FILES = (PIECES_FILE, *PIECES_FILES, VOCABULARY_FILE, *VOCABULARY_FILES)
"""All files that a tokenizer may have."""

TEXT, SOURCE, TARGET = "{text}", "{source}", "{target}"
"""What stands in a template for the text, and for the tokens of its languages."""

_MOST_TOKENS = 16
"""Most tokens that a template or a prefix adds; models in use have two."""
_MOST_CHARACTERS = 200
_MOST_LANGUAGES = 1_000


class TokenizerKind(StrEnum):
    """Where the id of a piece comes from."""

    SENTENCEPIECE = "sentencepiece"
    """It is the piece's own id in its SentencePiece model."""
    VOCABULARY = "vocabulary"
    """SentencePiece cuts, and the id is the piece's place in a list of strings."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Where ids come from, and which of them a model needs to know its languages.

    Tokens are named as the vocabulary names them. In a template, "{source}" and "{target}" are the
    tokens of the languages of the text and of its translation.
    """

    kind: TokenizerKind = TokenizerKind.SENTENCEPIECE
    source_template: tuple[str, ...] | None = None
    """What the encoder reads: tokens around one "{text}", as in ("{source}", "{text}", "</s>").
    None is the text and the end token."""
    target_prefix: tuple[str, ...] = ()
    """The tokens that every target begins with, as in ("{target}",); they are no part of the
    translation's text."""
    language_tokens: Mapping[str, str] = field(default_factory=dict)
    """The token of each language, by its code."""
    normalize_punctuation: bool = False
    """Sources are read with the punctuation of Moses' normalize-punctuation.perl, as the models of
    OPUS-MT have been trained (model/text/punctuation.py)."""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "kind", TokenizerKind(self.kind))
        except ValueError:
            raise InvalidRequestError(
                f"`kind` must be one of {', '.join(TokenizerKind)}, but is {self.kind!r}"
            ) from None
        if self.source_template is not None:
            template = _tokens("source_template", self.source_template)
            object.__setattr__(self, "source_template", template)
            if template.count(TEXT) != 1:
                raise InvalidRequestError(
                    f"`source_template` must have {TEXT} once, but is {list(template)}"
                )
        prefix = _tokens("target_prefix", self.target_prefix)
        object.__setattr__(self, "target_prefix", prefix)
        if TEXT in prefix:
            raise InvalidRequestError(f"`target_prefix` must have no {TEXT}, but is {list(prefix)}")
        object.__setattr__(self, "language_tokens", _language_tokens(self.language_tokens))
        if not isinstance(self.normalize_punctuation, bool):
            raise InvalidRequestError(
                "`normalize_punctuation` must be true or false, "
                f"but is {self.normalize_punctuation!r}"
            )

    @property
    def names_source(self) -> bool:
        """Whether a token tells the model the language of the text."""
        return SOURCE in (*(self.source_template or ()), *self.target_prefix)

    @property
    def names_target(self) -> bool:
        """Whether a token tells the model the language of the translation."""
        return TARGET in (*(self.source_template or ()), *self.target_prefix)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads the JSON object `tokenizer` of a model directory."""
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InvalidRequestError(f"`tokenizer` must have known fields, but has {unknown}")
        return cls(**values)


def _tokens(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > _MOST_TOKENS:
        raise InvalidRequestError(
            f"`{name}` must be a list of at most {_MOST_TOKENS} tokens, but is {value!r}"
        )
    for token in value:
        _require_token(name, token)
    return tuple(value)


def _language_tokens(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > _MOST_LANGUAGES:
        raise InvalidRequestError(
            f"`language_tokens` must have the tokens of at most {_MOST_LANGUAGES} languages, "
            f"but is {value!r}"
        )
    for token in value.values():
        _require_token("language_tokens", token)
    return dict(value)


def _require_token(name: str, value: Any) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_CHARACTERS:
        raise InvalidRequestError(
            f"`{name}` must have tokens of 1 to {_MOST_CHARACTERS} characters, but has {value!r}"
        )

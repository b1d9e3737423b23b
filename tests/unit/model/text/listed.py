"""Tokenizers whose ids come from lists, with languages, made of the tiny SentencePiece model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from model.text.tokenizer import Tokenizer, vocabulary_list
from model.text.tokenizer_config import TokenizerConfig, TokenizerKind
from model.text.vocabulary import SentencePieceVocabulary, SpecialIds
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer

__all__ = ["LANGUAGES", "SPECIAL", "listed_config", "listed_files", "listed_tokenizer"]

SPECIAL = SpecialIds(pad=2, bos=2, eos=0, unk=1)
LANGUAGES = ("en", "de", "fr")


@cache
def _pieces() -> bytes:
    return train_tiny_tokenizer().files["tokenizer.model"]


def listed_files(languages: Sequence[str] = LANGUAGES) -> dict[str, bytes]:
    """The end token, the unknown one and a pad, the pieces backwards, and a token per language."""
    names = reversed(SentencePieceVocabulary(_pieces()).names()[4:])
    tokens = [f"__{code}__" for code in languages]
    vocabulary = vocabulary_list(["</s>", "<unk>", "<pad>", *names, *tokens])
    return {"tokenizer.model": _pieces(), "vocabulary.json": vocabulary}


def listed_config(languages: Sequence[str] = LANGUAGES, **changes: Any) -> TokenizerConfig:
    """As M2M-100 has it."""
    values: dict[str, Any] = {
        "kind": TokenizerKind.VOCABULARY,
        "source_template": ("{source}", "{text}", "</s>"),
        "target_prefix": ("{target}",),
        "language_tokens": {code: f"__{code}__" for code in languages},
    }
    return TokenizerConfig(**(values | changes))


def listed_tokenizer(languages: Sequence[str] = LANGUAGES, **changes: Any) -> Tokenizer:
    """The tokenizer of both."""
    return Tokenizer.from_files(
        listed_files(languages), listed_config(languages, **changes), SPECIAL
    )

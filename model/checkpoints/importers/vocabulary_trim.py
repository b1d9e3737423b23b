"""Vocabularies of many languages cut to what some of them need, and the proof that it is enough.

What cuts the text stays as it is, so a text becomes the pieces that it became before. A piece is
left out for a letter of a script in which none of the languages is written. Digits, punctuation,
signs, bytes and the letters of ASCII stay, for any text has names and addresses.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from model.errors import CheckpointError
from model.text.language_tags import script
from model.text.tokenizer import Tokenizer, vocabulary_list
from model.text.tokenizer_config import VOCABULARY_FILE, TokenizerConfig
from model.text.vocabulary import SpecialIds

__all__ = ["NOT_TRIMMED", "TrimReport", "compare_tokens", "kept_ids", "needed_pieces", "trim_note"]

NOT_TRIMMED = (
    "`languages` must not be given for this model, for it has no vocabulary of many languages: "
    "name its source and its target"
)
"""Why the vocabulary of some model is not cut."""

_SCRIPTS: dict[str, tuple[str, ...]] = {
    "Arab": ("ARABIC",),
    "Armn": ("ARMENIAN",),
    "Beng": ("BENGALI",),
    "Cyrl": ("CYRILLIC",),
    "Deva": ("DEVANAGARI",),
    "Ethi": ("ETHIOPIC",),
    "Geor": ("GEORGIAN",),
    "Grek": ("GREEK",),
    "Gujr": ("GUJARATI",),
    "Guru": ("GURMUKHI",),
    "Hang": ("HANGUL", "CJK"),
    "Hans": ("CJK", "BOPOMOFO"),
    "Hant": ("CJK", "BOPOMOFO"),
    "Hebr": ("HEBREW",),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA"),
    "Khmr": ("KHMER",),
    "Knda": ("KANNADA",),
    "Kore": ("HANGUL", "CJK"),
    "Laoo": ("LAO",),
    "Latn": ("LATIN",),
    "Mlym": ("MALAYALAM",),
    "Mong": ("MONGOLIAN",),
    "Mymr": ("MYANMAR",),
    "Olck": ("OL",),
    "Orya": ("ORIYA",),
    "Sinh": ("SINHALA",),
    "Taml": ("TAMIL",),
    "Telu": ("TELUGU",),
    "Tfng": ("TIFINAGH",),
    "Thaa": ("THAANA",),
    "Thai": ("THAI",),
    "Tibt": ("TIBETAN",),
}
"""How Unicode's names of a script's letters begin, by the script's code in ISO 15924."""
_KNOWN = frozenset(begin for begins in _SCRIPTS.values() for begin in begins)


def needed_pieces(
    names: Sequence[str], languages: Iterable[str], always: Collection[int] = ()
) -> list[int]:
    """Ids of the pieces that text in some languages may need, in ascending order.

    Args:
        names: the pieces, in the order of their ids.
        languages: codes, each of a language or of a language in a script, such as "deu_Latn".
        always: ids that are kept anyway.

    Raises:
        CheckpointError: nobody knows the script of a language.
    """
    wanted: set[str] = set()
    for code in languages:
        begins = _SCRIPTS.get(script(code) or "")
        if begins is None:
            raise CheckpointError(
                f"the script of {code!r} must be known for a vocabulary to be trimmed, but is not: "
                "name the language with its script, such as deu_Latn"
            )
        wanted.update(begins)
    foreign = _KNOWN - wanted
    of_character: dict[str, bool] = {}

    def is_foreign(character: str) -> bool:
        if character not in of_character:
            name = unicodedata.name(character, "")
            is_letter = unicodedata.category(character)[0] in "LM"
            in_foreign = is_letter and name.partition(" ")[0] in foreign
            of_character[character] = in_foreign and not character.isascii()
        return of_character[character]

    kept = set(always)
    return [
        token for token, name in enumerate(names) if token in kept or not any(map(is_foreign, name))
    ]


def kept_ids(
    names: Sequence[str],
    tokens: Collection[str],
    always: Collection[str],
    form: re.Pattern[str],
) -> list[int]:
    """Ids of the pieces that a model of many languages needs for some of them, in ascending order.

    Args:
        names: the pieces, in the order of their ids.
        tokens: those of the languages, which are kept; those of others are not.
        always: pieces that are kept anyway.
        form: of the languages' tokens.

    Raises:
        CheckpointError: nobody knows the script of a language.
    """
    kept = {*tokens, *always}
    needed = needed_pieces(
        names,
        [token.strip("_") for token in tokens],
        [token for token, name in enumerate(names) if name in kept],
    )
    return [
        token
        for token in needed
        if (name := names[token]) in kept
        or not (form.fullmatch(name) or name.startswith("<unused "))
    ]


def trim_note(
    names: Sequence[str],
    kept: Sequence[int],
    files: Mapping[str, bytes],
    tokenizer: TokenizerConfig,
    special: SpecialIds,
    texts: Sequence[str],
) -> str:
    """What a shorter vocabulary does to given texts, in a sentence.

    Args:
        names: the pieces before, in the order of their ids.
        kept: those of them that are left.
        files: the tokenizer with these alone.
        tokenizer, special: how it is used, and its special ids.
        texts: sources, or translations that the model is to be able to write.

    Raises:
        CheckpointError: the files are no tokenizer.
    """
    after = Tokenizer.from_files(files, tokenizer, special)
    before = Tokenizer.from_files(
        {**files, VOCABULARY_FILE: vocabulary_list(names)},
        tokenizer,
        SpecialIds(*(kept[token] for token in special)),
    )
    return f"The vocabulary is trimmed: {compare_tokens(before, after, texts)}"


@dataclass(frozen=True, kw_only=True)
class TrimReport:
    """What a shorter vocabulary does to given texts."""

    num_texts: int
    num_unchanged: int
    """Texts that are the same pieces as before."""
    num_tokens: int
    num_lost: int
    """Tokens that have become the unknown one."""
    size_before: int
    size: int

    def __str__(self) -> str:
        kept = f"{self.size:,} of {self.size_before:,} pieces are kept"
        if not self.num_texts:
            return f"{kept}."
        return (
            f"{kept}; {self.num_unchanged:,} of {self.num_texts:,} given lines are the same pieces "
            f"as before, and {self.num_lost:,} of their {self.num_tokens:,} tokens are lost."
        )


def compare_tokens(before: Tokenizer, after: Tokenizer, texts: Sequence[str]) -> TrimReport:
    """Shows whether texts are still the same pieces: then they mean the same to the model.

    Args:
        before, after: of one list of pieces for both sides, whole and shorter.
        texts: sources, or translations that the model is to be able to write.
    """
    names, kept = (json.loads(each.files[VOCABULARY_FILE]) for each in (before, after))
    unchanged = lost = tokens = 0
    rows = before.tokenize_batch(texts), after.tokenize_batch(texts)
    for whole, trimmed in zip(*rows, strict=True):
        same = [
            names[was] == kept[now] or (was == before.unk_id and now == after.unk_id)
            for was, now in zip(whole, trimmed, strict=True)
        ]
        unchanged += all(same)
        lost += len(same) - sum(same)
        tokens += len(same)
    return TrimReport(
        num_texts=len(texts),
        num_unchanged=unchanged,
        num_tokens=tokens,
        num_lost=lost,
        size_before=len(names),
        size=len(kept),
    )

"""Vocabularies of many languages cut to what some of them need, and the proof that it is enough.

What cuts the text stays as it is, so a text becomes the pieces that it became before. A piece is
left out for a letter of a script in which none of the languages is written. Digits, punctuation,
signs, bytes and the letters of ASCII stay, for any text has names and addresses.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from model.errors import CheckpointError
from model.text.language_tags import script
from model.text.tokenizer import Tokenizer
from model.text.tokenizer_config import VOCABULARY_FILE

__all__ = ["TrimReport", "compare_tokens", "needed_pieces"]

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

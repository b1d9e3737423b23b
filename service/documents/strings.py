"""Strings of documents: which of them say something, and what they are written in."""

from __future__ import annotations

import re

from model.text_options import TextFormat
from service.documents.document import Unit

__all__ = ["Trimmed", "has_words", "language_code", "trimmed", "with_markup", "xml_characters"]

_TAG = re.compile(r"</?[A-Za-z][\w:-]*(?:\s[^<>]*)?/?>|<!--")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Trimmed(tuple[str, str, str]):
    """White space before a text, the text, and white space behind it."""

    __slots__ = ()


def has_words(text: str) -> bool:
    """Whether there is a letter: all else needs no translation."""
    return any(map(str.isalpha, text))


def trimmed(text: str) -> tuple[str, str, str]:
    """A text in three parts: white space before it, itself, and white space behind it."""
    core = text.strip()
    begin = text.find(core) if core else len(text)
    return text[:begin], core, text[begin + len(core) :]


def with_markup(text: str) -> Unit:
    """A string as people write them into tables and messages: HTML where it has a tag."""
    return Unit(text, TextFormat.HTML if _TAG.search(text) else TextFormat.TEXT)


def xml_characters(text: str) -> str:
    """A text without the characters that XML cannot have."""
    return _NOT_XML.sub("", text)


def language_code(code: str) -> str:
    """A model's code of a language as documents name it, by BCP 47: `de`, `pt-BR`."""
    parts = code.replace("_", "-").split("-")
    return "-".join(
        [parts[0].lower()]
        + [part.title() if len(part) == 4 else part.upper() for part in parts[1:]]
    )

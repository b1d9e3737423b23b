"""Strings of JSON (.json): values that are chosen by name or path; all else stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from service.documents.document import Document, DocumentOptions
from service.documents.edits import Edit, text_document
from service.documents.encoding import decoded
from service.documents.errors import DamagedDocumentError
from service.documents.limits import DocumentLimits
from service.documents.strings import has_words, trimmed, with_markup

__all__ = ["read"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(slots=True)
class _Level:
    """An object or a list that is open."""

    is_object: bool
    name: str = ""
    index: int = 0
    is_value: bool = False
    """Whether a value of an object comes next."""

    @property
    def step(self) -> str:
        """Its part of the path of a value."""
        return self.name if self.is_object else str(self.index)


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    source = decoded(data)
    try:
        json.loads(source.text, parse_int=str, parse_float=str)
    except RecursionError:
        raise _too_deep(options.limits) from None
    except ValueError as error:
        raise DamagedDocumentError(f"the document must be JSON, but is not: {error}") from error
    is_ascii = source.text.isascii() and "\\u" in source.text
    patterns = [_pattern(key) for key in options.keys]

    def edits() -> Iterator[Edit]:
        for begin, end, path in _strings(source.text, options.limits):
            value: str = json.loads(source.text[begin:end], strict=False)
            before, core, behind = trimmed(value)
            if not has_words(core) or not _is_unicode(core) or not _is_chosen(path, patterns):
                continue
            yield Edit(begin, end, with_markup(core), partial(_spelled, before, behind, is_ascii))

    found = list(options.limits.bounded(edits()))
    return text_document(source.text, found, source.encoded)


def _spelled(before: str, behind: str, is_ascii: bool, translation: str) -> str:
    return json.dumps(before + translation + behind, ensure_ascii=is_ascii)


def _too_deep(limits: DocumentLimits) -> DamagedDocumentError:
    return DamagedDocumentError(
        f"the values of a document must be within each other at most {limits.max_depth} times "
        "(`max_depth`), but are more often"
    )


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _pattern(key: str) -> re.Pattern[str]:
    steps = ("[^.]*" if step == "*" else re.escape(step) for step in key.split("."))
    return re.compile(r"\.".join(steps))


def _is_chosen(path: list[str], patterns: list[re.Pattern[str]]) -> bool:
    """Whether a path, or the last name in it, is one that was asked for."""
    if not patterns:
        return True
    names = [step for step in path if not step.isdecimal()]
    whole, last = ".".join(path), names[-1] if names else ""
    return any(pattern.fullmatch(whole) or pattern.fullmatch(last) for pattern in patterns)


def _strings(text: str, limits: DocumentLimits) -> Iterator[tuple[int, int, list[str]]]:
    """Where each string is that is a value, and its path."""
    levels: list[_Level] = []
    for found in _TOKEN.finditer(text):
        token = found[0]
        level = levels[-1] if levels else None
        if token in "{[":
            levels.append(_Level(token == "{"))
            if len(levels) > limits.max_depth:
                raise _too_deep(limits)
        elif token in "}]":
            levels.pop()
        elif token == ":" and level is not None:
            level.is_value = True
        elif token == "," and level is not None:
            level.is_value = False
            level.index += 1
        elif token[0] == '"':
            if level is not None and level.is_object and not level.is_value:
                level.name = json.loads(token, strict=False)
            else:
                yield found.start(), found.end(), [each.step for each in levels]

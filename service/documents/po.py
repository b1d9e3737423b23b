"""Gettext catalogs (.po, .pot): messages without a translation get one, all else stays as it is.

A fuzzy translation is none. A translation that has lost or changed a placeholder of a message with
a format, or that stands for several plural forms, is marked as fuzzy: a person must see it, and
programs show the source until then.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from babel.messages.plurals import get_plural

from service.documents.document import Document, DocumentOptions
from service.documents.edits import edited
from service.documents.encoding import decoded
from service.documents.errors import DamagedDocumentError
from service.documents.strings import has_words, language_code, trimmed, with_markup

__all__ = ["read"]

_CHARSET = re.compile(rb"charset=([\w:.-]+)")
_HEAD = 8192
"""Bytes in which a catalog says its encoding."""
_LINE = re.compile(
    r"[ \t]*(?:(?P<keyword>msgctxt|msgid_plural|msgid|msgstr(?:\[(?P<number>\d{1,3})\])?)[ \t]*)?"
    r'"(?P<text>(?:[^"\\\r\n]|\\.)*)"[ \t]*(?:\r?\n|\r|\Z)'
)
_OTHER = re.compile(r"(?:#(?P<comment>[^\r\n]*)|[ \t]*)(?:\r?\n|\r|\Z)")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{2})|(.))")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}
_SPELLED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b",
            "\f": "\\f", "\v": "\\v", "\a": "\\a"}  # fmt: skip
_PERCENT = re.compile(
    r"%(?:\d+\$)?(?:\([^()\s]{0,100}\))?[-+ #0']*(?:\*|\d+)?(?:\.(?:\*|\d+)?)?"
    r"(?:hh|h|ll|l|L|z|j|t|q)?[A-Za-z%@]"
)
_MNEMONIC = re.compile(r"(?<!\S)[_&](?=[^\W\d_])(?!\w+;)")
_BRACES = re.compile(r"\{[^{}]*\}")
_WIDTH = 79


class _Style(NamedTuple):
    """How lines are written."""

    line_break: str
    wraps: bool
    """Whether long strings have several."""


@dataclass(slots=True)
class _Field:
    """A keyword with its string."""

    begin: int
    end: int
    """Behind the line break of its last line."""
    text: str
    lines: int = 1


@dataclass(slots=True)
class _Message:
    """A message of the catalog."""

    fields: dict[str, _Field] = field(default_factory=dict)
    flags: tuple[int, int] | None = None
    """Where its line of flags is."""
    previous: list[tuple[int, int]] = field(default_factory=list)
    """Where lines tell what its source was when it was translated."""
    begin: int = -1

    @property
    def is_header(self) -> bool:
        return not self.fields["msgid"].text and "msgctxt" not in self.fields


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    found = _CHARSET.search(data[:_HEAD])
    catalog = decoded(data, declared=found[1].decode() if found else None)
    text = catalog.text
    messages = list(options.limits.bounded(_messages(text)))
    header = next((each for each in messages if each.is_header), None)
    forms, said = _header(header, options.target)
    wanted = [each for each in messages if _is_wanted(each, text, options)]
    style = _Style(
        "\r\n" if "\r\n" in text else "\n",
        wraps=not any(len(line) > _WIDTH + 2 for line in text.splitlines() if line[:1] in '"m'),
    )

    def write(translations: Sequence[str]) -> bytes:
        remaining = iter(translations)
        edits: list[tuple[int, int, str]] = []
        if header is not None and (place := header.fields.get("msgstr")) is not None:
            edits.append(
                (place.begin, place.end, _spelled("msgstr", said, style._replace(wraps=False)))
            )
        for message in wanted:
            sources = _sources(message)
            strings = [_filled(source, next(remaining)) for source in sources]
            edits += _edits(message, text, sources, strings, forms, style)
        return catalog.encoded(edited(text, sorted(edits)))

    sources = [source for each in wanted for source in _sources(each)]
    units = [with_markup(_without_mnemonic(trimmed(source)[1])[0]) for source in sources]
    return Document(units, write)


def _messages(text: str) -> Iterator[_Message]:
    message = _Message()
    last: _Field | None = None
    at = 0
    while at < len(text):
        if (line := _LINE.match(text, at)) is not None:
            keyword = line["keyword"]
            if keyword in ("msgctxt", "msgid") and "msgid" in message.fields:
                yield message
                message = _Message()
            if keyword is not None:
                if keyword in message.fields:
                    raise _damaged(text, at)
                last = message.fields[keyword] = _Field(at, line.end(), _unescaped(line["text"]))
            elif last is not None:
                last.end, last.lines = line.end(), last.lines + 1
                last.text += _unescaped(line["text"])
            else:
                raise _damaged(text, at)
        elif (line := _OTHER.match(text, at)) is not None:
            comment = line["comment"]
            if comment is not None and "msgid" in message.fields:
                yield message
                message = _Message()
            last = None
            if comment is not None and comment.startswith(","):
                message.flags = (at, line.end())
            elif comment is not None and comment.startswith("|"):
                message.previous.append((at, line.end()))
        else:
            raise _damaged(text, at)
        at = line.end()
    if "msgid" in message.fields:
        yield message


def _damaged(text: str, at: int) -> DamagedDocumentError:
    number = text.count("\n", 0, at) + 1
    return DamagedDocumentError(
        f"the document must be a gettext catalog, but its line {number} is of none"
    )


def _unescaped(text: str) -> str:
    def plain(found: re.Match[str]) -> str:
        if found[1] or found[2]:
            return chr(int(found[1], 8) if found[1] else int(found[2], 16))
        return _ESCAPED.get(found[3], found[3])

    return _ESCAPE.sub(plain, text) if "\\" in text else text


def _sources(message: _Message) -> list[str]:
    """What is translated of a message: its source, and that of its plural."""
    names = ("msgid", "msgid_plural")
    return [message.fields[name].text for name in names if name in message.fields]


def _is_wanted(message: _Message, text: str, options: DocumentOptions) -> bool:
    if message.is_header or not all(map(has_words, _sources(message))):
        return False
    strings = [each.text for name, each in message.fields.items() if name.startswith("msgstr")]
    if not strings:
        return False
    return options.retranslate or not all(strings) or "fuzzy" in _flags(message, text)


def _flags(message: _Message, text: str) -> list[str]:
    if message.flags is None:
        return []
    begin, end = message.flags
    return [flag.strip() for flag in text[begin:end].lstrip("#,").split(",") if flag.strip()]


def _filled(source: str, translation: str) -> str:
    """A translation with the white space that its source has around it, and its mnemonic."""
    before, core, behind = trimmed(source)
    translation = translation.strip()
    if sign := _without_mnemonic(core)[1]:
        letter = next((at for at, each in enumerate(translation) if each.isalpha()), 0)
        translation = translation[:letter] + sign + translation[letter:]
    return before + translation + behind


def _without_mnemonic(text: str) -> tuple[str, str]:
    """A text without the sign before the letter that a program underlines, as in `_File`, and the
    sign; it has none where there are several, or markup."""
    found = _MNEMONIC.findall(text)
    if len(found) != 1 or text.count(found[0]) != 1 or "<" in text:
        return text, ""
    return text.replace(found[0], ""), found[0]


def _header(header: _Message | None, target: str | None) -> tuple[int, str]:
    """How many forms a plural has, and what the header says from now on."""
    place = header.fields.get("msgstr") if header is not None else None
    said = place.text if place is not None else ""
    count = re.search(r"nplurals\s*=\s*(\d)", said)
    if target is None:
        return (int(count[1]) if count else 2), said
    code = language_code(target).replace("-", "_")
    language = re.search(r"^Language:[ \t]*(\S*)", said, re.MULTILINE)
    if count is None or language is None or language[1] != code:
        plural = get_plural(code)
        said = _with_line(said, "Plural-Forms", plural.plural_forms.rstrip(";") + ";")
        said = _with_line(said, "Language", code)
        return plural.num_plurals, said
    return int(count[1]), said


def _with_line(header: str, name: str, value: str) -> str:
    line = f"{name}: {value}"
    pattern = rf"^{name}:[^\n]*"
    if re.search(pattern, header, re.MULTILINE):
        return re.sub(pattern, lambda _: line, header, count=1, flags=re.MULTILINE)
    return f"{header}{'' if header.endswith(chr(10)) or not header else chr(10)}{line}\n"


def _edits(
    message: _Message,
    text: str,
    sources: Sequence[str],
    strings: Sequence[str],
    forms: int,
    style: _Style,
) -> Iterator[tuple[int, int, str]]:
    """What of the catalog is written anew for a message."""
    flags = _flags(message, text)
    is_fuzzy = not all(map(_has_placeholders, [flags] * len(sources), sources, strings))
    if len(sources) > 1:
        is_fuzzy |= forms > 2
        strings = [strings[0], *[strings[1]] * (forms - 1)] if forms > 1 else [strings[1]]
    targets = [each for name, each in message.fields.items() if name.startswith("msgstr")]
    names = [f"msgstr[{number}]" for number in range(len(strings))]
    names = names if len(sources) > 1 else ["msgstr"]
    written = "".join(
        _spelled(name, string, style) for name, string in zip(names, strings, strict=True)
    )
    yield min(each.begin for each in targets), max(each.end for each in targets), written
    kept = [flag for flag in flags if flag != "fuzzy"]
    kept = ["fuzzy", *kept] if is_fuzzy else kept
    line = f"#, {', '.join(kept)}{style.line_break}" if kept else ""
    if message.flags is not None and kept != flags:
        yield *message.flags, line
    elif message.flags is None and kept:
        begin = min(each.begin for each in message.fields.values())
        yield begin, begin, line
    for begin, end in message.previous if "fuzzy" in flags else ():
        yield begin, end, ""


def _has_placeholders(flags: Sequence[str], source: str, translation: str) -> bool:
    """Whether a translation has the placeholders of its source, where flags say that there are."""
    formats = [flag for flag in flags if flag.endswith("-format") and not flag.startswith("no-")]
    if not formats:
        return True
    pattern = _BRACES if any("brace" in each for each in formats) else _PERCENT
    return Counter(pattern.findall(source)) == Counter(pattern.findall(translation))


def _spelled(keyword: str, string: str, style: _Style) -> str:
    """A keyword with its string, in as many lines as it needs."""
    lines = [
        "".join(_SPELLED.get(character, character) for character in line)
        for line in string.splitlines(keepends=True)
    ] or [""]
    if style.wraps:
        lines = [part for line in lines for part in _wrapped(line)]
    if len(lines) > 1 or (style.wraps and len(keyword) + len(lines[0]) + 3 > _WIDTH):
        lines = ["", *lines]
    return f"{keyword} " + "".join(f'"{line}"{style.line_break}' for line in lines)


def _wrapped(line: str) -> Iterator[str]:
    """The parts of a line, each with its spaces, that fit into the width."""
    part = ""
    for word in re.findall(r"[^ ]* *", line):
        if part and len(part) + len(word) + 2 > _WIDTH:
            yield part
            part = ""
        part += word
    if part or not line:
        yield part

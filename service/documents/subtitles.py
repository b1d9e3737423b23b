"""Subtitles (.srt, .vtt): times, settings and notes stay, texts are translated by sentences.

The lines of a cue are one text. Where a sentence runs over cues, their texts are one too; the
translation of each sentence is spread over the cues that it ran over, by how much each had of it.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from model.text.sentences import split_sentences
from service.documents.document import Document, DocumentOptions
from service.documents.edits import edited
from service.documents.encoding import decoded
from service.documents.errors import DamagedDocumentError
from service.documents.inline import InlineUnit, Node, Point, Style, Text, says_words

__all__ = ["read"]

_TIMES = re.compile(
    r"^[ \t]*((?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})[ \t]*-->[ \t]*"
    r"((?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})[^\r\n]*(?:\r?\n|\r|\Z)",
    re.MULTILINE,
)
_BLANK = re.compile(r"(?:\r?\n|\r)[ \t]*(?=\r|\n|\Z)")
_LINE_BREAK = re.compile(r"\r?\n|\r")
_TAG = re.compile(r"</?[A-Za-z][^<>\r\n]*>|<\d[\d:.]*>|\{\\[^{}\r\n]*\}")
_TAG_NAME = re.compile(r"</?([A-Za-z0-9]+)")
_DASH = re.compile(r"[ \t]*[-\u2010-\u2015][ \t]*")
_ENDS = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u266a\u266b][\s\"'\u201d\u2019\u00bb)\]]*$")
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Signs of scripts that put no spaces between words."""
_MOST_LINES = 100
_MOST_TAGS = 10
"""Tags within each other that go with their words."""
_LONGEST_GAP = 2.0
"""Seconds between cues over which a sentence does not run."""
_MOST_PARTS = 8
_MOST_CHARACTERS = 600
"""A bound for texts that are read as one."""
_WIDTH = 42
"""Characters of a line from which on it is broken, unless the source has longer ones."""
_PAUSE_WORTH = 6
"""Characters that a cut may be further off for standing behind a comma."""


@dataclass(slots=True)
class _Part:
    """What one speaker says in a cue."""

    dash: str
    """Before it."""
    nodes: list[Node]
    widths: list[int]
    """Widths of its lines."""
    written: list[Node] = field(default_factory=list)
    """What is said in the translation."""


@dataclass(slots=True)
class _Cue:
    begin: int
    end: int
    """Where its text ends."""
    times: tuple[float, float]
    parts: list[_Part]


@dataclass(slots=True)
class _Sentence:
    """What is translated as one, and over which parts it runs."""

    unit: InlineUnit | None
    """None: it has no words."""
    nodes: list[Node]
    parts: list[_Part]
    sizes: list[int]


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    source = decoded(data)
    text = source.text
    syntax = _Syntax(is_vtt=text.lstrip("\ufeff").startswith("WEBVTT"))
    cues = list(options.limits.bounded(_cues(text, syntax)))
    if not cues and not syntax.is_vtt:
        raise DamagedDocumentError("the document must have subtitles with times, but has none")
    sentences = [
        sentence
        for parts in _chains(cues)
        for sentence in _sentences(parts, options.source or "en")
    ]
    units = [each.unit for each in sentences if each.unit is not None]
    line_break = "\r\n" if "\r\n" in text else "\n"

    def write(translations: Sequence[str]) -> bytes:
        remaining = iter(translations)
        for sentence in sentences:
            unit = sentence.unit
            nodes = sentence.nodes if unit is None else unit.nodes(next(remaining))
            _spread(sentence, nodes)
        edits = [(cue.begin, cue.end, syntax.written(cue, line_break)) for cue in cues]
        return source.encoded(edited(text, edits))

    return Document([unit.unit for unit in units], write)


@dataclass(frozen=True, slots=True)
class _Syntax:
    """How texts of cues are written."""

    is_vtt: bool

    def nodes(self, line: str) -> list[Node]:
        """A line as nodes: the style of a text are the tags that are open."""
        nodes: list[Node] = []
        opened: list[str] = []
        at = 0
        for found in _TAG.finditer(line):
            nodes.append(self._text(line[at : found.start()], opened))
            at = found.end()
            tag = found[0]
            if tag.startswith("</"):
                name = _name(tag)
                same = [place for place, each in enumerate(opened) if _name(each) == name]
                if same:
                    opened = opened[: same[-1]] + opened[same[-1] + 1 :]
            elif tag[0] == "<" and tag[1].isalpha() and len(opened) < _MOST_TAGS:
                opened = [*opened, tag]
            else:
                nodes.append(Point(tag))
        return [*nodes, self._text(line[at:], opened)]

    def _text(self, text: str, opened: Sequence[str]) -> Text:
        return Text(html.unescape(text) if self.is_vtt else text, tuple(opened))

    def written(self, cue: _Cue, line_break: str) -> str:
        """The text of a cue."""
        lines: list[str] = []
        for part in cue.parts:
            of_part = [self._spelled(line) for line in _lines(part)]
            lines += [part.dash + of_part[0], *of_part[1:]]
        return line_break.join(lines)

    def _spelled(self, nodes: Sequence[Node]) -> str:
        pieces: list[str] = []
        opened: tuple[str, ...] = ()
        for node in [*nodes, Text("", ())]:
            if isinstance(node, Point):
                pieces.append(node.content)
            elif isinstance(node, Text):
                style = node.style if isinstance(node.style, tuple) else ()
                if not node.text and style:
                    continue
                common = 0
                while common < min(len(opened), len(style)) and opened[common] == style[common]:
                    common += 1
                pieces += (f"</{_name(tag)}>" for tag in reversed(opened[common:]))
                pieces += style[common:]
                opened = style
                pieces.append(html.escape(node.text, quote=False) if self.is_vtt else node.text)
        return "".join(pieces)


def _name(tag: str) -> str:
    found = _TAG_NAME.match(tag)
    return found[1] if found else ""


def _cues(text: str, syntax: _Syntax) -> Iterator[_Cue]:
    times = list(_TIMES.finditer(text))
    for place, found in enumerate(times):
        last = times[place + 1].start() if place + 1 < len(times) else len(text)
        region = text[found.end() : last]
        blank = _BLANK.search(region)
        if blank is not None and not region[: blank.start()].strip():
            blank = _BLANK.search(region, len(region) - len(region.lstrip()))
        if blank is not None:
            region = region[: blank.start()]
        elif place + 1 < len(times):
            region = region[: region.rstrip("\r\n").rfind("\n") + 1]  # the next one's number
        begin = found.end() + len(region) - len(region.lstrip("\r\n"))
        end = found.end() + len(region.rstrip())
        if begin < end:
            lines = _LINE_BREAK.split(text[begin:end])
            if len(lines) > _MOST_LINES:
                raise DamagedDocumentError(
                    f"a subtitle must have at most {_MOST_LINES} lines, but has {len(lines)}"
                )
            parts = list(_parts(lines, syntax))
            yield _Cue(begin, end, (_seconds(found[1]), _seconds(found[2])), parts)


def _seconds(time: str) -> float:
    seconds = 0.0
    for number in time.replace(",", ".").split(":"):
        seconds = 60 * seconds + float(number)
    return seconds


def _parts(lines: Sequence[str], syntax: _Syntax) -> Iterator[_Part]:
    """What each speaker says: with several, each begins with a dash."""
    part: _Part | None = None
    for line in lines:
        dash = _DASH.match(line)
        if part is None or dash is not None:
            if part is not None:
                yield part
            part = _Part(dash[0] if dash else "", [], [])
        else:
            part.nodes.append(Text(" ", _last_style(part.nodes)))
        nodes = syntax.nodes(line[dash.end() :] if dash else line)
        part.widths.append(_size(nodes))
        part.nodes += nodes
    if part is not None:
        yield part


def _last_style(nodes: Sequence[Node]) -> Style:
    return next((node.style for node in reversed(nodes) if isinstance(node, Text)), ())


def _plain(nodes: Sequence[Node]) -> str:
    return "".join(node.text for node in nodes if isinstance(node, Text))


def _size(nodes: Sequence[Node]) -> int:
    return len(_plain(nodes))


def _chains(cues: Sequence[_Cue]) -> Iterator[list[_Part]]:
    """Parts that are read as one: sentences run from one to the next."""
    chain: list[_Part] = []
    end = 0.0
    for cue in cues:
        for place, part in enumerate(cue.parts):
            is_next = (
                chain
                and not place
                and cue.times[0] - end <= _LONGEST_GAP
                and len(chain) < _MOST_PARTS
                and sum(_size(each.nodes) for each in chain) < _MOST_CHARACTERS
                and _goes_on(chain[-1], part)
            )
            if chain and not is_next:
                yield chain
                chain = []
            chain.append(part)
        end = cue.times[1]
    if chain:
        yield chain


def _goes_on(part: _Part, following: _Part) -> bool:
    """Whether a sentence runs from one part to the next."""
    before, behind = _plain(part.nodes).strip(), _plain(following.nodes).strip()
    if not before or not behind or following.dash or _ENDS.search(before):
        return False
    if _voice(part) != _voice(following):
        return False
    first = next(filter(str.isalnum, behind), "")
    is_capital = first.isupper() and not before.isupper()
    return not is_capital or before.endswith(",") or re.match(r"I\b", behind) is not None


def _voice(part: _Part) -> str:
    """The tag that says who speaks, if there is one."""
    tags = (tag for node in part.nodes if isinstance(node, Text) for tag in node.style)
    return next((tag for tag in tags if _name(tag) == "v"), "")


def _sentences(parts: list[_Part], language: str) -> Iterator[_Sentence]:
    """The sentences of parts that are read as one. Within a single one they need not be told
    apart."""
    nodes: list[Node] = []
    ends: list[int] = []
    for part in parts:
        if nodes:
            nodes.append(Text(" ", _last_style(nodes)))
        nodes += part.nodes
        ends.append(_size(nodes))
    text = re.sub(r"[\v\f\x1c-\x1e\x85\u2028\u2029\t]", " ", _plain(nodes))
    begin = 0
    for sentence in split_sentences(text, language) if len(parts) > 1 else [text]:
        end = begin + len(sentence)
        own = _sliced(nodes, begin, end, is_last=end == len(text))
        over = [
            (part, min(end, last) - max(begin, first))
            for part, first, last in zip(parts, [0, *ends], ends, strict=False)
            if min(end, last) - max(begin, first) > 0
        ] or [(parts[0], 1)]
        # A space alone is no part of a sentence.
        large = [each for each in over if each[1] > 1] or over
        unit = InlineUnit(own) if says_words(own) else None
        yield _Sentence(unit, own, [part for part, _ in large], [size for _, size in large])
        begin = end


def _sliced(nodes: Sequence[Node], begin: int, end: int, *, is_last: bool) -> list[Node]:
    """The nodes of a part of their text."""
    sliced: list[Node] = []
    at = 0
    for node in nodes:
        if isinstance(node, Text):
            piece = node.text[max(begin - at, 0) : max(end - at, 0)]
            if piece:
                sliced.append(Text(piece, node.style))
            at += len(node.text)
        elif begin <= at < end or (is_last and at == end):
            sliced.append(node)
    return sliced


def _spread(sentence: _Sentence, nodes: list[Node]) -> None:
    """Gives each part its share of a translation."""
    nodes = _stripped(nodes)
    cuts = [0, *_cuts(_plain(nodes), sentence.sizes), _size(nodes)]
    for place, part in enumerate(sentence.parts):
        is_last = place == len(sentence.parts) - 1
        piece = _sliced(nodes, cuts[place], cuts[place + 1], is_last=is_last)
        if part.written and piece:
            part.written.append(Text(" ", _last_style(part.written)))
        part.written += piece


def _cuts(text: str, sizes: Sequence[int]) -> list[int]:
    """Where a text is cut into parts whose lengths are about as `sizes`: at spaces, if it has any,
    and best behind a comma."""
    spaces = [found.start() for found in re.finditer(" ", text)]
    has_spaces = _WITHOUT_SPACES.search(text) is None
    cuts: list[int] = []
    done = 0
    for size in sizes[:-1]:
        done += size
        ideal = len(text) * done / max(1, sum(sizes))
        last = cuts[-1] if cuts else 0
        places = [place for place in spaces if place > last] if has_spaces else [round(ideal)]
        cuts.append(min(places, key=lambda place: _cost(text, place, ideal), default=len(text)))
    return cuts


def _cost(text: str, place: int, ideal: float) -> float:
    pause = text[place - 1 : place] in (",", ";", ":", ".", "!", "?", "\u2026")
    return abs(place - ideal) - _PAUSE_WORTH * pause


def _lines(part: _Part) -> list[list[Node]]:
    """The translation of a part in as many lines as it had, or more where they would be long."""
    nodes = _stripped(part.written)
    size = _size(nodes)
    width = max(_WIDTH, *part.widths) * 1.1
    count = max(len(part.widths), min(math.ceil(size / width), _MOST_LINES))
    sizes = part.widths if count == len(part.widths) else [1] * count
    cuts = [0, *_cuts(_plain(nodes), sizes), size]
    lines = [
        _stripped(_sliced(nodes, cuts[place], cuts[place + 1], is_last=place == count - 1))
        for place in range(count)
    ]
    return [line for line in lines if line] or [[]]


def _stripped(nodes: Sequence[Node]) -> list[Node]:
    """Nodes without spaces at both ends, and with single ones between."""
    text = _plain(nodes)
    begin = len(text) - len(text.lstrip())
    return _sliced(nodes, begin, max(begin, len(text.rstrip())), is_last=True)

"""From aligned tokens to aligned words: pairs of spans of a text and of its translation.

Between a text and the ids that are read of it stand marks, small letters and plain punctuation;
between the ids that are written and the translation, final strings and capitals. Here
each character is followed through all of them. It costs time, and only who asks for it pays.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from model.text.runs import Reading, Rendered
from model.text.segmentation import Segment
from model.text.tokenizer import SourceEncoder, Tokenizer
from model.text.visible import origins as seen_from
from model.text.visible import visible
from model.text.word_links import WordLink
from model.text.words import Span, overlapping, words

__all__ = ["aligned_words", "source_spans", "target_spans", "tokens_attended"]

_NEAR = 8
"""Characters within which two texts that differ are looked through for where they go on."""


def tokens_attended(attended: Sequence[int], num_tokens: int, *, shifted: bool) -> Sequence[int]:
    """The place in the source of each of a hypothesis' tokens.

    Args:
        attended: of each of its steps (`Hypothesis.attended`).
        num_tokens: that it has, without the end token.
        shifted: whether a step attends to the source of the token that it reads; the last one of
            what was cut off is read by none.
    """
    if not shifted:
        return attended[:num_tokens]
    return [*attended[1:], *attended[-1:]][:num_tokens]


def aligned_words(
    segment: Segment,
    encoder: SourceEncoder,
    tokenizer: Tokenizer,
    token_ids: Sequence[int],
    attended: Sequence[int],
    rendered: Rendered | None,
) -> tuple[str, list[WordLink]]:
    """A segment's translation, and its words with those of `segment.text`, both in order.

    Args:
        segment: that was translated.
        encoder: that has read it.
        tokenizer: of the model.
        token_ids: of the translation.
        attended: the place in the segment's ids of each of them.
        rendered: the translation, if the segment is not read as it is.
    """
    of_source = source_spans(segment, encoder)
    text, of_target = target_spans(tokenizer, token_ids, rendered)
    fixed = _fixed(segment.reading, rendered)
    whole = [source for source, _ in fixed]
    kept = [target for _, target in fixed]
    source_words = words(segment.text, whole=whole, boundaries=_begins(of_source))
    target_words = words(text, whole=sorted(kept), boundaries=_begins(of_target))
    protected_sources, protected_targets = set(whole), set(kept)
    links = {WordLink(*pair) for pair in fixed}
    for target_span, place in zip(of_target, attended, strict=True):
        source_span = of_source[place]
        for i in overlapping(source_words, *source_span):
            for j in overlapping(target_words, *target_span):
                link = WordLink(source_words[i], target_words[j])
                if link.source not in protected_sources and link.target not in protected_targets:
                    links.add(link)
    return text, sorted(links)


def _fixed(reading: Reading | None, rendered: Rendered | None) -> list[tuple[Span, Span]]:
    """Where each run is in the source and in the translation."""
    if reading is None or rendered is None:
        return []
    found = {part.run: (part.begin, part.end) for part in rendered.parts if part.run is not None}
    return [
        ((run.begin, run.end), found[number])
        for number, run in enumerate(reading.runs)
        if number in found
    ]


def _begins(spans: Iterable[Span]) -> frozenset[int]:
    return frozenset(begin for begin, _ in spans)


# ---- From the source's ids back to its text ------------------------------------------------------


def source_spans(segment: Segment, encoder: SourceEncoder) -> list[Span]:
    """Where in `segment.text` each of its ids is, in order; those that are no text have empty spans
    at its ends."""
    reading = segment.reading
    read = segment.text if reading is None else reading.text
    origins = [(place, place + 1) for place in range(len(read))]
    if reading is not None:
        origins = _origins(reading)
    if encoder.normalizer is not None:
        normal = encoder.normalizer.normalize(read)
        origins = [_joined(origins[begin:end]) for begin, end in _followed(normal, read)]
        read = normal
    spans = [_joined(origins[begin:end]) for begin, end in encoder.vocabulary.spans(read)]
    before, after = len(encoder.before), len(encoder.after)
    end = len(segment.text)
    return [*[(0, 0)] * before, *spans, *[(end, end)] * after]


def _origins(reading: Reading) -> list[Span]:
    """Where in the sentence each character that is read of it comes from."""
    origins: list[Span] = []
    sentence = reading.sentence
    at = place = 0
    ends = [(len(sentence), len(sentence))]
    for (begin, end), (first, last) in zip(
        [*((run.begin, run.end) for run in reading.runs), *ends],
        [*reading.places, (len(reading.text), len(reading.text))],
        strict=True,
    ):
        part = sentence[at:begin]
        origins += [
            (at + left, at + right)
            for left, right in _origins_of_part(reading.text[place:first], part, reading.language)
        ]
        origins += [(begin, end)] * (last - first)
        at, place = end, last
    return origins


def _origins_of_part(read: str, part: str, language: str) -> list[Span]:
    """Where in `part` each character is from that is read of it."""
    seen = seen_from(part, language)
    followed = _followed(_caseless(read), _caseless(visible(part, language)))
    return [
        _joined(seen[begin:end]) if begin < end else _between(seen, begin)
        for begin, end in followed
    ]


def _between(spans: Sequence[Span], place: int) -> Span:
    """An empty span before the one at `place`."""
    at = spans[place][0] if place < len(spans) else spans[-1][1] if spans else 0
    return at, at


def _caseless(text: str) -> str:
    """In small letters, as long as before."""
    small = text.lower()
    if len(small) == len(text):
        return small
    return "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)


def _followed(text: str, origin: str) -> list[Span]:
    """Where each character of `text`, which is made of `origin` with small changes, is from."""
    spans: list[Span] = []
    at = 0
    for place, sign in enumerate(text):
        if origin[at : at + 1] != sign:
            left_out, put_in = _difference(text, place, origin, at)
            at += left_out
            if put_in or at == len(origin):
                spans.append((at, at))
                continue
        spans.append((at, at + 1))
        at += 1
    return spans


def _difference(text: str, place: int, origin: str, at: int) -> tuple[int, bool]:
    """How many characters of `origin` are left out here, and whether the one of `text` is new.

    Neither: it stands for the one of `origin`.
    """
    for length in range(1, _NEAR):
        if text[place : place + 2] == origin[at + length : at + length + 2]:
            return length, False
        if origin[at : at + 2] == text[place + length : place + length + 2]:
            return 0, True
    return 0, text[place].isspace()


# ---- From the target's ids to the translation ----------------------------------------------------


def target_spans(
    tokenizer: Tokenizer, token_ids: Sequence[int], rendered: Rendered | None = None
) -> tuple[str, list[Span]]:
    """The translation, as it is written or as it is rendered, and where in it each id is."""
    surfaces = tokenizer.surfaces(token_ids)
    if rendered is None:
        written = tokenizer.detokenize(token_ids).strip()
        return written, _found(surfaces, written)
    spans: list[Span] = []
    ends = list(accumulate(count for _, count in surfaces))
    for part in rendered.parts:
        if part.first == part.last:
            continue
        spans += [(part.begin, part.begin)] * (part.first - len(spans))  # what was left out
        if part.run is not None:
            spans += [(part.begin, part.end)] * (part.last - part.first)
            continue
        some = surfaces[bisect_right(ends, part.first) : bisect_right(ends, part.last)]
        text = rendered.text[part.begin : part.end]
        found = _found(some, text) if not rendered.all_caps else _found_capitals(some, text)
        spans += [(part.begin + begin, part.begin + end) for begin, end in found]
    end = len(rendered.text)
    return rendered.text, [*spans, *[(end, end)] * (len(token_ids) - len(spans))]


def _found_capitals(surfaces: Iterable[tuple[str, int]], text: str) -> list[Span]:
    """`_found` of what is put into capitals, which may have more letters."""
    return _found([(surface.upper(), count) for surface, count in surfaces], text)


def _found(surfaces: Iterable[tuple[str, int]], text: str) -> list[Span]:
    """Where in `text` what each id says is; ids of one part have the same span."""
    spans: list[Span] = []
    at = 0
    for surface, count in surfaces:
        begin = None
        for sign in surface:
            place = text.find(sign, at, at + (1 if sign.isspace() else _NEAR))
            if place >= 0:
                begin = place if begin is None else begin
                at = place + 1
        spans += [(at if begin is None else begin, at)] * count
    return spans


def _joined(spans: Sequence[Span]) -> Span:
    """From the first to the last of spans in order, the empty ones aside."""
    real = [span for span in spans if span[0] < span[1]]
    if not real:
        return spans[0] if spans else (0, 0)
    return real[0][0], max(end for _, end in real)

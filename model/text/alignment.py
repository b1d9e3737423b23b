"""From aligned tokens to aligned words: pairs of spans of a text and of its translation.

Between a text and the ids that are read of it stand placeholders, small letters and plain
punctuation; between the ids that are written and the translation, placeholders and capitals. Here
each character is followed through all of them. It costs time, and only who asks for it pays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from model.text.protection import Masked
from model.text.segmentation import Segment
from model.text.tokenizer import SourceEncoder, Tokenizer
from model.text.visible import origins as seen_from
from model.text.vocabulary import PLACEHOLDER, PLACEHOLDERS
from model.text.word_links import WordLink
from model.text.words import Span, overlapping, words

__all__ = ["aligned_words", "tokens_attended"]

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
) -> tuple[str, list[WordLink]]:
    """A segment's translation, and its words with those of `segment.text`, both in order.

    Args:
        segment: that was translated.
        encoder: that has read it.
        tokenizer: of the model.
        token_ids: of the translation.
        attended: the place in the segment's ids of each of them.
    """
    source_spans = _source_spans(segment, encoder)
    text, target_spans, kept = _target_spans(segment, tokenizer, token_ids)
    whole = [] if segment.masked is None else list(segment.masked.bounds)
    source_words = words(segment.text, whole=whole, boundaries=_begins(source_spans))
    target_words = words(text, whole=sorted(kept), boundaries=_begins(target_spans))
    fixed = set(zip(whole, kept, strict=True))
    protected_sources, protected_targets = set(whole), set(kept)
    links = {WordLink(*pair) for pair in fixed}
    for target_span, place in zip(target_spans, attended, strict=True):
        source_span = source_spans[place]
        for i in overlapping(source_words, *source_span):
            for j in overlapping(target_words, *target_span):
                link = WordLink(source_words[i], target_words[j])
                if link.source not in protected_sources and link.target not in protected_targets:
                    links.add(link)
    return text, sorted(links)


def _begins(spans: Iterable[Span]) -> frozenset[int]:
    return frozenset(begin for begin, _ in spans)


# ---- From the source's ids back to its text ------------------------------------------------------


def _source_spans(segment: Segment, encoder: SourceEncoder) -> list[Span]:
    """Where in `segment.text` each of its ids is; those that are no text have empty spans."""
    masked = segment.text if segment.masked is None else segment.masked.text
    of_masked = _origins_of_masked(segment.text, segment.masked)
    origins = [_joined(of_masked[begin:end]) for begin, end in seen_from(masked)]
    read = segment.read
    if encoder.normalizer is not None:
        normal = encoder.normalizer.normalize(read)
        origins = [_joined(origins[begin:end]) for begin, end in _followed(normal, read)]
        read = normal
    spans = [_joined(origins[begin:end]) for begin, end in encoder.vocabulary.spans(read)]
    before, after = len(encoder.before), len(encoder.after)
    return [*[(0, 0)] * before, *spans, *[(0, 0)] * after]


def _origins_of_masked(text: str, masked: Masked | None) -> list[Span]:
    """Where in `text` each character of the masked one comes from."""
    if masked is None or (not masked.bounds and masked.text == text):
        return [(place, place + 1) for place in range(len(text))]
    parts = PLACEHOLDER.split(masked.text) if masked.bounds else [masked.text]
    origins: list[Span] = []
    bounds = [(0, 0), *masked.bounds, (len(text), len(text))]
    for number, ((_, begin), (end, behind)) in enumerate(pairwise(bounds)):
        part = parts[2 * number]
        origins += [
            (begin + left, begin + right) for left, right in _followed(part, text[begin:end])
        ]
        if end < behind:
            origins.append((end, behind))
    return origins


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


def _target_spans(
    segment: Segment, tokenizer: Tokenizer, token_ids: Sequence[int]
) -> tuple[str, list[Span], list[Span]]:
    """The translation, where in it each id is, and where what the placeholders stand for is."""
    written = tokenizer.detokenize(token_ids).strip()
    spans = _found(tokenizer.surfaces(token_ids), written)
    if segment.all_caps:
        ends = [0, *accumulate(len(sign.upper()) for sign in written)]
        spans = [(ends[begin], ends[end]) for begin, end in spans]
        written = written.upper()
    if segment.masked is None:
        return written, spans, []
    filled = segment.masked.filled(written)
    places, kept = _places_in_filled(written, segment.masked, filled)
    spans = [_joined(places[begin:end]) for begin, end in spans]
    return filled, spans, kept


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


def _places_in_filled(written: str, masked: Masked, filled: str) -> tuple[list[Span], list[Span]]:
    """Where in `filled` each character of `written` is, and each span of `masked`."""
    waiting = dict(zip(PLACEHOLDERS, enumerate(masked.spans), strict=False))
    kept: list[Span] = [(0, 0)] * len(masked.bounds)
    places: list[Span] = []
    at = 0
    takes_out = bool(masked.bounds) or bool(PLACEHOLDER.search(written))
    for sign in written:
        if takes_out and sign in PLACEHOLDERS:
            number, span = waiting.pop(sign, (-1, None))
            length = 0 if span is None else len(span)
            if span is not None:
                kept[number] = (at, at + length)
        else:
            length = int(filled.startswith(sign, at))
        places.append((at, at + length))
        at += length
    for number, span in waiting.values():
        at += int(at > 0)  # a space
        kept[number] = (at, at + len(span))
        at += len(span)
    return places, kept


def _joined(spans: Sequence[Span]) -> Span:
    """From the first to the last of spans in order, the empty ones aside."""
    real = [span for span in spans if span[0] < span[1]]
    if not real:
        return spans[0] if spans else (0, 0)
    return real[0][0], max(end for _, end in real)

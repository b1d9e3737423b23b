"""Documents with markup as texts for a translator, and the translations of those as documents."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, islice

from model.errors import InvalidRequestError
from model.text.alternatives import best_sums
from model.text.markup.amounts import parts_amounts
from model.text.markup.attributes import with_attributes
from model.text.markup.block import Block, Document
from model.text.markup.documents import read_document
from model.text.markup.rendering import Rendered, Translated, render
from model.text.word_links import WordLink
from model.text.wrapping import unwrapped
from model.text_options import DETECTED_STRUCTURE, KeptSpan, TextFormat, TextOptions
from model.translation import FinishReason, TextDelta, Translation, TranslationHypothesis

__all__ = ["DocumentWriter", "Documents", "WrappedTexts", "plain_texts", "read_texts"]

DocumentWriter = Generator[tuple[TextDelta, ...], Translation, None]
"""What is written of documents: it is sent the translations of their texts one by one, and gives
what is decided by each. The first value is what needs none of them."""


class Documents:
    """The documents of a call.

    Args:
        sources: in the markup that `options` says.
        options: of the call.

    Raises:
        InvalidRequestError: one is no valid Unicode, or XML that is not well-formed.
    """

    def __init__(self, sources: Sequence[str], options: TextOptions) -> None:
        self._sources = sources
        self._options = options
        self._documents = [_read(index, source, options) for index, source in enumerate(sources)]
        blocks = [document.blocks for document in self._documents]
        self.texts: list[str] = []
        """What is translated of all of them; of each document its blocks, then its attributes."""
        spans: list[KeptSpan] = []
        parted: set[int] = set()
        for index, document in enumerate(self._documents):
            kept = [span for span in options.keep_spans if span.text == index]
            for block in blocks[index]:
                spans += _spans_of_block(len(self.texts), block, kept)
                if parts_amounts(block):
                    parted.add(len(self.texts))
                self.texts.append(block.text)
            self.texts += (attribute.block.text for attribute in document.attributes)
        self.text_options = replace(
            options, format=TextFormat.TEXT, keep_spans=tuple(spans), translate_attributes=False,
            ignore_tags=(), structure=DETECTED_STRUCTURE,
            parted_amounts=frozenset(parted),
        )  # fmt: skip
        """Those of `texts`."""

    def translations(
        self, of_texts: Iterable[Translation], return_alignments: bool
    ) -> Iterator[Translation | None]:
        """Each document's translation, and None after each step towards it.

        Args:
            of_texts: the translations of `texts`, with alignments.
            return_alignments: whether hypotheses tell which words of the documents say the same.
        """
        remaining = iter(of_texts)
        for source, document in zip(self._sources, self._documents, strict=True):
            count = len(document.blocks) + len(document.attributes)
            yield from self._translation(
                source, document, list(islice(remaining, count)), return_alignments
            )

    def writer(self) -> DocumentWriter:
        """What writes the documents, block by block; one with attributes as a whole."""
        decided: list[TextDelta] = []
        for index, (source, document) in enumerate(
            zip(self._sources, self._documents, strict=True)
        ):
            if document.attributes:
                chosen = []
                for _ in range(len(document.blocks) + len(document.attributes)):
                    chosen.append((yield tuple(decided)).hypotheses[0])
                    decided.clear()
                whole = "".join(each.text for each in self._rendered(source, document, chosen))
                decided.append(TextDelta(index, whole))
                continue
            translated: deque[Translated] = deque()
            rendered = render(document, iter(translated.popleft, None))
            for part in document.parts:
                if isinstance(part, Block):
                    translation = yield tuple(decided)
                    decided.clear()
                    translated.append(Translated(translation.text, translation.alignments or ()))
                decided.append(TextDelta(index, next(rendered).text))
        yield tuple(decided)

    def _translation(
        self,
        source: str,
        document: Document,
        parts: Sequence[Translation],
        return_alignments: bool,
    ) -> Iterator[Translation | None]:
        hypotheses: list[TranslationHypothesis] = []
        most = max((len(part.hypotheses) for part in parts), default=1)
        scores_of_parts = [
            [*accumulate((weight * each.score for each in part.hypotheses), min)]
            for weight, part in zip(_weights(parts), parts, strict=True)
        ]
        choices: list[list[int]] = []
        for step in best_sums(scores_of_parts, most):
            choices = step or choices
            yield None
        for choice in choices:
            chosen = [part.hypotheses[i] for part, i in zip(parts, choice, strict=True)]
            texts: list[str] = []
            links: list[WordLink] = []
            for rendered in self._rendered(source, document, chosen):
                texts.append(rendered.text)
                links += rendered.links if return_alignments else ()
                yield None
            scores = zip((each.score for each in chosen), _weights(parts), strict=True)
            hypotheses.append(
                TranslationHypothesis(
                    text="".join(texts),
                    score=sum(score * weight for score, weight in scores)
                    / max(1, sum(_weights(parts))),
                    alignments=tuple(sorted(links)) if return_alignments else None,
                )
            )
        yield _joined(parts, hypotheses)

    def _rendered(
        self, source: str, document: Document, chosen: Sequence[TranslationHypothesis]
    ) -> Iterator[Rendered]:
        """The parts of a document with hypotheses of its texts."""
        blocks = document.blocks
        if document.attributes:
            texts = [each.text for each in chosen[len(blocks) :]]
            document = _with_attributes(source, document, texts, self._options)
        return render(
            document,
            (Translated(each.text, each.alignments or ()) for each in chosen[: len(blocks)]),
        )


def _with_attributes(
    source: str, document: Document, texts: Sequence[str], options: TextOptions
) -> Document:
    """`document` with the translations of its attributes."""
    blocks = document.blocks
    written = read_document(
        with_attributes(source, document, texts),
        options.format,
        ignored=options.ignore_tags,
        structure=options.structure,
    )
    if [block.text for block in written.blocks] != [block.text for block in blocks]:
        return document  # a sign of a translation would be markup
    spans = iter(block.spans for block in blocks)
    return Document(
        parts=tuple(
            part if isinstance(part, str) else replace(part, spans=next(spans))
            for part in written.parts
        )
    )


class WrappedTexts:
    """The texts of a call whose paragraphs are hard-wrapped: see `Documents`.

    Raises:
        InvalidRequestError: one is no valid Unicode.
    """

    def __init__(self, sources: Sequence[str], options: TextOptions) -> None:
        for index, source in enumerate(sources):
            _check_unicode(index, source)
        self._unwrapped = [unwrapped(source) for source in sources]
        self.texts = [each.text for each in self._unwrapped]
        spans = (
            KeptSpan(span.text, *self._unwrapped[span.text].span(span.begin, span.end))
            for span in options.keep_spans
        )
        self.text_options = replace(options, format=TextFormat.TEXT, keep_spans=tuple(spans))

    def writer(self) -> DocumentWriter:
        """See `Documents.writer`; each text is written as a whole."""
        decided: tuple[TextDelta, ...] = ()
        for index, text in enumerate(self._unwrapped):
            translation = yield decided
            wrapped, _ = text.wrapped(translation.text)
            decided = (TextDelta(index, wrapped),)
        yield decided

    def translations(
        self, of_texts: Iterable[Translation], return_alignments: bool
    ) -> Iterator[Translation | None]:
        """See `Documents.translations`."""
        for text, translation in zip(self._unwrapped, of_texts, strict=True):
            hypotheses = []
            for each in translation.hypotheses:
                wrapped, places = text.wrapped(each.text)
                links = tuple(
                    WordLink(text.origin(*source), (places[begin], places[end - 1] + 1))
                    for source, (begin, end) in each.alignments or ()
                )
                hypotheses.append(
                    replace(each, text=wrapped, alignments=links if return_alignments else None)
                )
                yield None
            yield replace(translation, text=hypotheses[0].text, hypotheses=tuple(hypotheses))


def read_texts(sources: Sequence[str], options: TextOptions) -> Documents | WrappedTexts:
    """Texts in a format that is not plain text, as what a translator reads of them.

    Raises:
        InvalidRequestError: one is not in that format.
    """
    if options.format is TextFormat.WRAPPED:
        return WrappedTexts(sources, options)
    return Documents(sources, options)


def plain_texts(sources: Sequence[str], options: TextOptions) -> Sequence[str]:
    """What a translator reads of texts, without markup: of plain ones, all; raises as
    `read_texts`."""
    return sources if options.format is TextFormat.TEXT else read_texts(sources, options).texts


def _check_unicode(index: int, source: str) -> None:
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"`texts[{index}]`: must be valid Unicode, but has a lone surrogate at character "
            f"{error.start}"
        ) from None


def _read(index: int, source: str, options: TextOptions) -> Document:
    _check_unicode(index, source)
    try:
        return read_document(
            source,
            options.format,
            attributes=options.translate_attributes,
            ignored=options.ignore_tags,
            structure=options.structure,
        )
    except InvalidRequestError as error:
        raise InvalidRequestError(f"`texts[{index}]`: {error}") from error


def _spans_of_block(number: int, block: Block, kept: Iterable[KeptSpan]) -> Iterator[KeptSpan]:
    """The parts of a block's text that are written within spans of its document."""
    for span in kept:
        begin = bisect_right(block.spans, span.begin, key=lambda place: place[1])
        end = bisect_left(block.spans, span.end, key=lambda place: place[0])
        if begin < end:
            yield KeptSpan(number, begin, end)


def _weights(parts: Sequence[Translation]) -> list[int]:
    """Those of the texts' scores in that of the whole, as of sentences in that of a text."""
    return [part.target_tokens for part in parts]


def _joined(
    parts: Sequence[Translation], hypotheses: Sequence[TranslationHypothesis]
) -> Translation:
    """The translation of a document whose texts have those of `parts`."""
    cut_off = any(part.finish_reason is FinishReason.LENGTH for part in parts)
    first = (part.time_to_first_token_seconds for part in parts)
    num_sentences = sum(part.num_sentences for part in parts)
    return Translation(
        text=hypotheses[0].text,
        finish_reason=FinishReason.LENGTH if cut_off else FinishReason.STOP,
        score=hypotheses[0].score if num_sentences else None,
        hypotheses=tuple(hypotheses),
        source_tokens=sum(part.source_tokens for part in parts),
        target_tokens=sum(part.target_tokens for part in parts),
        num_sentences=num_sentences,
        queue_seconds=max((part.queue_seconds for part in parts), default=0.0),
        encode_seconds=max((part.encode_seconds for part in parts), default=0.0),
        decode_seconds=max((part.decode_seconds for part in parts), default=0.0),
        time_to_first_token_seconds=min(
            (seconds for seconds in first if seconds is not None), default=None
        ),
    )

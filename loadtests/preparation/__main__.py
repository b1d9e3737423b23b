"""`python -m loadtests.preparation`: what texts of all kinds cost before and behind the engine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from loadtests.corpus import Corpus
from loadtests.preparation.kinds import kinds
from loadtests.report import as_table
from model.checkpoints.embedded import EMBEDDED
from model.decoding.run_phrases import phrases_of
from model.text.languages import Pair
from model.text.segmentation import Segment, Segmenter
from model.text.tokenizer import Tokenizer

__all__ = ["Costs", "Measurement", "app", "main"]

_PAIR = Pair("en", "de")
_MAX_TOKENS = 100
_COLLECT_AFTER_OBJECTS = 10_000
"""As replicas collect garbage."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class Costs(NamedTuple):
    """CPU milliseconds of a thread for 1,000 characters, the least of some rounds."""

    segments: float
    """To cut them into segments."""
    phrases: float
    """To find what the search is told of their runs."""
    rendered: float
    """To put runs into translations, here of nothing else."""


class Measurement:
    """Measures texts by the embedded model from English to German."""

    def __init__(self) -> None:
        tokenizer = Tokenizer.from_file(Path(EMBEDDED["en-de"]) / "tokenizer.model")
        self._tokenizer = tokenizer
        self._encoder = tokenizer.source_encoder(_PAIR)
        self._segmenter = Segmenter(
            tokenizer, language=_PAIR.source, target=_PAIR.target,
            max_tokens=_MAX_TOKENS, placeholders=True,
        )  # fmt: skip

    def costs(self, text: str, rounds: int) -> Costs:
        """What a text costs."""
        segments = self._segmenter.segment(text).segments
        per_kilo = 1e6 / max(1, len(text))
        return Costs(
            per_kilo * _least(lambda: self._segmenter.segment(text), rounds),
            per_kilo * _least(lambda: self._phrases(segments), rounds),
            per_kilo * _least(lambda: self._rendered(segments), rounds),
        )

    def _phrases(self, segments: tuple[Segment, ...]) -> None:
        for segment in segments:
            if segment.reading is not None:
                phrases_of(segment.reading, segment.token_ids, self._encoder, self._tokenizer)

    def _rendered(self, segments: tuple[Segment, ...]) -> None:
        for segment in segments:
            if (reading := segment.reading) is not None:
                token_ids: list[int] = []
                spans: list[tuple[int, int, int]] = []
                for number, forms in enumerate(reading.forms):
                    ids = next(iter(self._tokenizer.forms(forms[0])), ())
                    if ids:
                        spans.append((len(token_ids), len(token_ids) + len(ids), number))
                        token_ids += ids
                self._segmenter.reader.rendered(reading, token_ids, spans)


def _least(work: Callable[[], object], rounds: int) -> float:
    """CPU seconds of this thread."""
    best = float("inf")
    for _ in range(rounds):
        start = time.thread_time()
        work()
        best = min(best, time.thread_time() - start)
    return best


@app.command()
def measure(
    characters: Annotated[int, typer.Option(min=100, help="Of each text.")] = 4000,
    rounds: Annotated[int, typer.Option(min=1, help="The least of so many counts.")] = 5,
    most: Annotated[float, typer.Option(min=0, help="Milliseconds that are enough.")] = 2.0,
    worst: Annotated[int, typer.Option(min=1, help="Kinds that are told.")] = 10,
) -> None:
    """Cuts short pieces of many kinds, repeated, into segments, and sentences of a corpus."""
    measurement = Measurement()
    natural = "\n".join(Corpus.read().sentences)[:characters]
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)
    found = {name: measurement.costs(text, rounds) for name, text in kinds(characters)}
    dear = sum(costs.segments > most for costs in found.values())
    told = sorted(found.items(), key=lambda each: each[1], reverse=True)[:worst]
    rows = [
        (ascii(name), *(f"{cost:.2f}" for cost in costs))
        for name, costs in [("natural", measurement.costs(natural, rounds)), *told]
    ]
    print(as_table((("kind", "segments", "phrases", "rendered"), rows)))
    print(f"\n{dear} of {len(found)} kinds take more than {most:g} ms for 1,000 characters to cut.")


def main() -> None:
    """Runs the command."""
    app()


if __name__ == "__main__":
    main()

"""`python -m model.training.placeholder_evaluation FILE --model MODEL`: how placeholders fare.

Addresses, tags and the like are put into the sentences of FILE, which are then translated.

What placeholders stand for is in the translation by construction (model/text/protection.py), so
that it is there says little. Counted is therefore also how often the model itself puts each in
once, and how good the translation around them is: BLEU without the things, beside that of the same
sentences that never had any.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sacrebleu

from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.embedded import model_directory
from model.config import EngineConfig
from model.engine.engine import Engine
from model.text.segmentation import Segment, SegmentedText, Segmenter
from model.text.vocabulary import PLACEHOLDERS
from model.training.text import read_pairs
from model.training.variations import Pair, vary

__all__ = ["main", "put_in", "taken_out"]

THINGS = (
    "{name}", "https://example.com/a?b=1", "info@example.org", "%s", "@anna", "#news", "`ls -l`",
    "C:\\temp\\a.txt", "&amp;", "<br/>", "www.example.org",
)  # fmt: skip
"""One for each placeholder, all of them kinds that are recognised."""


def main() -> None:
    """Prints one line of JSON."""
    options = _options()
    pairs = [pair[::-1] if options.reverse else pair for pair in read_pairs(options.file)]
    order = np.random.default_rng(1).permutation(len(pairs))
    chosen = [(pairs[i][0], pairs[i][1]) for i in order[: 2 * options.lines]]
    varied = vary(chosen, ["placeholders"], [1])[: options.lines]
    with_things = [(put_in(source), put_in(target)) for source, target in varied]
    plain = [(taken_out(source), taken_out(target)) for source, target in with_things]
    directory = Path(model_directory(options.model))
    found, placed = _translations(directory, [source for source, _ in with_things])
    alone, _ = _translations(directory, [source for source, _ in plain])
    kept = [
        all(text.count(thing) == source.count(thing) for thing in THINGS)
        for (source, _), text in zip(with_things, found, strict=True)
    ]
    facts = {
        "file": options.file.name,
        "model": options.model,
        "lines": len(varied),
        "all_things_kept": round(sum(kept) / len(kept), 4),
        "segments_with_placeholders": len(placed),
        "placed_by_the_model": sum(placed),
        "bleu_with_things": _bleu(found, with_things),
        "bleu_without_them": _bleu(list(map(taken_out, found)), plain),
        "bleu_never_with_them": _bleu(alone, plain),
    }
    print(json.dumps(facts))


def put_in(text: str) -> str:
    """`text` with things instead of its placeholders."""
    return text.translate(dict(zip(map(ord, PLACEHOLDERS), THINGS, strict=True)))


def taken_out(text: str) -> str:
    """`text` without the things, and with single spaces."""
    for thing in THINGS:
        text = text.replace(thing, " ")
    return " ".join(text.split())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m model.training.placeholder_evaluation", description=__doc__
    )
    parser.add_argument("file", type=Path, help="source<TAB>target lines")
    parser.add_argument(
        "--model", required=True, help="directory, or the name of an embedded model"
    )
    parser.add_argument("--reverse", action="store_true", help="the first column is the target")
    parser.add_argument("--lines", type=int, default=1000)
    return parser.parse_args()


def _translations(directory: Path, texts: Sequence[str]) -> tuple[list[str], list[bool]]:
    """The translations, and whether the model put each placeholder of a segment in once."""
    checkpoint = load_checkpoint(directory)
    metadata = checkpoint.metadata
    engine = Engine(checkpoint.model, EngineConfig(device="cpu", max_waiting=10 * len(texts)))
    segmenter = Segmenter(
        checkpoint.tokenizer,
        language=metadata.source_languages[0],
        max_tokens=metadata.max_source_tokens or engine.max_source_tokens,
        lowercase_all_caps=metadata.lowercase_all_caps,
        placeholders=metadata.placeholders,
    )
    segmented = [segmenter.segment(text) for text in texts]
    sources = [segment.token_ids for text in segmented for segment in text.segments]
    try:
        futures = engine.submit(sources, checkpoint.generation)
        ids = [future.result().hypotheses[0].token_ids for future in futures]
    finally:
        engine.close()
    tokenizer, reader = checkpoint.tokenizer, segmenter.reader
    written = [tokenizer.detokenize(each).strip() for each in ids]
    segments = [segment for text in segmented for segment in text.segments]
    rendered = [
        text if segment.reading is None else reader.rendered(segment.reading, each, ()).text
        for segment, each, text in zip(segments, ids, written, strict=True)
    ]
    return _joined(segmented, rendered), _placed(segments, written)


def _joined(segmented: Sequence[SegmentedText], rendered: Sequence[str]) -> list[str]:
    waiting = iter(rendered)
    return [text.join([next(waiting) for _ in text.segments]) for text in segmented]


def _placed(segments: Sequence[Segment], written: Sequence[str]) -> list[bool]:
    return [
        sorted(sign for sign in text if sign in PLACEHOLDERS)
        == list(PLACEHOLDERS[: len(segment.reading.runs)])
        for segment, text in zip(segments, written, strict=True)
        if segment.reading is not None and segment.reading.runs
    ]


def _bleu(found: list[str], pairs: Sequence[Pair]) -> float:
    return round(sacrebleu.corpus_bleu(found, [[target for _, target in pairs]]).score, 1)


if __name__ == "__main__":
    main()

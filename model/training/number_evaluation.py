"""`python -m model.training.number_evaluation --model MODEL`: how many numbers keep their values.

Translated are generated sentences with numbers of every kind, or those lines of FILE whose sources
have digits. Counted are the sentences in whose translation every value is found, and no digit that
belongs to none. For lines of FILE, BLEU is told as well, and in how many of those with several
numbers these stand in another order than in source and reference.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import sacrebleu

from model.config import EngineConfig
from model.training.number_sentences import LANGUAGES, number_sentences, values_kept
from model.training.robustness.numbers import NumberLanguage, numbers_kept, same_numbers
from model.training.text import read_pairs
from model.translator import Translator

__all__ = ["main"]


def main() -> None:
    """Prints one line of JSON."""
    options = _options()
    with Translator.load(options.model, EngineConfig(device="cpu")) as translator:
        languages = translator.languages
        source, target = languages.sources[0], languages.targets[0]
        if not {source, target} <= set(LANGUAGES):
            raise SystemExit(f"languages must be of {', '.join(LANGUAGES)}")
        facts: dict[str, object] = {"model": options.model, "pair": f"{source}-{target}"}
        if options.file is None:
            facts |= _generated(translator, source, target, options)
        else:
            facts |= _natural(translator, cast(NumberLanguage, target), options)
    print(json.dumps(facts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m model.training.number_evaluation", description=__doc__
    )
    parser.add_argument("file", type=Path, nargs="?", help="source<TAB>target lines")
    parser.add_argument("--model", required=True, help="directory, or a model's name")
    parser.add_argument("--reverse", action="store_true", help="the first column is the target")
    parser.add_argument("--sentences", type=int, default=10_000, help="how many are generated")
    parser.add_argument("--show", type=int, default=0, help="failures to print on stderr")
    return parser.parse_args()


def _generated(
    translator: Translator, source: str, target: str, options: argparse.Namespace
) -> dict[str, object]:
    sentences = number_sentences(source, target, options.sentences)
    translations, seconds = _translations(translator, [each.text for each in sentences])
    lost: Counter[str] = Counter()
    kept = with_added = 0
    shown: list[str] = []
    for sentence, translation in zip(sentences, translations, strict=True):
        missing, has_more = values_kept(sentence, translation)
        lost.update(missing)
        with_added += has_more
        kept += not (missing or has_more)
        if missing or has_more:
            shown.append(f"{missing} {has_more}\n  {sentence.text}\n  {translation}")
    _show(shown, options.show)
    return {
        "generated": len(sentences),
        "values_kept_and_none_added": round(kept / len(sentences), 4),
        "with_digits_added": with_added,
        "values_lost": dict(lost.most_common()),
        "seconds": round(seconds, 1),
    }


def _natural(
    translator: Translator, target: NumberLanguage, options: argparse.Namespace
) -> dict[str, object]:
    pairs = [pair[::-1] if options.reverse else pair for pair in read_pairs(options.file)]
    chosen = [pair for pair in pairs if any(map(str.isdecimal, pair[0]))]
    translations, seconds = _translations(translator, [source for source, _ in chosen])
    kept = [
        numbers_kept(source, translation, target)
        for (source, _), translation in zip(chosen, translations, strict=True)
    ]
    shown = [
        f"  {source}\n  {translation}\n  {reference}"
        for (source, reference), translation, each in zip(chosen, translations, kept, strict=True)
        if not each
    ]
    _show(shown, options.show)
    several = moved = 0
    for (source, reference), translation in zip(chosen, translations, strict=True):
        order, found, expected = same_numbers(source, translation, reference)
        several += len(order) > 1
        moved += found not in (order, expected)
    references = [reference for _, reference in chosen]
    return {
        "file": options.file.name,
        "lines_with_digits": len(chosen),
        "values_kept": round(sum(kept) / len(kept), 4),
        "values_kept_in_references": round(
            sum(numbers_kept(source, reference, target) for source, reference in chosen)
            / len(kept),
            4,
        ),
        "lines_with_several": several,
        "in_another_order": moved,
        "bleu": round(sacrebleu.corpus_bleu(translations, [references]).score, 2),
        "seconds": round(seconds, 1),
    }


def _translations(translator: Translator, texts: Sequence[str]) -> tuple[list[str], float]:
    started = time.monotonic()
    found = [translation.text for translation in translator.translate_stream(texts)]
    return found, time.monotonic() - started


def _show(failures: Sequence[str], count: int) -> None:
    for failure in failures[:count]:
        print(failure, file=sys.stderr)


if __name__ == "__main__":
    main()

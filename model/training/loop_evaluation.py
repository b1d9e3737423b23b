"""`python -m model.training.loop_evaluation [FILE ...] --model MODEL`: translations that are loops.

Translated are the sources of FILEs, or else generated sentences that repeat something on purpose.
Counted are translations that are loops, as the robustness checks see them and as the translator
does, without the limit of repeats and with it; what the limit changed that was no loop; and, in
files, references that the translator would take for loops.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import sacrebleu

from model.config import EngineConfig, GenerationConfig
from model.text.loops import find_loop, most_copies_said
from model.training.repeated_sentences import LANGUAGES, repeated_sentences
from model.training.robustness.checks import is_loop
from model.training.text import read_pairs
from model.translator import Translator

__all__ = ["main"]


class _Line(NamedTuple):
    source: str
    reference: str
    """Empty of what is generated."""


def main() -> None:
    """Prints one line of JSON."""
    options = _options()
    with Translator.load(options.model, EngineConfig(device="cpu", num_threads=1)) as translator:
        lines = _lines(options, translator.languages.sources[0])
        search = translator.generation
        if options.greedy:
            search = replace(search, beam_size=1, num_hypotheses=1)
        sources = [line.source for line in lines]
        free = _translations(translator, sources, replace(search, limit_repeats=False))
        limited = _translations(translator, sources, replace(search, limit_repeats=True))
    if options.output is not None:
        options.output.write_text(
            "".join(
                json.dumps([*line, *both], ensure_ascii=False) + "\n"
                for line, *both in zip(lines, free, limited, strict=True)
            ),
            encoding="utf-8",
        )
    facts = {"model": options.model, "beam_size": search.beam_size, "texts": len(lines)}
    print(json.dumps(facts | _counted(lines, free, limited, options)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m model.training.loop_evaluation", description=__doc__
    )
    parser.add_argument("files", type=Path, nargs="*", help="source<TAB>target lines")
    parser.add_argument("--model", required=True, help="directory, or a model's name")
    parser.add_argument("--reverse", action="store_true", help="the first column is the target")
    parser.add_argument("--sentences", type=int, default=1000, help="how many are generated")
    parser.add_argument("--greedy", action="store_true", help="with a beam of one")
    parser.add_argument("--output", type=Path, help="file for all texts, a JSON array a line")
    parser.add_argument("--show", type=int, default=0, help="of each kind to print on stderr")
    return parser.parse_args()


def _lines(options: argparse.Namespace, language: str) -> list[_Line]:
    if not options.files:
        if language not in LANGUAGES:
            raise SystemExit(f"the source language must be of {', '.join(LANGUAGES)}")
        return [_Line(text, "") for text in repeated_sentences(language, options.sentences)]
    pairs = [pair for file in options.files for pair in read_pairs(file)]
    return [_Line(*(pair[::-1] if options.reverse else pair)) for pair in pairs]


def _translations(
    translator: Translator, sources: Sequence[str], search: GenerationConfig
) -> list[str]:
    return [each.text for each in translator.translate_stream(sources, generation=search)]


def _counted(
    lines: Sequence[_Line],
    free: Sequence[str],
    limited: Sequence[str],
    options: argparse.Namespace,
) -> dict[str, object]:
    sources = [line.source for line in lines]
    changed = [n for n in range(len(lines)) if free[n] != limited[n]]
    kinds = {
        "loops_without_limit": _loops(sources, free),
        "loops": _loops(sources, limited),
        "own_loops": [n for n in range(len(lines)) if find_loop(sources[n], limited[n])],
        # Where it is said once more than in the source, the limit of blocks may be right, too.
        "changed_no_loop": [n for n in changed if not _is_repetitive(sources[n], free[n])],
        "references_taken_for_loops": [
            n for n, line in enumerate(lines) if find_loop(line.source, line.reference)
        ],
    }
    for name, numbers in kinds.items():
        for n in numbers[: options.show]:
            print(
                f"{name}\n  {sources[n]}\n  {free[n]}\n  {limited[n]}", file=sys.stderr, flush=True
            )
    facts: dict[str, object] = {"changed": len(changed)}
    facts |= {name: len(numbers) for name, numbers in kinds.items()}
    if options.files:
        references = [[line.reference for line in lines]]
        facts["bleu_without_limit"] = round(sacrebleu.corpus_bleu(free, references).score, 2)
        facts["bleu"] = round(sacrebleu.corpus_bleu(limited, references).score, 2)
    return facts


def _loops(sources: Sequence[str], translations: Sequence[str]) -> list[int]:
    return [
        n
        for n, (source, translation) in enumerate(zip(sources, translations, strict=True))
        if is_loop(source, translation)
    ]


def _is_repetitive(source: str, translation: str) -> bool:
    """Whether a translation says something more often in a row than its source."""
    return most_copies_said(translation) > most_copies_said(source)


if __name__ == "__main__":
    main()

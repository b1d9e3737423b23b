"""`python -m model.training.term_evaluation FILE --model MODEL`: how many terms translations have.

Terms are words of FILE's sources with the words of their references by which pairs of LEXICON say
them; each line has its own glossary. Told are the share of terms that are in the translation as
they are in the reference, and BLEU, without the glossaries and with them; and for a sentence with
no, one and ten terms the CPU time by that without a glossary.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import sacrebleu

from model.config import EngineConfig
from model.text_options import NO_TEXT_OPTIONS, GlossaryEntry, TextOptions
from model.training.lexicon import WORD, lexicon
from model.training.text import read_pairs
from model.translator import Translator

__all__ = ["main"]

_SENTENCE = (
    "The old teacher told the children about a small house near the river, where his sister had a "
    "garden with apples, a dog and a cat."
)
_WORDS = (
    "teacher",
    "children",
    "house",
    "river",
    "sister",
    "garden",
    "apples",
    "dog",
    "cat",
    "old",
)
_ROUNDS = 30


class _Line(NamedTuple):
    source: str
    reference: str
    terms: tuple[GlossaryEntry, ...]


def main() -> None:
    """Prints one line of JSON."""
    options = _options()
    lines = _lines(options)
    if not lines:
        raise SystemExit("no line of the file has a term of the lexicon")
    with Translator.load(options.model, EngineConfig(device="cpu", num_threads=1)) as translator:
        sources = [line.source for line in lines]
        plain = [each.text for each in translator.translate_stream(sources)]
        bound = [
            translator.translate([line.source], text_options=TextOptions(glossary=line.terms))[0]
            for line in lines
        ]
        times = _times(translator)
    with_terms = [each.text for each in bound]
    for line, translation in zip(lines, with_terms, strict=True):
        if options.show and _count(line, translation) < len(line.terms):
            options.show -= 1
            print(f"{line.terms}\n  {line.source}\n  {translation}", file=sys.stderr)
    facts = {
        "model": options.model,
        "lines": len(lines),
        "terms": sum(len(line.terms) for line in lines),
        "plain": _figures(lines, plain),
        "glossary": _figures(lines, with_terms),
        "cpu_time": times,
    }
    print(json.dumps(facts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m model.training.term_evaluation", description=__doc__
    )
    parser.add_argument("file", type=Path, help="source<TAB>target lines")
    parser.add_argument("--lexicon", type=Path, required=True, help="the same, tens of thousands")
    parser.add_argument("--model", required=True, help="directory, or a model's name")
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--terms", type=int, default=3, help="most of a line")
    parser.add_argument("--show", type=int, default=0, help="failures to print on stderr")
    return parser.parse_args()


def _lines(options: argparse.Namespace) -> list[_Line]:
    known = dict(lexicon([*read_pairs(options.lexicon)]))
    lines = []
    for source, reference in read_pairs(options.file):
        said = set(WORD.findall(reference))
        words = [word for word in dict.fromkeys(WORD.findall(source)) if known.get(word) in said]
        terms = [GlossaryEntry(word, (known[word],)) for word in words if len(word) > 3]
        if terms:
            lines.append(_Line(source, reference, tuple(terms[: options.terms])))
    return lines[: options.lines]


def _count(line: _Line, translation: str) -> int:
    """How many of its terms a translation has, in the case of the reference or capitalised."""
    forms = (entry.targets[0] for entry in line.terms)
    return sum(
        re.search(
            rf"(?<!\w)(?:{re.escape(form)}|{re.escape(form.capitalize())})(?!\w)", translation
        )
        is not None
        for form in forms
    )


def _figures(lines: Sequence[_Line], translations: Sequence[str]) -> dict[str, float]:
    found = sum(map(_count, lines, translations))
    references = [line.reference for line in lines]
    return {
        "terms": round(found / sum(len(line.terms) for line in lines), 4),
        "bleu": round(sacrebleu.corpus_bleu(translations, [references]).score, 2),
    }


def _times(translator: Translator) -> dict[str, float]:
    """CPU time of a sentence with so many terms, by that without a glossary; taken in turns."""
    unused = tuple(GlossaryEntry(f"no such term {number}", ("x",)) for number in range(1000))
    entries = tuple(GlossaryEntry(word, (f"{word}x",)) for word in _WORDS)
    contenders = {
        "without": NO_TEXT_OPTIONS,
        "0 of 1000": TextOptions(glossary=unused),
        "1": TextOptions(glossary=entries[:1]),
        "10": TextOptions(glossary=entries),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(_ROUNDS):
        for name, options in contenders.items():
            begun = time.process_time()
            translator.translate([_SENTENCE], text_options=options)
            taken[name].append(time.process_time() - begun)
    base = median(taken["without"])
    return {name: round(median(each) / base, 3) for name, each in taken.items()}


if __name__ == "__main__":
    main()

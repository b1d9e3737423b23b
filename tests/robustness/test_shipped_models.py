"""The models that come with the project, on the set of each of their directions."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.checkpoints.embedded import EMBEDDED
from model.checkpoints.manifest import read_manifest
from model.config import EngineConfig
from model.training.evaluation import evaluate_robustness
from model.training.robustness.cases import read_set
from model.translator import Translator

HERE = Path(__file__).parent
SETS = {"en-de": 220, "de-en": 150}
"""Their fewest cases."""
CATEGORIES = {
    "greetings", "questions", "numbers", "dates and times", "names", "negation", "lists", "typos",
    "all caps", "no punctuation", "lower case", "emoji", "one word", "very long",
    "addresses and markup", "repeated words", "mixed languages", "several sentences",
}  # fmt: skip

LEAST_PASS_RATE = {"en-de": 0.84, "de-en": 0.84}
"""A little below what was measured: other CPUs round differently. A better model raises it."""


def _shipped() -> Iterator[tuple[Path, str]]:
    for directory in EMBEDDED.values():
        for source, target in read_manifest(directory).metadata.pairs:
            yield directory, f"{source}-{target}"


@pytest.mark.parametrize("direction", SETS)
def test_a_set_is_whole(direction: str) -> None:
    found = read_set(HERE / f"{direction}.yaml")
    assert f"{found.source}-{found.target}" == direction
    assert sum(map(len, found.cases.values())) >= SETS[direction]
    assert set(found.cases) >= CATEGORIES
    assert all(len(case.text.split()) >= 80 for case in found.cases["very long"])
    assert all(case.text.isupper() for case in found.cases["all caps"])
    assert all(len(case.text.split()) == 1 for case in found.cases["one word"])
    for group in found.cases.values():
        for case in group:
            for kept in case.keep:
                wanted = [
                    name for name in kept.split("|") if name.casefold() in case.text.casefold()
                ]
                assert wanted, f"{kept!r} must be in {case.text!r} to be kept"


@pytest.mark.parametrize(("directory", "direction"), list(_shipped()))
def test_a_shipped_model_is_robust(directory: Path, direction: str) -> None:
    report = evaluate_robustness(
        directory, HERE / f"{direction}.yaml", engine=EngineConfig(device="cpu", num_threads=1)
    )
    counts = report.failure_counts()
    assert counts.get("empty", 0) == 0
    assert counts.get("repetition", 0) == 0
    assert report.pass_rate >= LEAST_PASS_RATE[direction], "\n".join(report.table())


@pytest.mark.parametrize(("directory", "direction"), list(_shipped()))
def test_a_shipped_model_puts_something_between_two_tags(directory: Path, direction: str) -> None:
    cases = read_set(HERE / f"{direction}.yaml").cases
    sentences = [
        case.text.split()
        for category in ("questions", "negation", "names", "numbers")
        for case in cases[category]
    ]
    texts = [" ".join([*words[:2], f"<b>{words[2]}</b>", *words[3:]]) for words in sentences]
    with Translator.load(directory, EngineConfig(device="cpu", num_threads=1)) as translator:
        translations = [translation.text for translation in translator.translate(texts)]
    assert all(text.count("<b>") == text.count("</b>") == 1 for text in translations)
    # What the model itself forgets stands behind the end, with a space before it. 90 and 89 % are
    # measured.
    placed = [text for text in translations if re.search(r"<b>\S(.*\S)?</b>", text)]
    assert len(placed) >= 0.85 * len(texts), sorted(set(translations) - set(placed))

"""Sets are read strictly: a text is what was written, a mistake is named with its place."""

from pathlib import Path

import pytest

from model.errors import RecipeError
from model.training.robustness.cases import Case, read_set

HEAD = "source: en\ntarget: de\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "set.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_texts_alone_and_texts_with_expectations(tmp_path: Path) -> None:
    lines = (
        'cases:\n  short: [No, 12:30, "a: b"]\n  long:\n  - {text: I, negated: false, keep: [12]}'
    )
    found = read_set(written(tmp_path, HEAD + lines))
    assert (found.source, found.target) == ("en", "de")
    assert found.cases == {
        "short": (Case(text="No"), Case(text="12:30"), Case(text="a: b")),
        "long": (Case(text="I", negated=False, keep=("12",)),),
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cases: [", "cannot read"),
        ("- Hello", "the file"),
        (HEAD, "cases: Field required"),
        (HEAD + "cases: {}", "cases"),
        (HEAD + "cases: {short: []}", "cases.short"),
        (HEAD + "cases: {short: Hello}", "cases.short"),
        (HEAD + 'cases: {short: [""]}', "cases.short.0.text"),
        (HEAD + "cases: {short: [{keep: [a]}]}", "cases.short.0.text: Field required"),
        (HEAD + "cases: {short: [{text: a, kept: [a]}]}", "cases.short.0.kept"),
        (HEAD + "cases: {short: [{text: a, negated: perhaps}]}", "cases.short.0.negated"),
        (HEAD + "cases: {short: [a], long: [a]}", "each text once, but has \\['a'\\]"),
        ("source: en\ntarget: fr\ncases: {short: [a]}", "target"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=problem):
        read_set(written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read"):
        read_set(tmp_path / "none.yaml")

"""Text is read whole or refused by name, and what takes long is done once."""

import gzip
import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from model.errors import RecipeError
from model.training import text
from model.training.recipe import CorpusRecipe, DataRecipe, Recipe, VariationRecipe
from model.training.run_folder import RunFolder
from model.training.text import prepare_text, read_pairs, training_text, validation_pairs
from model.training.variations import Pair
from tests.tiny_model import build_tiny_model


def recipe(*corpora: CorpusRecipe, **data: object) -> Recipe:
    return Recipe(
        name="tiny", license="none", source_language="en", target_language="de",
        data=DataRecipe(train=corpora, valid=("a.tsv",), **data),  # type: ignore[arg-type]
    )  # fmt: skip


def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.mark.parametrize(("suffix", "opener"), [("", open), (".xz", lzma.open), (".gz", gzip.open)])
def test_files_are_read_packed_or_not(tmp_path: Path, suffix: str, opener) -> None:
    path = tmp_path / f"a.tsv{suffix}"
    with opener(path, "wb") as file:
        file.write("one\teins\nzwei\u2028 lines\tein\r\n".encode())
    assert list(read_pairs(path)) == [("one", "eins"), ("zwei\u2028 lines", "ein")]


def test_only_line_feeds_end_lines_and_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes("\ufeffone\x0c1\teins\x85\n\x1ctwo\t\u2029zwei\n".encode())
    assert list(read_pairs(tmp_path / "a.tsv")) == [
        ("one\x0c1", "eins\x85"),
        ("\x1ctwo", "\u2029zwei"),
    ]


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    for suffix, opener in ((".gz", gzip), (".xz", lzma)):
        whole = bytearray(opener.compress(b"".join(b"%d\t%d\n" % (i, i) for i in range(999))))
        middle = len(whole) // 2
        for name, content in (
            ("cut", whole[:middle]),
            ("garbled", whole[:20] + bytes(range(64)) + whole[84:]),
        ):
            path = tmp_path / f"{name}.tsv{suffix}"
            path.write_bytes(content)
            with pytest.raises(RecipeError, match="cannot read"):
                list(read_pairs(path))


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("one\teins\nno tab\n")
    with pytest.raises(RecipeError, match="line 2 must be source<TAB>target, but has 0 tabs"):
        list(read_pairs(path))
    with pytest.raises(RecipeError, match="cannot read"):
        list(read_pairs(tmp_path / "none.tsv"))
    (tmp_path / "b.tsv.xz").write_bytes(b"no xz")
    with pytest.raises(RecipeError, match="cannot read"):
        list(read_pairs(tmp_path / "b.tsv.xz"))


def test_text_can_be_turned_round(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("one\teins\n")
    turned = recipe(CorpusRecipe(path="a.tsv"), reverse=True)
    assert list(training_text(turned, tmp_path, folder(tmp_path))) == [[("eins", "one")]]
    assert validation_pairs(turned.data, tmp_path) == {"a": [("eins", "one")]}


def test_variations_come_on_top_and_are_always_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("".join(f"One {i}\tEins {i}\n" for i in range(100)))
    varied = recipe(
        CorpusRecipe(path="a.tsv"),
        variations=(
            VariationRecipe(kinds=("lowercase",), share=0.2),
            VariationRecipe(kinds=("uppercase",), share=0.05),
        ),
    )
    (pairs,) = training_text(varied, tmp_path, folder(tmp_path))
    assert pairs[:100] == [(f"One {i}", f"Eins {i}") for i in range(100)]
    lower, upper = pairs[100:120], pairs[120:]
    assert all(source.startswith("one") and target.startswith("Eins") for source, target in lower)
    assert len(set(lower)) == 20
    assert len(upper) == 5
    assert all(source.startswith("ONE") and target.startswith("EINS") for source, target in upper)
    assert [pairs] == list(training_text(varied, tmp_path, folder(tmp_path)))


def test_what_a_model_has_to_do_with_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tsv").write_text("one\teins\ntwo\tzwei\n")
    (tmp_path / "b.tsv").write_text("three\tdrei\n")
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "SHA256SUMS").write_text("sums")
    asked: list[str] = []

    def translated(pairs: list[Pair], model: Path) -> list[Pair]:
        asked.append(model.name)
        return [(source.upper(), target) for source, target in pairs]

    monkeypatch.setattr(text, "back_translated", translated)
    by_x = CorpusRecipe(path="a.tsv", back_translate=str(tmp_path / "x"))
    corpora = by_x, CorpusRecipe(path="b.tsv")
    kept = folder(tmp_path)
    prepare_text(recipe(*corpora), tmp_path, kept)
    expected = [[("ONE", "eins"), ("TWO", "zwei")], [("three", "drei")]]
    for _ in range(2):
        assert list(training_text(recipe(*corpora), tmp_path, kept)) == expected
    drawn_otherwise = replace(by_x, weight=0.5, until_epoch=1)
    assert list(training_text(recipe(drawn_otherwise), tmp_path, kept)) == expected[:1]
    assert asked == ["x"]
    by_y = replace(by_x, back_translate=str(tmp_path / "y"))
    assert list(training_text(recipe(by_y, reverse=True), tmp_path, kept)) == [
        [("EINS", "one"), ("ZWEI", "two")]
    ]
    assert asked == ["x", "y"]
    (tmp_path / "x" / "SHA256SUMS").write_text("other sums")
    assert list(training_text(recipe(by_x), tmp_path, kept)) == expected[:1]
    assert asked == ["x", "y", "x"]
    (tmp_path / "a.tsv").write_text("four\tvier\n")
    assert list(training_text(recipe(by_x), tmp_path, kept)) == [[("FOUR", "vier")]]
    assert asked == ["x", "y", "x", "x"]


def test_languages_are_checked_anew_when_they_change(tmp_path: Path) -> None:
    pair = ("The weather is nice today, isn't it?", "Das Wetter ist heute schön, nicht wahr?")
    (tmp_path / "a.tsv").write_text("\t".join(pair) + "\n")
    checked = recipe(CorpusRecipe(path="a.tsv"), check_languages=True)
    assert list(training_text(checked, tmp_path, folder(tmp_path))) == [[pair]]
    french = replace(checked, target_language="fr")
    assert list(training_text(french, tmp_path, folder(tmp_path))) == [[]]


def test_the_least_likely_pairs_are_left_out_by_a_model(tmp_path: Path) -> None:
    build_tiny_model(tmp_path / "m")
    (tmp_path / "a.tsv").write_text("".join(f"the house\tthe street {i}\n" for i in range(10)))
    corpus = CorpusRecipe(path="a.tsv", drop_least_likely=0.3)
    (pairs,) = training_text(recipe(corpus, scorer=str(tmp_path / "m")), tmp_path, folder(tmp_path))
    assert len(pairs) == 7
    with pytest.raises(RecipeError, match="none must be a model directory, but has no SHA256SUMS"):
        list(training_text(recipe(corpus, scorer="none"), tmp_path, folder(tmp_path)))


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        (("empty.tsv",), r"\['empty'\] are empty"),
        (("a.tsv", "more/a.tsv"), "files of different names"),
    ],
)
def test_validation_files_must_have_lines_and_names(
    tmp_path: Path, valid: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty.tsv").write_text("")
    (tmp_path / "more").mkdir()
    for name in ("a.tsv", "more/a.tsv"):
        (tmp_path / name).write_text("one\teins\n")
    with pytest.raises(RecipeError, match=message):
        validation_pairs(DataRecipe(train=(CorpusRecipe(path="a.tsv"),), valid=valid), tmp_path)

"""What is drawn is decided by the seed, and has the lengths it should have."""

from __future__ import annotations

import lzma
import statistics
from itertools import pairwise
from pathlib import Path

import pytest

from loadtests.bench.contender import BenchError
from loadtests.bench.models import FIRST_FREE_ID, FIRST_LENGTH_ID, RANDOM_MODELS, BenchModel
from loadtests.bench.workload import TextFile, draw_workload, poisson_arrivals
from model.checkpoints.embedded import EMBEDDED
from model.errors import CheckpointError
from tests.tiny_model import build_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BenchModel:
    directory = build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return BenchModel.named(str(directory), seed=0)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    lines = [f"The {word} house.\n" for word in ("red", "old", "new", "green", "small")]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_the_same_seed_draws_the_same(tiny: BenchModel, texts: Path) -> None:
    file = TextFile(path=texts)
    drawn = [draw_workload(tiny, file, count=4, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_all_sentences_come_before_any_comes_again(tiny: BenchModel, texts: Path) -> None:
    sources = draw_workload(tiny, TextFile(path=texts), count=12, seed=0).sources
    assert len(set(sources[:5])) == len(set(sources[5:10])) == 5
    assert len(sources) == 12
    assert all(source[-1] == tiny.config.eos_id for source in sources)


def test_references_stay_with_their_sources(tiny: BenchModel, tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv.xz"
    pairs = {"The red house.": "eins", "The old bread.": "zwei", "The new street.": "drei"}
    content = "".join(f"{source}\t{reference}\n" for source, reference in pairs.items())
    path.write_bytes(lzma.compress(content.encode()))
    plain = draw_workload(tiny, TextFile(path=path), count=None, seed=3)
    assert plain.references is None
    scored = draw_workload(tiny, TextFile(path=path, references=True), count=None, seed=3)
    assert scored.sources == plain.sources
    assert scored.references is not None
    one_by_one = {
        reference: draw_workload(tiny, _one_pair(tmp_path, text), count=1, seed=0).sources[0]
        for text, reference in pairs.items()
    }
    assert [one_by_one[reference] for reference in scored.references] == list(scored.sources)


def _one_pair(folder: Path, text: str) -> TextFile:
    path = folder / "one.txt"
    path.write_text(text, encoding="utf-8")
    return TextFile(path=path)


def test_what_is_too_long_is_left_out_and_counted(tiny: BenchModel, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("The red house.\n" + "The red house. " * 40 + "\n", encoding="utf-8")
    workload = draw_workload(tiny, TextFile(path=path), count=None, seed=0)
    assert (len(workload.sources), workload.left_out) == (1, 1)
    path.write_text("The red house. " * 40, encoding="utf-8")
    with pytest.raises(BenchError, match="must have a text of at most 64 tokens"):
        draw_workload(tiny, TextFile(path=path), count=None, seed=0)


def test_the_limit_of_targets_fits_the_model(tiny: BenchModel, texts: Path) -> None:
    workload = draw_workload(tiny, TextFile(path=texts), count=5, seed=0)
    longest = max(map(len, workload.sources))
    assert workload.max_new_tokens == min(longest + 50, tiny.config.max_positions)


def test_random_weights_get_random_words_of_real_lengths() -> None:
    model = BenchModel.named("paper-base", seed=0)
    workload = draw_workload(model, TextFile(), count=512, seed=0)
    lengths = [len(source) for source in workload.sources]
    assert statistics.mean(lengths) == pytest.approx(23, rel=0.02)
    assert statistics.pstdev(lengths) > 5
    assert workload.planned is not None
    for source, planned in zip(workload.sources, workload.planned, strict=True):
        assert 0.85 * len(source) - 0.5 <= planned <= 1.15 * len(source) + 0.5
        first, *words, end = source
        assert first == FIRST_LENGTH_ID + planned - 1
        assert all(FIRST_FREE_ID <= word < model.config.src_vocab_size for word in words)
        assert end == model.config.eos_id
    assert statistics.mean(workload.planned) == pytest.approx(23, rel=0.03)


@pytest.mark.parametrize(
    ("name", "content", "references", "problem"),
    [
        ("missing.txt", None, False, "cannot read"),
        ("missing.tsv", None, False, "cannot read"),
        ("empty.txt", b"\n  \n", False, "at least one text"),
        ("latin.txt", b"caf\xe9\n", False, "cannot read"),
        ("no-tab.tsv", b"The red house.\n", False, "line 1 must be source<TAB>target"),
        ("plain.txt", b"The red house.\n", True, "second column of a .tsv file"),
    ],
)
def test_a_file_that_is_no_good(
    tiny: BenchModel,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    references: bool,
    problem: str,
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BenchError, match=problem) as caught:
        draw_workload(tiny, TextFile(path=path, references=references), count=1, seed=0)
    assert name in str(caught.value)


def test_embedded_models_have_names() -> None:
    for name, directory in {**EMBEDDED, "embedded": EMBEDDED["en-de"]}.items():
        assert BenchModel.named(name, seed=0).directory == directory


def test_a_model_that_is_none() -> None:
    with pytest.raises(CheckpointError, match="must be a directory"):
        BenchModel.named("/nowhere", seed=0)
    assert set(RANDOM_MODELS) == {"paper-base", "deep-shallow"}


def test_arrivals_are_those_of_independent_users() -> None:
    arrivals = poisson_arrivals(50.0, 100.0, seed="0")
    assert arrivals == poisson_arrivals(50.0, 100.0, seed="0")
    assert arrivals != poisson_arrivals(50.0, 100.0, seed="1")
    assert arrivals == sorted(arrivals)
    assert 0 < arrivals[0] < arrivals[-1] < 100
    assert len(arrivals) == pytest.approx(5000, rel=0.05)
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    # Of an exponential distribution, the deviation is the mean.
    assert statistics.pstdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)


def test_somebody_always_comes() -> None:
    assert len(poisson_arrivals(0.001, 0.1, seed="0")) == 1

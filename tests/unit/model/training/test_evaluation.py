"""Scores are sacreBLEU's own, over translations made the way the service makes them."""

from pathlib import Path

import pytest

from model.config import EngineConfig, GenerationConfig
from model.errors import InvalidRequestError, UnsupportedLanguageError
from model.training.evaluation import evaluate_file, evaluate_robustness, score
from model.translator import Translator
from tests.tiny_model import build_tiny_model

CPU = EngineConfig(device="cpu", num_threads=1)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def test_a_perfect_translation_scores_a_hundred() -> None:
    lines = ["Das ist ein kleines Haus am Fluss.", "Der Zug kommt heute Abend zu spät an."]
    perfect = score("x", lines, lines)
    assert perfect.bleu == pytest.approx(100)
    assert perfect.chrf == pytest.approx(100)
    assert perfect.bleu_signature.startswith(
        "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:"
    )
    assert "nc:6" in perfect.chrf_signature
    assert score("x", list(reversed(lines)), lines).bleu < 20


def test_a_file_is_translated_line_by_line_in_order(directory: Path, tmp_path: Path) -> None:
    sources = ["The old house. A new street!", "", "one red animal", "  two trains  "]
    file = tmp_path / "test.tsv"
    file.write_text("".join(f"{source}\tein Haus\n" for source in sources))
    generation = GenerationConfig(beam_size=2, max_new_tokens=8)
    found, texts = evaluate_file(directory, file, generation=generation, engine=CPU)
    with Translator.load(directory, CPU) as translator:
        expected = [translator.translate([s], generation=generation)[0].text for s in sources]
    assert texts == expected
    assert (found.file, found.num_lines) == ("test.tsv", 4)
    assert found == score("test.tsv", expected, ["ein Haus"] * 4)
    fewer, _ = evaluate_file(directory, file, generation=generation, engine=CPU, max_lines=2)
    assert fewer.num_lines == 2


def test_an_empty_file_is_refused(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(InvalidRequestError, match="must have at least one line"):
        evaluate_file(directory, tmp_path / "empty.tsv", engine=CPU)


def test_a_robustness_set_is_translated_in_order(directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.yaml"
    sources = ["The old house. A new street!", "one red animal", "two trains"]
    file.write_text(f"source: en\ntarget: de\ncases: {{a: {sources[:1]}, b: {sources[1:]}}}\n")
    generation = GenerationConfig(beam_size=1, max_new_tokens=8)
    report = evaluate_robustness(directory, file, generation=generation, engine=CPU)
    with Translator.load(directory, CPU) as translator:
        expected = [translator.translate([s], generation=generation)[0].text for s in sources]
    assert [result.translation for result in report.results] == expected
    assert [result.case.text for result in report.results] == sources
    assert [result.category for result in report.results] == ["a", "b", "b"]


def test_a_set_in_another_direction_is_refused(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "set.yaml").write_text("source: de\ntarget: en\ncases: {a: [Haus]}\n")
    with pytest.raises(UnsupportedLanguageError, match="is from de to en"):
        evaluate_robustness(directory, tmp_path / "set.yaml", engine=CPU)

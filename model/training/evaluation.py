"""How good a model is: sacreBLEU and chrF with their signatures, and checks of robustness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sacrebleu.metrics import BLEU, CHRF

from model.checkpoints.manifest import read_manifest
from model.config import EngineConfig, GenerationConfig
from model.decoding.reference import generate
from model.errors import InvalidRequestError, UnsupportedLanguageError
from model.text.tokenizer import Tokenizer
from model.training.robustness.cases import read_set
from model.training.robustness.report import RobustnessReport, check_translations
from model.training.text import read_pairs

if TYPE_CHECKING:
    from model.network.transformer import Transformer

__all__ = ["Score", "evaluate_file", "evaluate_robustness", "quick_bleu", "score"]

_BATCH_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Score:
    """The quality of one system on one file."""

    file: str
    num_lines: int
    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


def score(name: str, hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """Corpus scores of translations (N,) against one reference each (N,)."""
    bleu, chrf = BLEU(), CHRF()
    bleu_score = bleu.corpus_score(list(hypotheses), [list(references)])
    chrf_score = chrf.corpus_score(list(hypotheses), [list(references)])
    return Score(
        file=name,
        num_lines=len(references),
        bleu=bleu_score.score,
        chrf=chrf_score.score,
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
    )


def evaluate_file(
    model_directory: Path,
    file: Path,
    *,
    source: str | None = None,
    target: str | None = None,
    generation: GenerationConfig | None = None,
    engine: EngineConfig | None = None,
    max_lines: int | None = None,
    reverse: bool = False,
) -> tuple[Score, list[str]]:
    """Translates a `source<TAB>reference` file the way the service would, and scores it.

    Args:
        source, target: languages, where the model has several.
        reverse: the first column is the reference.

    Returns:
        The score and the translations, one for each line.
    """
    pairs = [pair[::-1] if reverse else pair for pair in read_pairs(file)][:max_lines]
    if not pairs:
        raise InvalidRequestError(f"{file} must have at least one line, but is empty")
    sources = [text for text, _ in pairs]
    texts = _translated(model_directory, sources, (source, target), generation, engine)
    return score(file.name, texts, [reference for _, reference in pairs]), texts


def evaluate_robustness(
    model_directory: Path,
    file: Path,
    *,
    generation: GenerationConfig | None = None,
    engine: EngineConfig | None = None,
) -> RobustnessReport:
    """Translates a robustness set the way the service would, and checks every translation.

    Raises:
        RecipeError: the file is no robustness set.
        UnsupportedLanguageError: the model does not translate between its languages.
    """
    cases = read_set(file)
    known = read_manifest(model_directory).metadata.languages
    if known.find(cases.source, cases.target) is None:
        raise UnsupportedLanguageError(
            f"{file} is from {cases.source} to {cases.target}, but the model translates {known}"
        )
    sources = [case.text for group in cases.cases.values() for case in group]
    pair = cases.source, cases.target
    translations = _translated(model_directory, sources, pair, generation, engine)
    return check_translations(cases, translations)


def _translated(
    model_directory: Path,
    texts: Sequence[str],
    pair: tuple[str | None, str | None],
    generation: GenerationConfig | None,
    engine: EngineConfig | None,
) -> list[str]:
    from model.translator import Translator

    source, target = pair
    with Translator.load(model_directory, engine or EngineConfig()) as translator:
        translations = translator.translate_stream(
            texts, source=source, target=target, generation=generation
        )
        return [each.text for each in translations]


def quick_bleu(
    model: Transformer, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], max_tokens: int
) -> float:
    """Greedy BLEU of a model in training, by the plain loop; sources are cut at `max_tokens`."""
    sources = [
        [*tokenizer.tokenize(source)[: max_tokens - 1], tokenizer.eos_id] for source, _ in pairs
    ]
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    texts = [""] * len(sources)
    greedy = GenerationConfig(beam_size=1)
    for start in range(0, len(order), _BATCH_ROWS):
        rows = order[start : start + _BATCH_ROWS]
        for row, hypotheses in zip(
            rows, generate(model, [sources[i] for i in rows], greedy), strict=True
        ):
            texts[row] = tokenizer.detokenize(hypotheses[0].token_ids)
    return float(BLEU().corpus_score(texts, [[reference for _, reference in pairs]]).score)

"""Is it right? Against the plain loop, against itself without graphs, and among neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as SequenceOf
from pathlib import Path

import torch

from loadtests.bench.benchmark import bleu_score
from loadtests.bench.contender import Search, TokenIds
from loadtests.bench.models import BenchModel
from loadtests.bench.polyhead_contender import generation
from loadtests.bench.workload import TextFile, draw_workload
from loadtests.gpu.figures import Figures
from loadtests.gpu.runners import Maker, drive, sequences
from model.decoding.reference import generate
from model.decoding.search import Hypothesis
from model.engine.cuda.runner import CudaRunner

__all__ = ["check_agreement"]

Found = list[tuple[Hypothesis, ...]]


def check_agreement(
    make: Maker,
    figures: Figures,
    *,
    model: BenchModel,
    text: Path | None,
    num_sentences: int = 240,
    num_exact: int = 96,
) -> list[str]:
    """With a trained model.

    Args:
        text: `source<TAB>reference` lines, for BLEU.
        num_sentences: of the comparisons of the device with itself.
        num_exact: of those with the plain loop on the CPU, in float32.

    Returns:
        What is wrong; nothing, if all is well.
    """
    sources = draw_workload(model, TextFile(), count=num_sentences, seed=0).sources
    exact = make(model.load(), dtype=torch.float32, max_slots=256)
    half = make(model.load(), dtype=torch.bfloat16, max_slots=1024)
    plain = make(model.load(), dtype=torch.bfloat16, max_slots=1024, captured=False)
    wrong = []
    for search in Search:
        name = f"float32_beam{search.beam_size}_differs_from_plain_loop"
        share = _against_the_plain_loop(exact, model, sources[:num_exact], search)
        figures.record(name, share)
        if share > 0:
            wrong.append(f"{name}: {share:.2%}")
        wrong += _against_itself(half, plain, figures, sources, search)
        _among_neighbours({"float32": exact, "bfloat16": half}, figures, sources, search)
    plain.close()
    if text is not None:
        wrong += _bleu(exact, half, figures, model, text)
    return wrong


def _against_the_plain_loop(
    runner: CudaRunner, model: BenchModel, sources: SequenceOf[TokenIds], search: Search
) -> float:
    found = _translate(runner, sources, search)
    transformer = model.load()
    wanted = [generate(transformer, [list(each)], generation(search))[0] for each in sources]
    return _differing(found, wanted)


def _against_itself(
    captured: CudaRunner,
    uncaptured: CudaRunner,
    figures: Figures,
    sources: SequenceOf[TokenIds],
    search: Search,
) -> list[str]:
    """Graphs compute what their functions compute, and the same twice: bit for bit."""
    wrong = []
    found = _translate(captured, sources, search)
    for name, other in (
        ("without_graphs", _translate(uncaptured, sources, search)),
        ("when_repeated", _translate(captured, sources, search)),
    ):
        share = sum(a != b for a, b in zip(found, other, strict=True)) / len(found)
        figures.record(f"bfloat16_beam{search.beam_size}_bits_differ_{name}", share)
        if share > 0:
            wrong.append(f"bfloat16, {search}: {share:.2%} of results differ {name}")
    return wrong


def _among_neighbours(
    runners: Mapping[str, CudaRunner],
    figures: Figures,
    sources: SequenceOf[TokenIds],
    search: Search,
) -> None:
    """How many translations depend on how many others there are, which picks the products."""
    for name, runner in runners.items():
        together = _translate(runner, sources, search)
        for crowd in (1, 48):
            found: Found = []
            for first in range(0, len(sources), crowd):
                found += _translate(runner, sources[first : first + crowd], search)
            share = _differing(found, together)
            figures.record(f"{name}_beam{search.beam_size}_differ_among_{crowd}", share)


def _bleu(
    exact: CudaRunner, half: CudaRunner, figures: Figures, model: BenchModel, text: Path
) -> list[str]:
    workload = draw_workload(model, TextFile(path=text, references=True), count=None, seed=0)
    score = bleu_score(model, workload)
    assert score is not None  # a trained model and references
    wrong = []
    for search in Search:
        scores = []
        for name, runner in (("float32", exact), ("bfloat16", half)):
            found = _translate(runner, workload.sources, search)
            scores.append(score([hypotheses[0].token_ids for hypotheses in found]))
            figures.record(f"{name}_beam{search.beam_size}_bleu", scores[-1])
        if scores[1] < scores[0] - 0.3:
            wrong.append(f"bfloat16, {search}: more than 0.3 BLEU below float32")
    return wrong


def _translate(runner: CudaRunner, sources: SequenceOf[TokenIds], search: Search) -> Found:
    positions = runner.model_config.max_positions
    return drive(runner, sequences(sources, generation(search), positions))


def _differing(found: Found, wanted: Found) -> float:
    """The share of best hypotheses with other tokens."""
    pairs = zip(found, wanted, strict=True)
    return sum(a[0].token_ids != b[0].token_ids for a, b in pairs) / len(wanted)

"""Is it right? Against the plain loop, against itself without graphs, and among neighbours."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from pathlib import Path

import torch
from sacrebleu.metrics import BLEU

from loadtests.bench.contender import TokenIds
from loadtests.bench.models import BenchModel
from loadtests.bench.workload import TextFile, draw_workload
from loadtests.gpu.figures import Figures
from loadtests.gpu.runners import Maker, drive, search, sequences
from model.checkpoints.checkpoint import TOKENIZER_FILE
from model.decoding.reference import generate
from model.decoding.search import Hypothesis
from model.engine.cuda.runner import CudaRunner
from model.text.tokenizer import Tokenizer

__all__ = ["check_agreement"]

_BEAMS = (1, 4)
Found = list[tuple[Hypothesis, ...]]


def check_agreement(
    make: Maker,
    figures: Figures,
    *,
    model: BenchModel,
    text: Path | None,
    num_sentences: int,
    num_exact: int,
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
    wrong = []
    exact = make(model.load(), dtype=torch.float32, max_slots=256)
    for beams in _BEAMS:
        name = f"float32_beam{beams}_differs_from_plain_loop"
        share = _against_the_plain_loop(exact, model, sources[:num_exact], beams)
        figures.record(name, share)
        if share > 0:
            wrong.append(f"{name}: {share:.2%}")
    half = make(model.load(), dtype=torch.bfloat16, max_slots=1024)
    plain = make(model.load(), dtype=torch.bfloat16, max_slots=1024, captured=False)
    for beams in _BEAMS:
        wrong += _against_itself(half, plain, figures, sources, beams)
        _among_neighbours(exact, half, figures, sources, beams)
    plain.close()
    if text is not None:
        wrong += _bleu(exact, half, figures, model, text)
    return wrong


def _against_the_plain_loop(
    runner: CudaRunner, model: BenchModel, sources: SequenceOf[TokenIds], beams: int
) -> float:
    found = _translate(runner, sources, beams)
    transformer = model.load()
    wanted = [generate(transformer, [list(source)], search(beams))[0] for source in sources]
    return _differing(found, wanted)


def _against_itself(
    captured: CudaRunner,
    uncaptured: CudaRunner,
    figures: Figures,
    sources: SequenceOf[TokenIds],
    beams: int,
) -> list[str]:
    """Graphs compute what their functions compute, and the same twice: bit for bit."""
    wrong = []
    found = _translate(captured, sources, beams)
    for name, other in (
        ("without_graphs", _translate(uncaptured, sources, beams)),
        ("when_repeated", _translate(captured, sources, beams)),
    ):
        share = sum(a != b for a, b in zip(found, other, strict=True)) / len(found)
        figures.record(f"bfloat16_beam{beams}_bits_differ_{name}", share)
        if share > 0:
            wrong.append(f"bfloat16, beam {beams}: {share:.2%} of results differ {name}")
    return wrong


def _among_neighbours(
    exact: CudaRunner,
    half: CudaRunner,
    figures: Figures,
    sources: SequenceOf[TokenIds],
    beams: int,
) -> None:
    """How many translations depend on how many others there are, which picks the products."""
    for name, runner in (("float32", exact), ("bfloat16", half)):
        together = _translate(runner, sources, beams)
        for crowd in (1, 48):
            found: Found = []
            for first in range(0, len(sources), crowd):
                found += _translate(runner, sources[first : first + crowd], beams)
            figures.record(f"{name}_beam{beams}_differ_among_{crowd}", _differing(found, together))


def _bleu(
    exact: CudaRunner, half: CudaRunner, figures: Figures, model: BenchModel, text: Path
) -> list[str]:
    workload = draw_workload(model, TextFile(path=text, references=True), count=None, seed=0)
    assert workload.references is not None
    assert model.directory is not None
    tokenizer = Tokenizer.from_file(model.directory / TOKENIZER_FILE)
    scores = {}
    for name, runner in (("float32", exact), ("bfloat16", half)):
        for beams in _BEAMS:
            found = _translate(runner, workload.sources, beams)
            texts = [tokenizer.detokenize(hypotheses[0].token_ids) for hypotheses in found]
            bleu = BLEU().corpus_score(texts, [list(workload.references)]).score
            scores[name, beams] = float(bleu)
            figures.record(f"{name}_beam{beams}_bleu", scores[name, beams])
    return [
        f"bfloat16, beam {beams}: more than 0.3 BLEU below float32"
        for beams in _BEAMS
        if scores["bfloat16", beams] < scores["float32", beams] - 0.3
    ]


def _translate(runner: CudaRunner, sources: SequenceOf[TokenIds], beams: int) -> Found:
    config = runner.model_config
    return drive(runner, sequences(sources, search(beams), config.max_positions))


def _differing(found: Found, wanted: Found) -> float:
    """The share of best hypotheses with other tokens."""
    pairs = zip(found, wanted, strict=True)
    return sum(a[0].token_ids != b[0].token_ids for a, b in pairs) / len(wanted)

"""Is it right? Against the reference implementation, and against itself without graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from copy import deepcopy
from dataclasses import replace
from enum import Enum, auto
from typing import Any

import torch

from loadtests.bench.contender import Search, TokenIds
from loadtests.bench.models import BenchModel
from loadtests.bench.polyhead_contender import generation
from loadtests.bench.workload import TextFile, draw_workload
from loadtests.gpu.stages import Figures
from model.config import EngineConfig, GenerationConfig
from model.decoding.reference import generate
from model.decoding.search import FinishReason, Hypothesis
from model.engine.cuda.kernels.operations import Operations
from model.engine.cuda.runner import CudaRunner
from model.engine.cuda.stream import CudaStream, DeviceStream
from model.engine.engine import Engine
from model.network.transformer import Transformer

__all__ = ["SEARCHES", "Maker", "UncapturedStream", "check_agreement", "cuda_runner"]

_Found = list[tuple[Hypothesis, ...]]
_ROUNDING = 1e-4
"""By which scores may differ in float32: on a CPU, log-probabilities were within 2e-5 of ours."""
SEARCHES = {
    "beam1": generation(Search.GREEDY),
    "beam4": generation(Search.BEAM4),
    "guarded_beam4": replace(
        generation(Search.BEAM4, limit_repeats=True), repetition_penalty=1.1, no_repeat_ngram_size=3
    ),
}
"""Those that are compared. The last one passes through every guard; that of the embedded models is
`limit_repeats`."""
Maker = Callable[..., CudaRunner]
"""`cuda_runner`, or what takes its arguments and needs no device."""


class UncapturedStream(CudaStream):
    """Does at once what a graph would do later: the reference implementation of graphs."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self.run(work)
        return lambda: self.run(work)


def cuda_runner(
    transformer: Transformer,
    *,
    dtype: torch.dtype,
    max_slots: int,
    captured: bool = True,
    searches: Sequence[GenerationConfig] = (),
    stream: DeviceStream | None = None,
    operations: Operations | None = None,
) -> CudaRunner:
    """On the first CUDA device, unless a stream of another one is given.

    Args:
        transformer: is copied to the device.
        dtype: of weights and caches.
        max_slots: hypotheses that run at the same time.
        captured: whether graphs are; else what they would do is done each time.
        searches: whose graphs are captured here and now.
        stream: of the device.
        operations: the fused kernels when not given.
    """
    if stream is None:
        device = torch.device("cuda", 0)
        stream = CudaStream(device) if captured else UncapturedStream(device)
    return CudaRunner(
        transformer,
        device=stream.device,
        dtype=dtype,
        max_slots=max_slots,
        stream=stream,
        operations=operations,
        beams=(),
        searches=searches,
    )


def check_agreement(
    make: Maker,
    figures: Figures,
    *,
    model: BenchModel,
    num_sentences: int = 240,
    num_exact: int = 96,
) -> list[str]:
    """Compares translations of a trained model, and records the shares that differ.

    In float32, tokens must be those of the plain loop on the CPU, or others that are as good but
    for rounding: see `_difference`. In bfloat16, graphs must compute what their functions compute,
    and the same twice: bit for bit, scores included.

    Args:
        num_sentences: of the comparisons of the device with itself.
        num_exact: of those with the plain loop; of guarded searches, a quarter.

    Returns:
        What is wrong; nothing, if all is well.
    """
    with figures.part("load"):
        sources = draw_workload(model, TextFile(), count=num_sentences, seed=0).sources
        transformer = model.load()
    wrong = []
    with ExitStack() as open_engines:
        with figures.part("compile"):
            exact, captured, plain = (
                open_engines.enter_context(closing(_engine(make, model, dtype, **options)))
                for dtype, options in (
                    (torch.float32, {"max_slots": 256}),
                    (torch.bfloat16, {"max_slots": 1024}),
                    (torch.bfloat16, {"max_slots": 1024, "captured": False}),
                )
            )
        for name, search in SEARCHES.items():
            # The plain loop takes most of the time: guards are seen in fewer sentences as well.
            few = sources[: -(-num_exact // 4) if search.constrained else num_exact]
            with figures.part("translate"):
                found = _translate(exact, few, search)
                once = _translate(captured, sources, search)
                uncaptured = _translate(plain, sources, search)
                again = _translate(captured, sources, search)
            with figures.part("plain loop"):
                differences = [
                    _difference(transformer, source, search, each[0])
                    for source, each in zip(few, found, strict=True)
                ]
            rounded, differs = (
                differences.count(kind) / len(few)
                for kind in (_Difference.ROUNDING, _Difference.TOKENS)
            )
            figures.record(f"float32_{name}_decided_by_rounding", rounded)
            shares = {
                f"float32_{name}_differs_from_plain_loop": differs,
                f"bfloat16_{name}_bits_differ_without_graphs": _share(once, uncaptured),
                f"bfloat16_{name}_bits_differ_when_repeated": _share(once, again),
            }
            wrong += _recorded(shares, figures)
    return wrong


def _recorded(shares: dict[str, float], figures: Figures) -> list[str]:
    """Which are wrong: all that are not nothing."""
    for what, share in shares.items():
        figures.record(what, share)
    return [f"{what}: {share:.2%}" for what, share in shares.items() if share > 0]


class _Difference(Enum):
    """How a translation differs from that of the plain loop."""

    NONE = auto()
    ROUNDING = auto()
    """Other tokens, where float32 cannot tell which are better."""
    TOKENS = auto()


def _difference(
    transformer: Transformer, source: TokenIds, search: GenerationConfig, found: Hypothesis
) -> _Difference:
    """Holds the best hypothesis of a source against the plain loop's.

    Sums in another order decide for other tokens where two are as good as each other. That this is
    all is seen by their scores, if these are of the tokens that come with them, or, where a
    hypothesis left the beam by it on the way, by the plain loop's own answer in float64, which is
    then the device's.
    """
    [[wanted, *_]] = generate(transformer, [list(source)], search)
    if found.token_ids == wanted.token_ids:
        return _Difference.NONE
    as_good = abs(found.score - wanted.score) <= _ROUNDING
    # Guards change what tokens have; whose they are is seen where there are none.
    if as_good and (search.constrained or _has_its_score(transformer, source, found)):
        return _Difference.ROUNDING
    [[precise, *_]] = generate(deepcopy(transformer).double(), [list(source)], search)
    same = found.token_ids == precise.token_ids
    return _Difference.ROUNDING if same else _Difference.TOKENS


@torch.inference_mode()
def _has_its_score(transformer: Transformer, source: TokenIds, found: Hypothesis) -> bool:
    """Whether the model gives the tokens, all at once, what the search says of them."""
    config = transformer.config
    stopped = found.finish_reason is FinishReason.STOP
    target = torch.tensor([*found.token_ids, *[config.eos_id] * stopped])
    fed = torch.tensor([[config.bos_id, *target[:-1].tolist()]])
    logits = transformer(torch.tensor([list(source)]), torch.tensor([len(source)]), fed)
    log_probs = logits[0].log_softmax(dim=1).gather(1, target[:, None])
    return abs(float(log_probs.sum()) - found.log_prob) <= _ROUNDING * len(target)


def _share(these: _Found, those: _Found) -> float:
    """The part of the sentences in which two runs differ, in anything."""
    return sum(a != b for a, b in zip(these, those, strict=True)) / len(these)


def _engine(make: Maker, model: BenchModel, dtype: torch.dtype, **options: Any) -> Engine:
    weights = model.load()
    runner = make(weights, dtype=dtype, searches=tuple(SEARCHES.values()), **options)
    return Engine(weights, EngineConfig(), runners=[runner])


def _translate(engine: Engine, sources: Sequence[TokenIds], search: GenerationConfig) -> _Found:
    """The hypotheses of all sources, which are submitted at once."""
    futures = engine.submit(sources, search)
    return [future.result().hypotheses for future in futures]

"""Is it right? Against the reference implementation, and against itself without graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any

import torch

from loadtests.bench.contender import Search, TokenIds
from loadtests.bench.models import BenchModel
from loadtests.bench.polyhead_contender import generation
from loadtests.bench.workload import TextFile, draw_workload
from loadtests.gpu.stages import Figures
from model.config import EngineConfig
from model.decoding.reference import generate
from model.decoding.search import Hypothesis
from model.engine.cuda.kernels.operations import Operations
from model.engine.cuda.runner import CudaRunner
from model.engine.cuda.stream import CudaStream, DeviceStream
from model.engine.engine import Engine
from model.network.transformer import Transformer

__all__ = ["Maker", "UncapturedStream", "check_agreement", "cuda_runner"]

_Found = list[tuple[Hypothesis, ...]]
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
    beams: tuple[int, ...] = (1, 4),
    stream: DeviceStream | None = None,
    operations: Operations | None = None,
) -> CudaRunner:
    """On the first CUDA device, unless a stream of another one is given."""
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
        beams=beams,
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

    In float32, tokens must be those of the plain loop on the CPU. In bfloat16, graphs must compute
    what their functions compute, and the same twice: bit for bit, scores included.

    Args:
        num_sentences: of the comparisons of the device with itself.
        num_exact: of those with the plain loop.

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
        for search in Search:
            with figures.part("plain loop"):
                wanted = [
                    generate(transformer, [list(source)], generation(search))[0]
                    for source in sources[:num_exact]
                ]
            with figures.part("translate"):
                found = _translate(exact, sources[:num_exact], search)
                once = _translate(captured, sources, search)
                uncaptured = _translate(plain, sources, search)
                again = _translate(captured, sources, search)
            half = f"bfloat16_beam{search.beam_size}_bits_differ"
            compared: dict[str, tuple[Sequence[object], Sequence[object]]] = {
                f"float32_beam{search.beam_size}_differs_from_plain_loop": (
                    _best_tokens(found), _best_tokens(wanted)
                ),
                f"{half}_without_graphs": (once, uncaptured),
                f"{half}_when_repeated": (once, again),
            }  # fmt: skip
            for name, (these, those) in compared.items():
                share = sum(a != b for a, b in zip(these, those, strict=True)) / len(these)
                figures.record(name, share)
                if share > 0:
                    wrong.append(f"{name}: {share:.2%}")
    return wrong


def _engine(make: Maker, model: BenchModel, dtype: torch.dtype, **options: Any) -> Engine:
    weights = model.load()
    return Engine(weights, EngineConfig(), runners=[make(weights, dtype=dtype, **options)])


def _translate(engine: Engine, sources: Sequence[TokenIds], search: Search) -> _Found:
    """The hypotheses of all sources, which are submitted at once."""
    futures = engine.submit(sources, generation(search))
    return [future.result().hypotheses for future in futures]


def _best_tokens(found: _Found) -> list[Sequence[int]]:
    return [best.token_ids for best, *_ in found]

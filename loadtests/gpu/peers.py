"""CTranslate2 and transformers on the same device: same weights, same sources, in turns with us."""

from __future__ import annotations

import glob
import os
import site
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch

from loadtests.bench.contender import ContenderSpec, Peer, Regime
from loadtests.bench.errors import BenchError
from loadtests.bench.field import Field
from loadtests.bench.figures import ratio
from loadtests.bench.models import BenchModel
from loadtests.bench.options import BenchOptions
from loadtests.bench.regimes import closed_jobs, measure
from loadtests.bench.worker import Worker, convert_for_ctranslate2
from loadtests.bench.workload import TextFile, Workload, draw_workload
from loadtests.gpu.figures import Figures
from loadtests.gpu.rates import DeviceWorker
from loadtests.gpu.runners import Maker

__all__ = ["DTYPES", "SENTENCES", "measure_peers", "offer_cublas_12"]

SENTENCES = {Peer.CTRANSLATE2: 4096, Peer.TRANSFORMERS: 512}
"""Sentences of our turns: enough for the batches that suit each of them."""
DTYPES = {Peer.CTRANSLATE2: "float16", Peer.TRANSFORMERS: "float16"}


def offer_cublas_12(directory: Path) -> bool:
    """Lets CTranslate2 find a cuBLAS where only a later one is installed.

    It opens `libcublas.so.12` by name, and the functions that it takes from there are in later ones
    too. Processes started from now on look into `directory`, and where PyTorch's libraries are.

    Returns:
        Whether there is a library to be found.
    """
    roots = [*site.getsitepackages(), "/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu"]
    patterns = ("nvidia/**/libcublas.so.1[0-9]", "libcublas.so.1[0-9]")
    found = [
        Path(path)
        for root in roots
        for pattern in patterns
        for path in sorted(glob.glob(f"{root}/{pattern}", recursive=True))
    ]
    if not found:
        return False
    exact = [path for path in found if path.name.endswith(".12")]
    library = (exact or found)[0]
    if not exact:
        (directory / "libcublas.so.12").symlink_to(library)
    before = os.environ.get("LD_LIBRARY_PATH")
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(
        [str(directory), str(library.parent), *([before] if before else [])]
    )
    return True


def measure_peers(
    make: Maker,
    figures: Figures,
    model: BenchModel,
    *,
    device: str = "cuda",
    dtypes: Mapping[Peer, str] = DTYPES,
    sentences: Mapping[Peer, int] = SENTENCES,
    slots: int = 1024,
) -> list[str]:
    """Everything queued at once.

    Args:
        dtypes: of the peers; only those who are named here take part.
        sentences: of our turns; transformers has a quarter of them.

    Returns:
        Which peers could not be measured, and why.
    """
    workload = draw_workload(model, TextFile(), count=max(sentences.values()), seed=3)
    runner = make(model.load(), dtype=torch.bfloat16, max_slots=slots)
    missing = []
    with closing(DeviceWorker(runner, model, workload)) as ours:
        for peer, dtype in dtypes.items():
            if find_spec(peer) is None:
                print(f"{peer}: skipped, since it is not installed", flush=True)
                continue
            spec = replace(ours.spec, name=str(peer), dtype=dtype, device=device)
            part = replace(workload, sources=workload.sources[: sentences[peer]])
            try:
                _beside(ours, spec, part, figures)
            except BenchError as error:
                missing.append(f"{peer}: {error}")
                print(missing[-1], flush=True)
    return missing


def _beside(ours: DeviceWorker, spec: ContenderSpec, workload: Workload, figures: Figures) -> None:
    """Our engine and a peer in turns."""
    options = BenchOptions()
    with tempfile.TemporaryDirectory() as folder:
        if spec.name == Peer.CTRANSLATE2:
            convert_for_ctranslate2(spec.model, Path(folder), spec.dtype)
            spec = replace(spec, converted=Path(folder))
        with Field([Worker(spec)], weights_digest=ours.wait_until_ready()) as field:
            workers = [ours, *field.workers]
            jobs = closed_jobs(Regime.THROUGHPUT, workers, workload, options)
            found = measure(field, jobs, options, print)
    for our_turns, their_turns in zip(found[::2], found[1::2], strict=True):
        name = f"{spec.label}_{their_turns.search}"
        our_rates, their_rates = (
            turns.figures["tokens_per_second"] for turns in (our_turns, their_turns)
        )
        if their_turns.planned_lengths is not None:
            figures.record(f"peer_{name}_lengths_as_planned", their_turns.planned_lengths)
        figures.record(f"peer_{name}_tokens_per_second", their_rates.median)
        batch = their_turns.setup.get("max_batch_size") or their_turns.setup.get("batch_size")
        figures.record(f"peer_{name}_batch", batch)
        figures.record(f"peer_{name}_ours_tokens_per_second", our_rates.median)
        figures.record(f"ratio_{name}", ratio(our_rates.rounds, their_rates.rounds).median)

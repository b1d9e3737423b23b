"""CTranslate2 and transformers on the same device: same weights, same sources, in turns with us."""

from __future__ import annotations

import glob
import os
import site
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from loadtests.bench.contender import ContenderSpec, Peer, Regime, Search
from loadtests.bench.errors import BenchError
from loadtests.bench.models import BenchModel
from loadtests.bench.worker import Worker, convert_for_ctranslate2
from loadtests.bench.workload import TextFile, draw_workload
from loadtests.gpu.figures import Figures
from loadtests.gpu.rates import opened, without_gc
from loadtests.gpu.runners import Maker, search
from model.engine.engine import Engine

__all__ = ["DTYPES", "SENTENCES", "measure_peers", "offer_cublas_12"]

SENTENCES = {Peer.CTRANSLATE2: 4096, Peer.TRANSFORMERS: 128}
DTYPES = {Peer.CTRANSLATE2: "float16", Peer.TRANSFORMERS: "float16"}
_ROUNDS = 3


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
        sentences: of a turn: enough for the batches that suit each of them.

    Returns:
        Which peers could not be measured, and why.
    """
    workload = draw_workload(model, TextFile(), count=max(sentences.values()), seed=3)
    runner = make(model.load(), dtype=torch.bfloat16, max_slots=slots)
    missing = []
    with tempfile.TemporaryDirectory() as folder, opened(runner, model) as engine:
        for peer, dtype in dtypes.items():
            if find_spec(peer) is None:
                print(f"{peer}: skipped, since it is not installed", flush=True)
                continue
            try:
                sources = workload.sources[: sentences[peer]]
                spec = ContenderSpec(
                    name=peer, dtype=dtype, device=device,
                    cores=tuple(sorted(os.sched_getaffinity(0))), model=model,
                    max_new_tokens=workload.max_new_tokens,
                    converted=_converted(peer, dtype, model, Path(folder)),
                )  # fmt: skip
                planned = (workload.planned or ())[: sentences[peer]]
                _beside(spec, engine, figures, sources, planned)
            except BenchError as error:
                missing.append(f"{peer}: {error}")
                print(missing[-1], flush=True)
    return missing


def _converted(peer: Peer, dtype: str, model: BenchModel, folder: Path) -> Path | None:
    if peer is not Peer.CTRANSLATE2:
        return None
    converted = folder / dtype
    converted.mkdir()
    convert_for_ctranslate2(model, converted, dtype)
    return converted


def _beside(
    spec: ContenderSpec,
    engine: Engine,
    figures: Figures,
    sources: Sequence[Sequence[int]],
    planned: Sequence[int],
) -> None:
    worker = Worker(spec)
    try:
        worker.wait_until_ready()
        for kind in Search:
            _turns(worker, kind, engine, figures, sources, planned)
    except BaseException:
        worker.close(at_once=True)
        raise
    worker.close()


def _turns(
    worker: Worker,
    kind: Search,
    engine: Engine,
    figures: Figures,
    sources: Sequence[Sequence[int]],
    planned: Sequence[int],
) -> None:
    """Rounds of one turn each."""
    name = f"{worker.spec.label}_{kind}"
    setup = worker.prepare(Regime.THROUGHPUT, kind, sources[:1024])
    ours, theirs = [], []
    for _ in range(_ROUNDS):
        turn = worker.translate(Regime.THROUGHPUT, kind, sources)
        lengths = [len(target) + 1 for target in turn.targets]
        theirs.append(sum(lengths) / sum(turn.seconds))
        with without_gc():
            started = time.perf_counter()
            futures = engine.submit(sources, search(kind.beam_size, worker.spec.max_new_tokens))
            tokens = sum(future.result().target_tokens for future in futures)
            ours.append(tokens / (time.perf_counter() - started))
    if planned:
        kept = [found == wanted for found, wanted in zip(lengths, planned, strict=True)]
        figures.record(f"peer_{name}_lengths_as_planned", sum(kept) / len(kept))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    figures.record(f"peer_{name}_tokens_per_second", statistics.median(theirs))
    figures.record(f"peer_{name}_batch", setup.get("max_batch_size") or setup.get("batch_size"))
    figures.record(f"peer_{name}_ours_tokens_per_second", statistics.median(ours))
    figures.record(f"ratio_{name}", statistics.median(ratios))

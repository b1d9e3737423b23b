"""The engine's rates and those of others, by `polyhead bench` on this device."""

from __future__ import annotations

import glob
import os
import site
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from loadtests.bench.benchmark import run
from loadtests.bench.contender import BenchError, Peer, Regime, Search
from loadtests.bench.options import BenchOptions
from loadtests.bench.workload import TextFile
from loadtests.gpu.stages import Figures

__all__ = [
    "GUARDED",
    "PEERS",
    "RATES",
    "compare_dtypes",
    "measure",
    "measure_peers",
    "offer_cublas_12",
]

_BASE = BenchOptions(model="paper-base", device="cuda")
RATES = {
    "throughput": replace(_BASE, sentences=16_384),
    "alone": replace(
        _BASE, regimes=(Regime.LATENCY,), sentences=40, latency_sentences=40, rounds=1
    ),
    "online": replace(_BASE, regimes=(Regime.ONLINE,), sentences=4096, seconds=4.0, rounds=1),
}
"""What is measured of the engine alone, by stage."""
GUARDED = replace(RATES["throughput"], searches=(Search.BEAM4,), limit_repeats=True)
"""What the stage throughput measures besides: the search that the embedded models ask for."""
PEERS = {
    Peer.CTRANSLATE2: replace(_BASE, peer_dtype="float16", sentences=4096),
}
"""What each peer is measured in, with as many sentences as the batches that suit it need."""


def measure(stage: str, options: BenchOptions, figures: Figures) -> list[str]:
    """Runs one benchmark, and records the medians of its rounds, set-ups and ratios.

    Returns:
        The benchmark's notes.
    """
    result = run(options)
    several = len({m["contender"] for m in result["measurements"]}) > 1
    for m in result["measurements"]:
        name = f"{stage}_{m['contender']}" if several else stage
        guarded = "guarded_" if options.limit_repeats else ""
        name += f"_{guarded}beam{m['search'].beam_size}"
        if "load" in m:
            name += f"_load{m['load'].split()[0]}"
        facts = {fact: m[fact] for fact in ("planned_lengths", "bleu") if fact in m}
        medians = {figure: spread["median"] for figure, spread in m["figures"].items()}
        for what, value in (m["setup"] | medians | facts).items():
            figures.record(f"{name}_{what}", value)
    for key, value in result["ratios"].items():
        contender, _, search = key.rpartition("over-")[2].partition("/")
        figures.record(f"ratio_{contender}_{search}", value)
    notes: list[str] = result["notes"]
    print(*notes, sep="\n", flush=True)
    return notes


def measure_peers(figures: Figures, peers: Mapping[Peer, BenchOptions] = PEERS) -> list[str]:
    """Measures each peer in turns with the engine: what one of them lacks, the other does not.

    Returns:
        Which peers could not be measured, and why.
    """
    missing = []
    for peer, options in peers.items():
        if find_spec(peer) is None:
            print(f"{peer}: skipped, since it is not installed", flush=True)
            continue
        try:
            measure("peer", replace(options, peers=(peer,)), figures)
        except BenchError as error:
            missing.append(f"{peer} was excluded: {error}")
            print(missing[-1], flush=True)
    return missing


def compare_dtypes(
    figures: Figures,
    text: Path,
    *,
    model: str = "embedded",
    device: str = "cuda",
    dtypes: tuple[str, ...] = ("float32", "bfloat16"),
) -> list[str]:
    """Scores a model in two types against the references of a file.

    Returns:
        Which of the two is worse than it may be.
    """
    source = TextFile(path=text, references=True)
    options = BenchOptions(model=model, device=device, dtypes=dtypes, rounds=1, text=source)
    return [note for note in measure("bleu", options, figures) if "BLEU" in note]


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

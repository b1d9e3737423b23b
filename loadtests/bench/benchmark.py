"""One run from beginning to end: workload, contenders, regimes, report."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sacrebleu.metrics import BLEU
from tqdm import tqdm

from loadtests.bench.closed_loop import Advance, Score, measure_closed_loop, num_closed_turns
from loadtests.bench.contender import ContenderSpec, Peer, Regime, Search
from loadtests.bench.field import Field, Measurement
from loadtests.bench.machine import Hardware, Memory, commit, read_hardware, versions
from loadtests.bench.models import BenchModel
from loadtests.bench.online import measure_online, num_online_turns
from loadtests.bench.options import BenchOptions, Pair
from loadtests.bench.plan_check import exclude_unplanned
from loadtests.bench.worker import convert_for_ctranslate2
from loadtests.bench.workload import Workload, draw_workload
from model.checkpoint import TOKENIZER_FILE
from model.tokenizer import Tokenizer

__all__ = ["Result", "run"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that was measured, and under what conditions."""

    options: BenchOptions
    pairs: tuple[Pair, ...]
    """Of contenders that were measured."""
    excluded: Mapping[str, str]
    """Labels of contenders that missed the planned lengths, with what they did instead."""
    measurements: tuple[Measurement, ...]
    memory: Mapping[str, Memory]
    """Of each contender after its last turn."""
    idle_cpu: Mapping[str, float]
    """CPUs that each contender kept busy while others had their turn: should be 0."""
    weights_digest: str
    workload: Workload
    hardware: Hardware
    versions: Mapping[str, str]
    commit: str | None
    started: str
    """UTC, ISO 8601."""
    seconds: float


def run(options: BenchOptions) -> Result:
    """Measures; progress goes to stderr.

    Raises:
        PolyheadError: the model, the texts or a contender is no good.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    hardware = read_hardware(options.cores, options.device)
    model = BenchModel.named(options.model, seed=options.seed)
    workload = draw_workload(model, options.text, count=options.count(), seed=options.seed)
    pairs = options.pairs(hardware.cpu_flags)
    measurements: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="polyhead-bench-") as folder:
        specs, weights_digest = _specs(options, pairs, model, workload, Path(folder))
        with Field(specs, weights_digest=weights_digest) as field:
            excluded = exclude_unplanned(field, workload, options.searches)
            pairs = [pair for pair in pairs if excluded.keys().isdisjoint(pair.labels)]
            for regime in options.regimes:
                if regime is Regime.ONLINE:
                    flood = [m for m in measurements if m.regime is Regime.THROUGHPUT]
                    measurements += _online(field, workload, options, pairs, flood)
                else:
                    score = _score(model, workload)
                    measurements += _closed_loop(regime, field, workload, options, score)
            memory, idle_cpu = field.memory(), field.idle_cpu()
    return Result(
        options=options,
        pairs=tuple(pairs),
        excluded=excluded,
        measurements=tuple(measurements),
        memory=memory,
        idle_cpu=idle_cpu,
        weights_digest=field.weights_digest,
        workload=workload,
        hardware=hardware,
        versions=versions(),
        commit=commit(),
        started=started.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
    )


def _specs(
    options: BenchOptions,
    pairs: Sequence[Pair],
    model: BenchModel,
    workload: Workload,
    folder: Path,
) -> tuple[list[ContenderSpec], str | None]:
    """Ours first, then each peer's; CTranslate2's weights are written into `folder`."""
    wanted = [("polyhead", dtype) for dtype in options.our_dtypes]
    wanted += [(str(pair.peer), pair.theirs) for pair in pairs]
    weights_digest = None
    specs = []
    for name, dtype in dict.fromkeys(wanted):
        converted = None
        if name == Peer.CTRANSLATE2:
            converted = folder / dtype
            converted.mkdir()
            weights_digest = convert_for_ctranslate2(model, converted, dtype)
        specs.append(
            ContenderSpec(
                name=name,
                dtype=dtype,
                device=options.device,
                cores=options.cores,
                model=model,
                max_new_tokens=workload.max_new_tokens,
                converted=converted,
            )
        )
    return specs, weights_digest


def _closed_loop(
    regime: Regime, field: Field, workload: Workload, options: BenchOptions, score: Score | None
) -> list[Measurement]:
    with _progress(regime, num_closed_turns(field, options)) as advance:
        return measure_closed_loop(regime, field, workload, options, advance, score)


def _online(
    field: Field,
    workload: Workload,
    options: BenchOptions,
    pairs: Sequence[Pair],
    flood: Sequence[Measurement],
) -> list[Measurement]:
    """Loads are shares of what `flood`, throughput measured in this run, says of capacity."""
    # Only to set the loads, then: nobody has asked for the figures.
    flood = flood or _closed_loop(Regime.THROUGHPUT, field, workload, options, None)
    capacity: dict[Search, dict[str, float]] = {search: {} for search in options.searches}
    for found in flood:
        rate = found.figures["sentences_per_second"].median
        capacity[found.search][found.contender] = rate
    ours = [worker.spec.label for worker in field.workers if worker.spec.name == "polyhead"]
    opponents = _opponents(ours, pairs)
    with _progress(Regime.ONLINE, num_online_turns(options, opponents)) as advance:
        return measure_online(
            field, workload, options, advance, capacity=capacity, opponents=opponents
        )


def _opponents(ours: Sequence[str], pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """Whose capacity loads are shares of, and who bears them beside it."""
    opponents: dict[str, list[str]] = {}
    for pair in pairs:
        opponents.setdefault(pair.their_label, []).append(pair.our_label)
    for label in ours:
        opponents[label] = []
    return opponents


def _score(model: BenchModel, workload: Workload) -> Score | None:
    if workload.references is None or model.directory is None:
        return None
    references = workload.references
    tokenizer = Tokenizer.from_file(model.directory / TOKENIZER_FILE)

    def score(targets: Sequence[Sequence[int]]) -> float:
        texts = [tokenizer.detokenize(target).strip() for target in targets]
        return float(BLEU().corpus_score(texts, [list(references[: len(texts)])]).score)

    return score


@contextmanager
def _progress(regime: Regime, turns: int) -> Iterator[Advance]:
    with tqdm(total=turns, desc=str(regime), unit="turn", file=sys.stderr) as bar:

        def advance(what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update()

        yield advance

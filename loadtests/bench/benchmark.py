"""One run, from the words of the command line to what stands on stdout."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sacrebleu.metrics import BLEU

from loadtests.bench.budget import Budget
from loadtests.bench.contender import (
    BenchError,
    ContenderSpec,
    Peer,
    Regime,
    Search,
    Task,
    Translated,
)
from loadtests.bench.instruction_sets import environment
from loadtests.bench.lengths import measure_lengths
from loadtests.bench.machine import commit, read_hardware, versions
from loadtests.bench.models import BenchModel
from loadtests.bench.options import BenchOptions, Pair, chosen
from loadtests.bench.peaks import Peaks, measure_peaks
from loadtests.bench.regimes import OPEN_REGIMES, Score, measure_regimes
from loadtests.bench.report import as_lengths, as_object, as_tables
from loadtests.bench.worker import Field, Worker, convert_for_ctranslate2
from loadtests.bench.workload import TextFile, Workload, draw_workload
from loadtests.report import append
from model.engine.native.build import NativeBuildError, detect

__all__ = ["bench", "run", "run_lengths"]

_FIREFOX_WEIGHTS = "model.*.bin"
_QUICK = {"minutes": 0.9, "rounds": 1}
_COMPARED_SENTENCES = 128
"""That are translated in float32 beside everything else."""


def bench(
    *,
    regime: str,
    search: str,
    peer: Sequence[str] | None,
    dtype: Sequence[str] | None,
    text: Path | None,
    references: bool,
    quick: bool,
    as_json: bool,
    results: Path | None,
    plot: Path | None,
    **options: Any,
) -> None:
    """Measures and prints: options are those of the command line, which says what they mean.

    Raises:
        BenchError: an option is no good.
    """
    if quick:
        options |= _QUICK
    regimes = chosen("regime", regime, Regime, everything="all")
    searches = chosen("search", search, Search, everything="both")
    peers = tuple(chosen("peer", name, Peer)[0] for name in dict.fromkeys(peer or ()))
    texts = any(each.takes_text for each in peers)
    wanted = BenchOptions(
        regimes=regimes if len(regimes) == 1 else OPEN_REGIMES[: 2 if texts else None],
        searches=searches[:1] if texts or regimes == (Regime.LENGTH,) else searches,
        peers=peers,
        dtypes=tuple(dtype or ("auto",)),
        text=TextFile(path=text, references=references),
        **options,
    )
    for file in filter(None, (results, plot)):
        append(file, "", error=BenchError)  # what cannot be written is known at once
    result = run_lengths(wanted) if regimes == (Regime.LENGTH,) else run(wanted)
    line = json.dumps(result, ensure_ascii=False)
    if not as_json:
        print(as_tables(result), end="\n\n")
    print(line)
    if results is not None:
        append(results, line + "\n", error=BenchError)
    if plot is not None and "lengths" in result:
        from loadtests.bench.lengths_plot import draw

        draw(result, plot)


def run(options: BenchOptions) -> dict[str, Any]:
    """Measures, and gives the object of `as_object`; progress goes to stderr.

    Raises:
        PolyheadError: the model, the texts or a contender is no good.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    budget = Budget(options.minutes)
    conditions = _conditions(options, started)
    pairs = options.pairs()
    with tempfile.TemporaryDirectory(prefix="polyhead-bench-") as folder:
        model = _model(options, Path(folder))
        workload = draw_workload(model, options.text, count=options.count(), seed=options.seed)
        peaks = _peaks(options)
        spec = _spec(options, model, workload.max_new_tokens)
        if options.texts:
            spec = _of_texts(spec, workload)
        score = _bleu_score(replace(spec, dtype="float32"), workload, options)
        _tell("starting contenders")
        specs = _specs(options, pairs, spec, Path(folder))
        with Field(map(Worker, specs)) as field:
            measurements = measure_regimes(field, workload, options, pairs, score, budget)
            memory, idle_cpu = field.memory(), field.idle_cpu()
    return as_object(
        options,
        workload,
        measurements,
        pairs=pairs,
        memory=memory,
        idle_cpu=idle_cpu,
        weights=field.weights_digest,
        peaks=peaks,
        seconds=round(time.monotonic() - clock, 1),
        **conditions,
    )


def run_lengths(options: BenchOptions) -> dict[str, Any]:
    """Measures time and memory by length, and gives the object of `as_lengths`.

    Raises:
        PolyheadError: the model or a contender is no good.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    budget = Budget(options.minutes)
    model = replace(BenchModel.named(options.model, seed=options.seed), endless=True)
    conditions = _conditions(options, started)
    pairs = options.pairs()
    limit = model.config.max_positions
    _tell("starting contenders")
    with tempfile.TemporaryDirectory(prefix="polyhead-bench-") as folder:
        specs = _specs(options, pairs, _spec(options, model, limit), Path(folder))
        with Field(map(Worker, specs)) as field:
            measured = measure_lengths(field, model, options.searches, options.rounds, budget)
            idle_cpu = field.idle_cpu()
    return as_lengths(
        options,
        measured,
        idle_cpu=idle_cpu,
        weights=field.weights_digest,
        seconds=round(time.monotonic() - clock, 1),
        **conditions,
    )


def _conditions(options: BenchOptions, started: datetime) -> dict[str, Any]:
    """What a run is made on and with."""
    return {
        "instruction_set": str(options.forced_set or detect()) if options.device == "cpu" else None,
        "forced": environment(options.forced_set),
        "hardware": read_hardware(options.cores, options.device),
        "versions": versions(),
        "commit": commit(),
        "started": started.isoformat(timespec="seconds"),
    }


def _model(options: BenchOptions, folder: Path) -> BenchModel:
    """The model; one of Marian's or Firefox's is imported into `folder` first.

    Raises:
        BenchError: it is none of these, and a peer reads nothing else.
        CheckpointError: it cannot be read.
    """
    # Here, so that machines without all that importers need can measure other models.
    from model.checkpoints.importers.marian import is_marian
    from model.checkpoints.importers.registry import import_model

    original = Path(options.model)
    if options.texts and not (is_marian(original) and any(original.glob(_FIREFOX_WEIGHTS))):
        raise BenchError(
            f"`model` must be the folder of a Firefox model for these peers, but is {original}, "
            f"which has no {_FIREFOX_WEIGHTS} of one"
        )
    if is_marian(original):
        imported = folder / "imported"
        import_model(original, imported)
        model = BenchModel.named(str(imported), seed=options.seed)
        return replace(model, name=original.resolve().name, original=original)
    return BenchModel.named(options.model, seed=options.seed)


def _of_texts(spec: ContenderSpec, workload: Workload) -> ContenderSpec:
    """`spec` for who goes from text to text, and all from the same file of weights."""
    assert spec.model.original is not None
    weights = next(spec.model.original.glob(_FIREFOX_WEIGHTS)).read_bytes()
    texts = dict(zip(workload.sources, workload.texts, strict=True))
    return replace(spec, texts=texts, weights_digest=hashlib.sha256(weights).hexdigest())


def _specs(
    options: BenchOptions, pairs: Sequence[Pair], spec: ContenderSpec, folder: Path
) -> Iterator[ContenderSpec]:
    """Ours first, then each peer's; CTranslate2's weights are written into `folder`."""
    wanted = [("polyhead", dtype) for dtype in options.our_dtypes]
    wanted += [(str(pair.peer), pair.theirs) for pair in pairs]
    for name, dtype in dict.fromkeys(wanted):
        each = replace(spec, name=name, dtype=dtype)
        yield convert_for_ctranslate2(each, folder / dtype) if name == Peer.CTRANSLATE2 else each


def _spec(options: BenchOptions, model: BenchModel, max_new_tokens: int) -> ContenderSpec:
    """Ours, in the first of its types."""
    return ContenderSpec(
        name="polyhead",
        dtype=options.our_dtypes[0],
        device=options.device,
        cores=options.cores,
        model=model,
        max_new_tokens=max_new_tokens,
        limit_repeats=options.limit_repeats,
        environment=environment(options.forced_set),
    )


def _peaks(options: BenchOptions) -> Peaks:
    """The processor's; none where it does not compute, or nothing can be compiled."""
    if options.device != "cpu":
        return {}
    _tell("measuring peaks of the CPUs")
    try:
        return measure_peaks(options.cores, options.forced_set or detect())
    except NativeBuildError:
        return {}


def _bleu_score(spec: ContenderSpec, workload: Workload, options: BenchOptions) -> Score | None:
    """BLEU of trained weights: against references where there are any, or else, where numbers are
    rounded on a CPU, against what the same weights say in float32."""
    if spec.model.directory is None:
        return None
    has_time = options.minutes is None or options.minutes >= 1
    rounded = has_time and options.device == "cpu" and set(options.our_dtypes) != {"float32"}
    if workload.references is None and not rounded:
        return None
    tokenizer = spec.model.tokenizer()

    def texts(turn: Translated) -> list[str]:
        if turn.texts is not None:
            return turn.texts
        return [tokenizer.detokenize(target).strip() for target in turn.targets]

    expected: dict[Search, Sequence[str]] = {}
    if workload.references is not None:
        name, expected = "bleu", dict.fromkeys(options.searches, workload.references)
    else:
        name, found = "bleu_to_float32", _in_float32(spec, workload, options)
        expected |= {search: texts(turn) for search, turn in found.items()}

    def score(search: Search, turn: Translated) -> dict[str, float]:
        compared = texts(turn)[: len(expected[search])]
        references = [expected[search][: len(compared)]]
        return {name: float(BLEU().corpus_score(compared, references).score)}

    return score


def _in_float32(
    spec: ContenderSpec, workload: Workload, options: BenchOptions
) -> dict[Search, Translated]:
    """Targets of the first sources by such a contender, with each search."""
    _tell("translating in float32, to compare with")
    sources = workload.sources[:_COMPARED_SENTENCES]
    with Field([Worker(spec)]) as field:
        [worker] = field.workers
        return {
            search: worker.translate(Task(Regime.THROUGHPUT, search), sources)
            for search in options.searches
        }


def _tell(what: str) -> None:
    print(f"polyhead bench: {what}", file=sys.stderr, flush=True)

"""One run, from the words of the command line to what stands on stdout."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sacrebleu.metrics import BLEU

from loadtests.bench.contender import (
    BenchError,
    ContenderSpec,
    Peer,
    Regime,
    Search,
    SlowAnswerError,
    Task,
)
from loadtests.bench.machine import commit, read_hardware, versions
from loadtests.bench.models import BenchModel
from loadtests.bench.options import BenchOptions, Pair, chosen
from loadtests.bench.regimes import Score, measure_regimes
from loadtests.bench.report import as_object, as_tables
from loadtests.bench.worker import Field, Worker, convert_for_ctranslate2
from loadtests.bench.workload import TextFile, Workload, draw_workload
from loadtests.report import append
from model.checkpoints.files import TOKENIZER_FILE
from model.text.tokenizer import Tokenizer

__all__ = ["MAX_DEVIATION", "bench", "exclude_unplanned", "keeps_plan", "run"]

MAX_DEVIATION = 0.1
"""Share of the planned target tokens by which their number may be missed."""
_PROBE_SENTENCES = 8
_PROBE_SECONDS = 120.0
"""The longest that one search of a probe may take."""


def bench(
    *,
    regime: str,
    search: str,
    peer: Sequence[str] | None,
    dtype: Sequence[str] | None,
    text: Path | None,
    references: bool,
    as_json: bool,
    results: Path | None,
    **options: Any,
) -> None:
    """Measures and prints: options are those of the command line, which says what they mean.

    Raises:
        BenchError: an option is no good.
    """
    wanted = BenchOptions(
        regimes=chosen("regime", regime, Regime, everything="all"),
        searches=chosen("search", search, Search, everything="both"),
        peers=tuple(chosen("peer", name, Peer)[0] for name in dict.fromkeys(peer or ())),
        dtypes=tuple(dtype or ("auto",)),
        text=TextFile(path=text, references=references),
        **options,
    )
    if results is not None:
        append(results, "", error=BenchError)  # what cannot be written is known at once
    result = run(wanted)
    line = json.dumps(result, ensure_ascii=False)
    if not as_json:
        print(as_tables(result), end="\n\n")
    print(line)
    if results is not None:
        append(results, line + "\n", error=BenchError)


def run(options: BenchOptions) -> dict[str, Any]:
    """Measures, and gives the object of `as_object`; progress goes to stderr.

    Raises:
        PolyheadError: the model, the texts or a contender is no good.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    hardware = read_hardware(options.cores, options.device)
    model = BenchModel.named(options.model, seed=options.seed)
    workload = draw_workload(model, options.text, count=options.count(), seed=options.seed)
    pairs = options.pairs(hardware["cpu_flags"])
    with tempfile.TemporaryDirectory(prefix="polyhead-bench-") as folder:
        specs = list(_specs(options, pairs, model, workload, Path(folder)))
        with Field(map(Worker, specs)) as field:
            excluded = exclude_unplanned(field, workload, options.searches)
            pairs = [p for p in pairs if not {p.our_label, p.their_label} & excluded.keys()]
            score = _bleu_score(model, workload)
            measurements = measure_regimes(field, workload, options, pairs, score)
            memory, idle_cpu = field.memory(), field.idle_cpu()
    return as_object(
        options,
        workload,
        measurements,
        pairs=pairs,
        excluded=excluded,
        memory=memory,
        idle_cpu=idle_cpu,
        weights=field.weights_digest,
        hardware=hardware,
        versions=versions(),
        commit=commit(),
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - clock, 1),
    )


def _specs(
    options: BenchOptions,
    pairs: Sequence[Pair],
    model: BenchModel,
    workload: Workload,
    folder: Path,
) -> Iterator[ContenderSpec]:
    """Ours first, then each peer's; CTranslate2's weights are written into `folder`."""
    wanted = [("polyhead", dtype) for dtype in options.our_dtypes]
    wanted += [(str(pair.peer), pair.theirs) for pair in pairs]
    for name, dtype in dict.fromkeys(wanted):
        spec = ContenderSpec(
            name=name,
            dtype=dtype,
            device=options.device,
            cores=options.cores,
            model=model,
            max_new_tokens=workload.max_new_tokens,
        )
        yield convert_for_ctranslate2(spec, folder / dtype) if name == Peer.CTRANSLATE2 else spec


def _bleu_score(model: BenchModel, workload: Workload) -> Score | None:
    """BLEU against the references of a workload; None where it has none."""
    if workload.references is None or model.directory is None:
        return None
    references = workload.references
    tokenizer = Tokenizer.from_file(model.directory / TOKENIZER_FILE)

    def score(targets: Sequence[Sequence[int]]) -> float:
        texts = [tokenizer.detokenize(target).strip() for target in targets]
        return float(BLEU().corpus_score(texts, [list(references[: len(texts)])]).score)

    return score


def exclude_unplanned(
    field: Field, workload: Workload, searches: Sequence[Search]
) -> dict[str, str]:
    """Lets every contender translate a few sources, and ends those that miss the plan.

    Returns:
        Labels of contenders that were excluded, with the reason; empty if there is no plan.
    """
    excluded: dict[str, str] = {}
    if workload.planned is None:
        return excluded
    for worker in list(field.workers):
        with field.turn(worker):
            reason = _why_unplanned(worker, workload, searches)
        if reason is not None:
            field.exclude(worker)
            excluded[worker.spec.label] = reason
    return excluded


def keeps_plan(num_tokens: int, num_planned: int) -> bool:
    """Whether so many target tokens, end tokens included, are near enough to the planned ones."""
    return abs(num_tokens - num_planned) <= MAX_DEVIATION * num_planned


def _why_unplanned(worker: Worker, workload: Workload, searches: Sequence[Search]) -> str | None:
    assert workload.planned is not None  # the caller has looked
    sources = workload.sources[:_PROBE_SENTENCES]
    num_planned = sum(workload.planned[: len(sources)])
    for search in searches:
        try:
            turn = worker.translate(Task(Regime.THROUGHPUT, search), sources, within=_PROBE_SECONDS)
        except SlowAnswerError as error:
            return f"{search}: {error}"
        if not keeps_plan(turn.num_tokens, num_planned):
            return f"{search}: {turn.num_tokens} target tokens where {num_planned} were planned"
    return None

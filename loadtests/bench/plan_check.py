"""Whether contenders keep the planned lengths, tried before anything is measured.

Arithmetic that loses the plan (int8 products that saturate, say) makes targets run to the limit.
Such a contender does other work than the rest, and several times as much: it is excluded.
"""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.bench.contender import Regime, Search, Task
from loadtests.bench.errors import SlowAnswerError
from loadtests.bench.field import Field
from loadtests.bench.worker import Worker
from loadtests.bench.workload import Workload

__all__ = ["MAX_DEVIATION", "exclude_unplanned", "keeps_plan"]

MAX_DEVIATION = 0.1
"""Share of the planned target tokens by which their number may be missed."""
_PROBE_SENTENCES = 8
_PROBE_SECONDS = 120.0
"""The longest that one search of a probe may take."""


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

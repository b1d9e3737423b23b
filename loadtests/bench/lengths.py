"""Time and memory against the length of the source and of the target, and attention's share of it.

All sequences of a call have the same length, and run to their limits: the end token is never the
best one. What a product with weights costs grows with the number of tokens; what grows with the
product of two lengths is attention. So its share is measured by difference: the times of all
lengths are taken apart, by least squares, into what is constant, linear and quadratic.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from loadtests.bench.budget import Budget
from loadtests.bench.contender import Regime, Search, Task, TokenIds
from loadtests.bench.models import FIRST_FREE_ID, BenchModel
from loadtests.bench.worker import Field
from loadtests.report import as_table, shown, spread

__all__ = [
    "SEQUENCES",
    "attention_shares",
    "length_tables",
    "measure_lengths",
    "points",
    "side_points",
]

SEQUENCES = 16
"""Sequences of a call."""
_LENGTHS = tuple(8 * 2**power for power in range(7))
_OTHER = 64
"""Length of the side that stays as it is."""

_DECODING = 4
"""Times as long as the encoding of a token, roughly: only to order by."""

Point = tuple[int, int]
"""Tokens of the source, tokens of the target."""


def points(longest: int) -> list[Point]:
    """What is measured, what takes longest last: sources that are only just decoded, longer sources
    with the same target, longer targets of the same source."""
    lengths = [length for length in _LENGTHS if length <= longest]
    grid = {(n, target) for n in lengths for target in (1, _OTHER)} | {(_OTHER, n) for n in lengths}
    return sorted(grid, key=lambda point: point[0] + _DECODING * point[1])


def measure_lengths(
    field: Field, model: BenchModel, searches: Sequence[Search], rounds: int, budget: Budget
) -> list[dict[str, Any]]:
    """Has every contender translate every point in turns.

    Args:
        model: endless.
        rounds: at most; one that would end too late is left out. Of the first, at worst, those
            points are left out that take longest.

    Returns:
        For each contender and search: `points`, each with `source`, `target`, a spread of `seconds`
        and the `peak_rss` of its process in bytes; `attention`, see there.
    """
    grid = points(model.config.max_positions)
    jobs = [
        (worker, Task(Regime.LENGTH, search)) for search in searches for worker in field.workers
    ]
    seconds: dict[tuple[str, Search, Point], list[float]] = {}
    peaks: dict[tuple[str, Search, Point], int] = {}
    with tqdm(total=len(jobs) * len(grid) * rounds, file=sys.stderr, desc="length") as progress:
        for number in range(rounds):
            started = time.monotonic()
            for worker, task in jobs:
                if number == 0:
                    progress.set_postfix_str(f"{worker.spec.label}, {task.search}, set-up")
                    sample = _sources(model, _OTHER)
                    with field.turn(worker):
                        worker.prepare(task._replace(limit=_OTHER), sample)
            for point in grid:
                for worker, task in jobs:
                    key = worker.spec.label, task.search, point
                    progress.set_postfix_str(", ".join(map(str, key)))
                    with field.turn(worker):
                        worker.memory()  # from now on, the peak is this point's
                        turn = worker.translate(
                            task._replace(limit=point[1]), _sources(model, point[0])
                        )
                        peaks.setdefault(key, worker.memory()["peak_rss"])
                    seconds.setdefault(key, []).append(sum(turn.seconds))
                    progress.update()
                if number == 0 and not budget.left():
                    grid = grid[: grid.index(point) + 1]
                    break
            if time.monotonic() - started > budget.left():
                break
    return [_summary(worker.spec.label, task.search, grid, seconds, peaks) for worker, task in jobs]


def _sources(model: BenchModel, length: int) -> list[TokenIds]:
    rng = random.Random(f"{model.seed}/{length}")
    ids = range(FIRST_FREE_ID, model.config.src_vocab_size)
    if not ids:
        ids = range(model.config.unk_id, model.config.src_vocab_size)
    return [(*rng.choices(ids, k=length - 1), model.config.eos_id) for _ in range(SEQUENCES)]


def _summary(
    label: str,
    search: Search,
    grid: Sequence[Point],
    seconds: Mapping[tuple[str, Search, Point], Sequence[float]],
    peaks: Mapping[tuple[str, Search, Point], int],
) -> dict[str, Any]:
    spreads = {point: spread(seconds[label, search, point]) for point in grid}
    medians = {point: float(found["median"]) for point, found in spreads.items()}
    shares, error = attention_shares(medians)
    return {
        "contender": label,
        "search": search,
        "points": [
            {
                "source": point[0],
                "target": point[1],
                "seconds": spreads[point],
                "attention": shares[point],
                "peak_rss": peaks[label, search, point],
            }
            for point in grid
        ],
        "attention_error": error,
    }


def attention_shares(seconds: Mapping[Point, float]) -> tuple[dict[Point, float], float]:
    """Attention's share of each time, 0 to 1, and by how much at most the model misses a time.

    With S source and T target tokens, a time is taken for a + bS + cT + dSS + eST + fTT, none of
    them negative: d is self-attention of the encoder, e cross-attention, f self-attention of the
    decoder. Each time counts by its own size.
    """
    times = np.array(list(seconds.values()))
    source, target = np.array(list(seconds), dtype=np.float64).T
    terms = np.stack([source**0, source, target, source**2, source * target, target**2], axis=1)
    found = _not_negative(terms / times[:, None])
    total = terms @ found
    shares = terms[:, 3:] @ found[3:] / total
    error = float(np.abs(total / times - 1).max())
    return {point: float(share) for point, share in zip(seconds, shares, strict=True)}, error


def _not_negative(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """The factors, least squares, with which terms (N, K) come to one; what would be negative, the
    most negative first, is left out."""
    found = np.zeros(terms.shape[1])
    kept = list(range(terms.shape[1]))
    while kept:
        scale = np.abs(terms[:, kept]).max(axis=0)
        solved = np.linalg.lstsq(terms[:, kept] / scale, np.ones(len(terms)), rcond=None)[0]
        if solved.min() >= 0:
            found[kept] = solved / scale
            break
        del kept[int(solved.argmin())]
    return found


def side_points(one: Mapping[str, Any], side: str) -> list[Mapping[str, Any]]:
    """The points of a contender where only this side changes, shortest first."""
    other = "target" if side == "source" else "source"
    chosen = [point for point in one["points"] if point[other] == _OTHER and point[side] > 1]
    return sorted(chosen, key=lambda point: int(point[side]))


def length_tables(measured: Sequence[Mapping[str, Any]]) -> str:
    """A table for each side, search and contender."""
    parts = []
    for one in measured:
        for side in ("source", "target"):
            rows = []
            half = math.nan
            for point in side_points(one, side):
                seconds = point["seconds"]["median"]
                rows.append(
                    [
                        str(point[side]),
                        shown(1e3 * seconds),
                        "" if math.isnan(half) else f"{seconds / half:.2f}",
                        f"{point['attention']:.0%}",
                        f"{point['peak_rss'] / 2**20:.0f}",
                    ]
                )
                half = seconds
            title = f"{one['contender']}, {one['search']}, tokens of the {side}"
            headings = [title, "ms", "times the half", "attention", "peak RSS, MiB"]
            parts.append(as_table((headings, rows)))
    return "\n\n".join(parts)

"""What is said of the figures of an overload: words, tables, thresholds missed, and notes."""

from __future__ import annotations

from typing import Any

from loadtests.open_loop.thresholds import Thresholds, at_least, at_most
from loadtests.report import Table, cell

__all__ = ["in_words", "misses", "notes", "tables"]

_BUSY_GENERATOR = 0.25
"""Share of a core: more than that is missed by a service on the same machine."""

Figures = dict[str, Any]
"""As `Overload.figures` has them."""


def misses(figures: Figures, wanted: Thresholds) -> list[str | None]:
    """What the thresholds ask for and was not reached; None where it was."""
    p95, bare = figures["refusal_p95_ms"], figures["without_retry_after"]
    share = "the goodput, as a share of the peak,"
    return [
        at_least(share, figures["goodput_share"], wanted.min_goodput_share),
        at_most("the number of late answers", figures["late"], wanted.max_late),
        # Who refused nobody was quick to do so.
        None
        if p95 is None
        else at_most("p95 of the refusals, in ms,", p95, wanted.max_refusal_p95_ms),
        at_most("the share of refusals without Retry-After", bare, wanted.max_without_retry_after),
        at_most("the recovery, in s,", figures["recovery_seconds"], wanted.max_recovery_seconds),
    ]


def notes(figures: Figures) -> list[str]:
    """What whoever reads the figures must know."""
    found = []
    if not figures["peak_is_known"]:
        found.append("the service bore all that the search offered: its peak lies beyond")
    cpu = figures["generator_cpu"]
    if cpu is not None and cpu > _BUSY_GENERATOR:
        found.append(f"the load generator used {cpu:.0%} of a core during the overload")
    ended = any(phase["name"] == "after" for phase in figures["phases"])
    if ended and figures["recovery_seconds"] is None:
        found.append("answers were not seen to become as quick as before")
    return found


def in_words(figures: Figures) -> str:
    """The verdict in a few lines."""
    turns = [phase for phase in figures["phases"] if phase["name"] == "overload"]
    if not turns or figures["goodput_share"] is None:
        return "Overload: it did not come to that"
    shares = ", ".join(f"{one:.0%}" for one in figures["turn_shares"])
    late, recovery = figures["late"], figures["recovery_seconds"]
    kept = "no deadline was set" if late is None else f"{late} were later than their deadline"
    back = "not seen" if recovery is None else f"{recovery:.1f} s"
    return (
        f"Overload: {turns[-1]['rate']:.0f} requests/s for "
        f"{sum(one['ended'] - one['began'] for one in turns):.0f} s in turns with the peak; "
        f"{figures['goodput']:.1f} right answers/s, {figures['goodput_share']:.1%} of the peak, "
        f"{figures['peak_goodput']:.1f}\n"
        f"Turn by turn: {shares}\n"
        f"Accepted during the overload: p95 {cell(figures['accepted_p95_ms'])} ms; {kept}\n"
        f"Refused: {figures['refused']} requests, p95 {cell(figures['refusal_p95_ms'])} ms, "
        f"{figures['without_retry_after']:.2%} without Retry-After\n"
        f"Neither answered rightly nor refused: {figures['failed']} requests\n"
        f"As quick as before (95 % within {cell(figures['before_p95_ms'])} ms) after: {back}"
    )


def tables(figures: Figures) -> list[Table]:
    """One line for each phase; and refusals by status."""
    names = ["offered/s", "requests", "right/s", "refused", "failed", "p50 ms", "p95 ms"]
    phases = [
        [
            f"{one['name']}, {one['began']:.0f} to {one['ended']:.0f} s",
            f"{one['requests'] / (one['ended'] - one['began']):.1f}",
            str(one["requests"]),
            f"{one['goodput']:.1f}",
            str(one["refused"]),
            str(one["failed"]),
            cell(one["p50_ms"]),
            cell(one["p95_ms"]),
        ]
        for one in figures["phases"]
    ]
    bare = figures["without_retry_after_by_status"]
    refusals = [
        [status, str(count), str(bare.get(status, 0))]
        for status, count in figures["refusals_by_status"].items()
    ]
    return [
        (["phase", *names], phases),
        (["refusals by status", "requests", "without Retry-After"], refusals),
    ]

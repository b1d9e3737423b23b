"""What is said of an overload: lines of a table, JSON, thresholds missed, and what to know."""

from __future__ import annotations

from typing import Any

from loadtests.open_loop.exchanges import percentile
from loadtests.open_loop.overload.figures import Overload, Phase, PhaseName, unanswered
from loadtests.open_loop.thresholds import Thresholds, at_least, at_most
from loadtests.report import PERCENTILES, Table, cell_ms, ms, rounded

__all__ = ["as_json", "in_words", "misses", "notes", "tables"]

_BUSY_GENERATOR = 0.25
"""Of a core: more than that is missed by a service on the same machine."""


def misses(overload: Overload, wanted: Thresholds) -> list[str | None]:
    """What the thresholds ask for and was not reached; None where it was."""
    p95 = ms(overload.refusal_seconds(0.95))
    return [
        at_least(
            "the goodput, as a share of the peak,", overload.goodput_share, wanted.min_goodput_share
        ),
        at_most("the number of late answers", overload.late, wanted.max_late),
        # Who refused nobody was quick to do so.
        None
        if p95 is None
        else at_most("p95 of the refusals, in ms,", p95, wanted.max_refusal_p95_ms),
        at_most(
            "the share of refusals without Retry-After",
            overload.without_retry_after,
            wanted.max_without_retry_after,
        ),
        at_most("the recovery, in s,", overload.recovery_seconds, wanted.max_recovery_seconds),
    ]


def notes(overload: Overload) -> list[str]:
    """What whoever reads the figures must know."""
    found = []
    if not overload.peak_is_known:
        found.append("the service bore all that the search offered: its peak lies beyond")
    cpu = overload.generator_cpu
    if cpu is not None and cpu > _BUSY_GENERATOR:
        found.append(f"the load generator used {cpu:.0%} of a core during the overload")
    if overload.all(PhaseName.AFTER) and overload.recovery_seconds is None:
        found.append("answers were not seen to become as quick as before")
    return found


def in_words(overload: Overload) -> str:
    """The verdict in a few lines."""
    phases = overload.all(PhaseName.OVERLOAD)
    share, late, recovery = overload.goodput_share, overload.late, overload.recovery_seconds
    if not phases or share is None:
        return "Overload: it did not come to that"
    turns = ", ".join(f"{one:.0%}" for one in overload.turn_shares)
    kept = "no deadline was set" if late is None else f"{late} were later than their deadline"
    back = "not seen" if recovery is None else f"{recovery:.1f} s"
    return (
        f"Overload: {phases[-1].rate:.0f} requests/s for {overload.overload_seconds:.0f} s in "
        f"turns with the peak; {overload.goodput:.1f} right answers/s, {share:.1%} of the peak, "
        f"{overload.peak:.1f}\n"
        f"Turn by turn: {turns}\n"
        f"Accepted during the overload: p95 {cell_ms(overload.accepted_seconds(0.95))} ms; "
        f"{kept}\n"
        f"Refused: {len(overload.refused)} requests, p95 "
        f"{cell_ms(overload.refusal_seconds(0.95))} ms, "
        f"{overload.without_retry_after:.2%} without Retry-After\n"
        f"Neither answered rightly nor refused: {overload.failed} requests\n"
        f"As quick as before (95 % within {cell_ms(overload.quick_seconds)} ms) after: {back}"
    )


def tables(overload: Overload) -> list[Table]:
    """One line for each phase; and refusals by status."""
    names = ["offered/s", "requests", "right/s", "refused", "failed", "p50 ms", "p95 ms"]
    phases = [_phase_cells(overload, phase) for phase in overload.phases]
    statuses = overload.refused.rows["status"]
    bare = statuses[~overload.refused.rows["has_retry_after"]]
    refusals = [
        [str(status), str(count), str(int((bare == status).sum()))]
        for status, count in sorted(overload.refusals_by_status.items())
    ]
    return [
        (["phase", *names], phases),
        (["refusals by status", "requests", "without Retry-After"], refusals),
    ]


def as_json(overload: Overload) -> dict[str, Any]:
    """For the line of JSON."""
    share = overload.goodput_share
    return {
        "peak_goodput": rounded(overload.peak),
        "peak_is_known": overload.peak_is_known,
        "goodput": rounded(overload.goodput),
        "goodput_share": None if share is None else round(share, 4),
        "turn_shares": [round(one, 4) for one in overload.turn_shares],
        "deadline": overload.deadline,
        "late": overload.late,
        "refused": len(overload.refused),
        "refusals_by_status": {str(s): n for s, n in overload.refusals_by_status.items()},
        "refusal_p50_ms": ms(overload.refusal_seconds(0.50)),
        "refusal_p95_ms": ms(overload.refusal_seconds(0.95)),
        "without_retry_after": round(overload.without_retry_after, 6),
        "failed": overload.failed,
        **{
            f"accepted_p{100 * share:.0f}_ms": ms(overload.accepted_seconds(share))
            for share in PERCENTILES
        },
        "before_p95_ms": ms(overload.quick_seconds),
        "recovery_seconds": rounded(overload.recovery_seconds),
        "send_delay_p99_ms": ms(overload.send_delay(0.99)),
        "generator_cpu": rounded(overload.generator_cpu),
        "phases": [_phase_json(overload, phase) for phase in overload.phases],
    }


def _phase_cells(overload: Overload, phase: Phase) -> list[str]:
    planned = overload.planned_in(phase)
    return [
        f"{phase.name}, {phase.began:.0f} to {phase.ended:.0f} s",
        f"{len(planned) / phase.seconds:.1f}",
        str(len(planned)),
        f"{overload.goodput_in(phase):.1f}",
        str(planned.refused.sum()),
        str(unanswered(planned)),
        *(cell_ms(percentile(planned.seconds[planned.right], share)) for share in (0.50, 0.95)),
    ]


def _phase_json(overload: Overload, phase: Phase) -> dict[str, Any]:
    planned = overload.planned_in(phase)
    return {
        "name": phase.name,
        "began": rounded(phase.began),
        "ended": rounded(phase.ended),
        "rate": rounded(phase.rate),
        "requests": len(planned),
        "goodput": rounded(overload.goodput_in(phase)),
        "refused": int(planned.refused.sum()),
        "failed": unanswered(planned),
    }

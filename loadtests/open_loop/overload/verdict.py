"""What is said of an overload: lines of a table, JSON, thresholds missed, and what to know."""

from __future__ import annotations

from typing import Any

from loadtests.open_loop.options import Thresholds
from loadtests.open_loop.overload.figures import Overload, Phase, PhaseName

__all__ = ["as_json", "in_words", "misses", "notes", "phase_table", "status_table"]

_BUSY_GENERATOR = 0.25
"""Of a core: more than that is missed by a service on the same machine."""
_PERCENTILES = (0.50, 0.95, 0.99)

_Table = tuple[list[str], list[list[str]]]


def misses(overload: Overload, wanted: Thresholds) -> list[str]:
    """What the thresholds ask for and was not reached."""
    p95 = _ms(overload.refusal_seconds(0.95))
    most = wanted.max_refusal_p95_ms
    found = [
        _below(
            "the goodput, as a share of the peak,", overload.goodput_share, wanted.min_goodput_share
        ),
        _above("the number of late answers", overload.late, wanted.max_late),
        # Who refused nobody was quick to do so.
        None if p95 is None else _above("p95 of the refusals, in ms,", p95, most),
        _above(
            "the share of refusals without Retry-After",
            overload.without_retry_after,
            wanted.max_without_retry_after,
        ),
        _above("the recovery, in s,", overload.recovery_seconds, wanted.max_recovery_seconds),
    ]
    return [miss for miss in found if miss is not None]


def notes(overload: Overload) -> list[str]:
    """What whoever reads the figures must know."""
    found = []
    if not overload.peak_is_known:
        found.append("the service bore all that the search offered: its peak lies beyond")
    cpu = overload.generator_cpu
    if cpu is not None and cpu > _BUSY_GENERATOR:
        found.append(f"the load generator used {cpu:.0%} of a core during the overload")
    if overload.phase(PhaseName.AFTER) is not None and overload.recovery_seconds is None:
        found.append("answers were not seen to become as quick as before")
    return found


def in_words(overload: Overload) -> str:
    """The verdict in a few lines."""
    phase = overload.phase(PhaseName.OVERLOAD)
    if phase is None or overload.goodput is None or not overload.peak:
        return "Overload: it did not come to that"
    share = overload.goodput / overload.peak
    turns = ", ".join(f"{one:.0%}" for one in overload.turn_shares)
    late = overload.late
    kept = "no deadline was set" if late is None else f"{late} were later than their deadline"
    refused = len(overload.refused)
    recovery = overload.recovery_seconds
    back = "not seen" if recovery is None else f"{recovery:.1f} s"
    return (
        f"Overload: {phase.rate:.0f} requests/s for {overload.overload_seconds:.0f} s in turns "
        f"with the peak; {overload.goodput:.1f} right answers/s, {share:.1%} of the peak, "
        f"{overload.peak:.1f}\n"
        f"Turn by turn: {turns}\n"
        f"Accepted during the overload: p95 {_cell(overload.accepted_seconds(0.95))} ms; "
        f"{kept}\n"
        f"Refused: {refused} requests, p95 {_cell(overload.refusal_seconds(0.95))} ms, "
        f"{overload.without_retry_after:.2%} without Retry-After\n"
        f"Neither answered rightly nor refused: {overload.failed} requests\n"
        f"As quick as before (95 % within {_cell(overload.quick_seconds)} ms) after: {back}"
    )


def phase_table(overload: Overload) -> _Table:
    """One line for each phase."""
    rows = [_phase_cells(overload, phase) for phase in overload.phases]
    names = ["offered/s", "requests", "right/s", "refused", "failed", "p50 ms", "p95 ms"]
    return ["phase", *names], rows


def status_table(overload: Overload) -> _Table:
    """Refusals by status; no rows if there were none."""
    rows = []
    for status, count in sorted(overload.refusals_by_status.items()):
        bare = sum(one.status == status and not one.has_retry_after for one in overload.refused)
        rows.append([str(status), str(count), str(bare)])
    return ["refusals by status", "requests", "without Retry-After"], rows


def as_json(overload: Overload) -> dict[str, Any]:
    """For the line of JSON."""
    share = overload.goodput_share
    return {
        "peak_goodput": _rounded(overload.peak),
        "peak_is_known": overload.peak_is_known,
        "goodput": _rounded(overload.goodput),
        "goodput_share": None if share is None else round(share, 4),
        "turn_shares": [round(one, 4) for one in overload.turn_shares],
        "deadline": overload.deadline,
        "late": overload.late,
        "refused": len(overload.refused),
        "refusals_by_status": {str(s): n for s, n in overload.refusals_by_status.items()},
        "refusal_p50_ms": _ms(overload.refusal_seconds(0.50)),
        "refusal_p95_ms": _ms(overload.refusal_seconds(0.95)),
        "without_retry_after": round(overload.without_retry_after, 6),
        "failed": overload.failed,
        **{
            f"accepted_p{100 * share:.0f}_ms": _ms(overload.accepted_seconds(share))
            for share in _PERCENTILES
        },
        "before_p95_ms": _ms(overload.quick_seconds),
        "recovery_seconds": _rounded(overload.recovery_seconds),
        "send_delay_p99_ms": _ms(overload.send_delay(0.99)),
        "generator_cpu": _rounded(overload.generator_cpu),
        "phases": [_phase_json(overload, phase) for phase in overload.phases],
    }


def _phase_cells(overload: Overload, phase: Phase) -> list[str]:
    planned = overload.planned_in(phase)
    times = sorted(one.seconds for one in planned if one.right and one.seconds is not None)
    return [
        f"{phase.name}, {phase.began:.0f} to {phase.ended:.0f} s",
        f"{len(planned) / phase.seconds:.1f}",
        str(len(planned)),
        f"{overload.goodput_in(phase):.1f}",
        str(sum(one.refused for one in planned)),
        str(sum(one.failed for one in planned)),
        *(_cell(times[int(share * len(times))] if times else None) for share in (0.50, 0.95)),
    ]


def _phase_json(overload: Overload, phase: Phase) -> dict[str, Any]:
    planned = overload.planned_in(phase)
    return {
        "name": phase.name,
        "began": _rounded(phase.began),
        "ended": _rounded(phase.ended),
        "rate": _rounded(phase.rate),
        "requests": len(planned),
        "goodput": _rounded(overload.goodput_in(phase)),
        "refused": sum(one.refused for one in planned),
        "failed": sum(one.failed for one in planned),
    }


def _below(name: str, value: float | None, least: float | None) -> str | None:
    if least is None or (value is not None and value >= least):
        return None
    was = "there is none" if value is None else f"is {value:.4g}"
    return f"{name} must be at least {least:g}, but {was}"


def _above(name: str, value: float | None, most: float | None) -> str | None:
    if most is None or (value is not None and value <= most):
        return None
    was = "was not seen" if value is None else f"is {value:.4g}"
    return f"{name} must be at most {most:g}, but {was}"


def _cell(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{1e3 * seconds:.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.1f}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else _rounded(1e3 * seconds)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")

"""What a case may have found."""

from __future__ import annotations

from typing import Any

from loadtests.faults.__main__ import Findings

WELL = {"sent": 320, "failed": 0, "worst_seconds": 0.0625, "faults": []}
ILL = {
    "sent": 420,
    "failed": 2,
    "worst_seconds": 1.5,
    "faults": ["status 500: no", "status 502: no"],
}


def findings(**changes: Any) -> Findings:
    """Findings of a service that bore it, but for the changes."""
    found: Findings = {
        "case": "gateway-killed",
        "before": WELL,
        "after": WELL,
        "retried": {},
        "whole_after_seconds": 2.25,
        "refused": 0,
    }
    return found | changes

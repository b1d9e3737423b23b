"""The one request that is sent again and again, and the answer it must get."""

from __future__ import annotations

from typing import Any

from loadtests.mix import Kind, Request

__all__ = ["ANSWER", "MODEL", "PAIR", "REQUEST", "TEXTS"]

MODEL = "fake"
PAIR = ("en", "de")
TEXTS = (
    "Two children are playing in front of a church.",
    "It is raining. They do not mind.",
)
"""More than one text and one sentence: what is sent on for a request must not depend on it."""
_TARGETS = (
    "Zwei Kinder spielen vor einer Kirche.",
    "Es regnet. Es macht ihnen nichts aus.",
)

ANSWER: dict[str, Any] = {
    "translations": [{"text": target, "finish_reason": "stop"} for target in _TARGETS],
    "model": MODEL,
    "usage": {"source_tokens": 22, "target_tokens": 20},
    "timings": {"queue_seconds": 0.0, "encode_seconds": 0.0, "decode_seconds": 0.0},
}
"""In the form of the native API."""


def _fault_of(answer: object) -> str | None:
    return None if answer == ANSWER else f"an answer must be {ANSWER!r}, but is {answer!r}"


REQUEST = Request(
    kind=Kind.LIST,
    body={"texts": TEXTS, "source": PAIR[0], "target": PAIR[1]},
    fault_of=_fault_of,
)

"""The one request that is sent again and again, and the answer it must get, byte for byte."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["ANSWER", "ANSWER_BYTES", "MODEL", "PAIR", "PATH", "REQUEST_BYTES", "TEXTS"]

PATH = "/v1/translate"
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

REQUEST_BYTES = json.dumps({"texts": TEXTS, "source": PAIR[0], "target": PAIR[1]}).encode()
ANSWER_BYTES = json.dumps(ANSWER, ensure_ascii=False, separators=(",", ":")).encode()

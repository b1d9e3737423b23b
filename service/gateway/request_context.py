"""What the gateway knows of one request, from its first byte to its log line."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, Self

from model.config import Priority

__all__ = ["RequestContext", "is_safe_id", "request_id_from"]

_SCOPE_KEY = "polyhead.request"
_SAFE_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """Travels in the ASGI scope; the handler of a route adds what only it knows."""

    request_id: str
    route: str
    """Template of the path, or "other": a bounded set."""
    started: float = field(default_factory=time.monotonic)
    """time.monotonic() when the request came in."""
    priority: Priority = Priority.INTERACTIVE
    num_texts: int = 0
    source: str = ""
    """Set only once the service is known to serve the pair: a bounded set."""
    target: str = ""

    def attach(self, scope: MutableMapping[str, Any]) -> None:
        """Puts this where `of` finds it."""
        scope[_SCOPE_KEY] = self

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> Self:
        """The context of the request that `scope` belongs to."""
        context = scope[_SCOPE_KEY]
        if not isinstance(context, cls):
            raise TypeError(f"the scope must hold a RequestContext, but holds {type(context)}")
        return context


def is_safe_id(text: str) -> bool:
    """Whether a client's id is short, and harmless in a log."""
    return _SAFE_ID.fullmatch(text) is not None


def request_id_from(header: str | None) -> str:
    """The client's own id when it is safe, else a new one."""
    if header is not None and is_safe_id(header):
        return header
    return uuid.uuid4().hex

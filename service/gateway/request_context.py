"""The state of one request in the gateway, from its arrival to its log line."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Self

from model.config import Priority
from service.settings import Quota
from service.store.records import Scope

__all__ = [
    "OTHER_ROUTE",
    "REFUSAL",
    "REQUEST_ID_HEADER",
    "Caller",
    "RequestContext",
    "header",
    "is_safe_id",
    "request_id_from",
]

OTHER_ROUTE = "other"
"""The template of every path that belongs to no route, which keeps the set bounded."""
REQUEST_ID_HEADER = "X-Request-Id"
REFUSAL = "polyhead.refusal"
"""Key in the ASGI scope: why whoever stands before the gateway refuses the request."""
_SCOPE_KEY = "polyhead.request"
_SAFE_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request, as far as it matters."""

    subject: str
    """Whose use is counted: the id of a key, or "@" and an address; "" counts nothing."""
    owner: str | None
    """Whose stored things they see and change: the id of a key; "" where all clients share them,
    None for who may store nothing."""
    scopes: frozenset[Scope]
    quota: Quota


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """Per-request state in the ASGI scope; the handler of the route fills in the later fields."""

    request_id: str
    route: str
    """Template of the path, or "other": a bounded set."""
    meant: str = ""
    """The route that was probably meant, where the path has none; its contract answers."""
    started: float = field(default_factory=time.monotonic)
    """time.monotonic() when the request came in."""
    priority: Priority = Priority.INTERACTIVE
    caller: Caller | None = None
    """None until it is known: `AccessControl.admit`."""
    num_texts: int = 0
    source: str = ""
    """Empty until the pair is known to be served, so values form a bounded set."""
    target: str = ""
    model: str = ""
    """Id of the model that is asked now, or was asked last."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds inside the models by phase."""
    ended_with: int | None = None
    """Status of the error with which an answer ends that has begun well; None if it does not. The
    client has read another status."""

    def attach(self, scope: MutableMapping[str, Any]) -> None:
        """Stores this in `scope`, where `of` finds it."""
        scope[_SCOPE_KEY] = self

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> Self:
        """The context in `scope`; TypeError where there is none."""
        context = scope[_SCOPE_KEY]
        if not isinstance(context, cls):
            raise TypeError(f"the scope must hold a RequestContext, but holds {type(context)}")
        return context


def header(scope: Mapping[str, Any], name: bytes) -> str | None:
    """The first header of that name, which must be in small letters; None where there is none.

    Starlette's `Headers` reads the same in five times as long.
    """
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def is_safe_id(text: str) -> bool:
    """Whether a client's id is short enough and safe to log."""
    return _SAFE_ID.fullmatch(text) is not None


def request_id_from(header: str | None) -> str:
    """The client's own id when it is safe, else a new one."""
    if header is not None and is_safe_id(header):
        return header
    return secrets.token_hex(16)

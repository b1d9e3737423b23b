"""Admission control: how many requests at a time, how much each may ask for, and the last ones."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from model.config import Priority
from service.errors import InvalidFieldError, ModelUnavailableError, OverloadedError, shown
from service.gateway.request_context import RequestContext
from service.settings import Limits

__all__ = ["PRIORITY_HEADER", "TIMEOUT_HEADER", "Admission", "deadline_of", "priority_of"]

TIMEOUT_HEADER = "x-request-timeout-seconds"
PRIORITY_HEADER = "x-request-priority"
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

# A server in front, Ray Serve's among them, reads the same header and answers for us when the time
# is up: our own answer, which says more, must be on its way a little earlier.
_HEAD_START_SECONDS = 0.1
_HEAD_START_SHARE = 0.1


_SERVED_WHILE_DRAINING = frozenset({"/health", "/metrics"})
"""Routes answered while draining: the process is alive, and its last numbers count."""


class Admission:
    """Counts the requests in flight and decides which others join them. Of one event loop."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.draining = False
        self._in_flight: Counter[tuple[str, bool]] = Counter()
        """By route, and whether they have a body."""
        self._drained = asyncio.Event()

    @contextmanager
    def slot(self, context: RequestContext, *, has_body: bool) -> Iterator[None]:
        """Counts a request as in flight for as long as it is.

        Raises:
            ModelUnavailableError: the gateway is draining.
            OverloadedError: as many requests with a body are in flight as its priority allows.
        """
        if self.draining and context.route not in _SERVED_WHILE_DRAINING:
            raise ModelUnavailableError("the service is about to end; try again later")
        if has_body:
            self._check_capacity(context.priority)
        self._in_flight[context.route, has_body] += 1
        try:
            yield
        finally:
            self._in_flight[context.route, has_body] -= 1
            if self.draining and not self._num_to_drain():
                self._drained.set()

    async def drain(self) -> None:
        """Lets nothing in from now on, and returns when all that was let in is answered."""
        self.draining = True
        if self._num_to_drain():
            await self._drained.wait()

    def in_flight(self) -> dict[str, int]:
        """The requests in flight by route. May be called on any thread."""
        by_route: Counter[str] = Counter()
        for (route, _), count in dict(self._in_flight).items():  # copied at once
            by_route[route] += count
        return by_route

    def _num_to_drain(self) -> int:
        return sum(
            count
            for route, count in self.in_flight().items()
            if route not in _SERVED_WHILE_DRAINING
        )

    def _check_capacity(self, priority: Priority) -> None:
        most = self.limits.max_in_flight
        if priority is Priority.BATCH:
            most = int(most * self.limits.batch_share)
        now = sum(count for (_, has_body), count in self._in_flight.items() if has_body)
        if now >= most:
            raise OverloadedError(
                f"the server works on {now} requests, as many as it may for priority {priority}; "
                "try again later"
            )

    def check_texts(self, texts: Sequence[str], *, field: str, is_list: bool) -> None:
        """Refuses too many texts, too long ones, and characters that no text has.

        `field` is what the API calls the texts, or the one text if it was not in a list.
        """
        limits = self.limits
        if len(texts) > limits.max_texts:
            raise InvalidFieldError(
                f"`{field}` must have at most {limits.max_texts} texts, but has {len(texts)}",
                field=field,
            )
        total = 0
        for index, text in enumerate(texts):
            total += len(text)
            problem = self._problem_of(text)
            if problem is not None:
                name = f"{field}[{index}]" if is_list else field
                raise InvalidFieldError(f"`{name}` must {problem}", field=name)
        if total > limits.max_total_chars:
            raise InvalidFieldError(
                f"`{field}` must have at most {limits.max_total_chars} characters in all, "
                f"but has {total}",
                field=field,
            )

    def _problem_of(self, text: str) -> str | None:
        most = self.limits.max_text_chars
        if len(text) > most:
            return f"have at most {most} characters, but has {len(text)}"
        if "\0" in text:
            return f"not have the character U+0000, but has it at {text.index(chr(0))}"
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            return f"not have half of a surrogate pair, but has one at {exc.start}"
        return None

    def check_generation(self, options: Mapping[str, Any]) -> None:
        """Refuses a search that costs more than the operator allows."""
        limits = self.limits
        for name, most in (
            ("beam_size", limits.max_beam_size),
            ("num_hypotheses", limits.max_num_hypotheses),
            ("max_new_tokens", limits.max_new_tokens),
        ):
            if (value := options.get(name)) is not None and value > most:
                raise InvalidFieldError(
                    f"`generation.{name}` must be at most {most}, but is {shown(value)}",
                    field=f"generation.{name}",
                )


def priority_of(header: str | None) -> Priority:
    """Who goes first, as the client says."""
    if header is None:
        return Priority.INTERACTIVE
    try:
        return Priority(header)
    except ValueError:
        raise InvalidFieldError(
            f"the header `{PRIORITY_HEADER}` must be {' or '.join(Priority)}, "
            f"but is {shown(header)}",
            field=PRIORITY_HEADER,
        ) from None


def deadline_of(context: RequestContext, header: str | None, limits: Limits) -> float:
    """When the request must be answered, in time.monotonic() seconds."""
    allowed = limits.request_timeout_seconds
    if header is not None:
        allowed = min(allowed, _wanted_seconds(header))
    return context.started + allowed


def _wanted_seconds(header: str) -> float:
    wanted = float(header) if _DECIMAL.fullmatch(header) else math.nan
    if not wanted > 0:
        raise InvalidFieldError(
            f"the header `{TIMEOUT_HEADER}` must be a number of seconds above 0, "
            f"but is {shown(header)}",
            field=TIMEOUT_HEADER,
        )
    return wanted - min(_HEAD_START_SECONDS, wanted * _HEAD_START_SHARE)

"""Admission control: requests in flight, limits of one request, and draining."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from model.config import Priority
from model.text_options import NO_TEXT_OPTIONS, GlossaryEntry, TextOptions
from service.errors import (
    InvalidFieldError,
    ModelUnavailableError,
    OverloadedError,
    TextTooLongError,
    shown,
)
from service.gateway.request_context import RequestContext
from service.settings import Limits

__all__ = [
    "PRIORITY_HEADER",
    "TIMEOUT_HEADER",
    "Admission",
    "deadline_of",
    "priority_of",
    "problem_of_characters",
]

TIMEOUT_HEADER = "x-request-timeout-seconds"
PRIORITY_HEADER = "x-request-priority"
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

# A proxy may read the same header, as Ray Serve's does, and time out with an answer of its own. The
# gateway's answer says more, so it must leave a little earlier: by the smaller one of these two.
_PROXY_MARGIN_SECONDS = 0.1
_PROXY_MARGIN_SHARE = 0.1

_SERVED_WHILE_DRAINING = frozenset({"/health", "/metrics"})
"""Routes that are still served while draining."""


class Admission:
    """Counts the requests in flight and admits or refuses others. Belongs to one event loop.

    Args:
        limits: of requests.
        max_uploads: requests with a file at a time.
    """

    def __init__(self, limits: Limits, *, max_uploads: int = 4) -> None:
        self.limits = limits
        self.draining = False
        self._max_uploads = max_uploads
        self._num_uploads = 0
        self._in_flight: Counter[str] = Counter()
        """By route."""
        self._num_with_body = 0
        """Requests with a body that are in flight, and their further calls."""
        self._drained = asyncio.Event()

    def slot(
        self, context: RequestContext, *, has_body: bool, is_upload: bool = False
    ) -> AbstractContextManager[None]:
        """Admits a request, which counts as in flight within the `with`.

        Raises:
            ModelUnavailableError: the gateway is draining.
            OverloadedError: as many requests with a body are in flight as its priority allows, or
                as many with a file as there may be.
        """
        if self.draining and context.route not in _SERVED_WHILE_DRAINING:
            raise ModelUnavailableError("the service is about to end; try again later")
        if has_body and context.route not in _SERVED_WHILE_DRAINING:
            self._check_capacity(context.priority)
        if is_upload and self._num_uploads >= self._max_uploads:
            raise OverloadedError(
                f"the server takes in {self._num_uploads} files, as many as it may; try again later"
            )
        return _Slot(self, context.route, has_body=has_body, is_upload=is_upload)

    def count(self, route: str, change: int, *, has_body: bool, is_upload: bool) -> None:
        """Counts a request that comes (1) or goes (-1)."""
        self._in_flight[route] += change
        self._num_with_body += change * has_body
        self._num_uploads += change * is_upload
        if self.draining and not self._num_to_drain():
            self._drained.set()

    @contextmanager
    def further_calls(self, priority: Priority, wanted: int) -> Iterator[int]:
        """Counts calls to models that an admitted request makes at a time, beside its first one, as
        requests in flight: as many of those wanted as half of the room that is left is enough for.
        """
        now = max(0, min(wanted, (self._most(priority) - self._num_with_body) // 2))
        self._num_with_body += now
        try:
            yield now
        finally:
            self._num_with_body -= now

    async def drain(self) -> None:
        """Refuses requests from now on; returns when all admitted ones are answered."""
        self.draining = True
        if self._num_to_drain():
            await self._drained.wait()

    def in_flight(self) -> dict[str, int]:
        """Requests in flight by route. Thread-safe."""
        return dict(self._in_flight)  # copied at once

    def _num_to_drain(self) -> int:
        return sum(
            count
            for route, count in self.in_flight().items()
            if route not in _SERVED_WHILE_DRAINING
        )

    def _check_capacity(self, priority: Priority) -> None:
        now = self._num_with_body
        if now >= self._most(priority):
            raise OverloadedError(
                f"the server works on {now} requests, as many as it may for priority {priority}; "
                "try again later"
            )

    def _most(self, priority: Priority) -> int:
        most = self.limits.max_in_flight
        return int(most * self.limits.batch_share) if priority is Priority.BATCH else most

    def check_texts(self, texts: Sequence[str], *, field: str, is_list: bool) -> None:
        """InvalidFieldError for too many texts, too long ones (TextTooLongError), and invalid
        characters.

        `field` is the contract's name for the texts, or for the text if `is_list` is False.
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
            problem, is_long = problem_of_characters(text), len(text) > limits.max_text_chars
            if problem is None and not is_long:
                continue
            name = f"{field}[{index}]" if is_list else field
            if is_long:
                raise TextTooLongError(
                    f"`{name}` must have at most {limits.max_text_chars} characters, but has "
                    f"{len(text)}",
                    field=name,
                )
            raise InvalidFieldError(f"`{name}` must {problem}", field=name)
        if total > limits.max_total_chars:
            raise TextTooLongError(
                f"`{field}` must have at most {limits.max_total_chars} characters in all, "
                f"but has {total}",
                field=field,
            )

    def check_generation(self, options: Mapping[str, Any]) -> None:
        """InvalidFieldError for a search that costs more than the limits allow."""
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

    def check_stored_glossary(self, entries: Sequence[GlossaryEntry]) -> None:
        """InvalidFieldError for a dictionary that may not be stored."""
        more = self.limits.max_stored_glossary_entries - self.limits.max_glossary_entries
        self.check_text_options(TextOptions(glossary=tuple(entries)), num_stored=more)

    def check_text_options(self, options: TextOptions, *, num_stored: int = 0) -> None:
        """InvalidFieldError for more terms than the limits allow, or longer ones.

        Args:
            options: of a request.
            num_stored: terms of a stored glossary that are among them, and do not count.
        """
        if options is NO_TEXT_OPTIONS:
            return
        limits = self.limits
        forms = [form for entry in options.glossary for form in entry.targets]
        for field, what, was, most in (
            (
                "glossary", "entries", len(options.glossary),
                limits.max_glossary_entries + num_stored,
            ),
            (
                "glossary",
                "forms for an entry",
                max((len(entry.targets) for entry in options.glossary), default=0),
                limits.max_term_forms,
            ),
            ("glossary", *_longest([*(e.source for e in options.glossary), *forms], limits)),
            ("keep", "entries", len(options.keep) + len(options.keep_spans), limits.max_kept),
            ("keep", *_longest(options.keep, limits)),
            ("banned_terms", "terms", len(options.banned_terms), limits.max_banned_terms),
            ("banned_terms", *_longest(options.banned_terms, limits)),
            (
                "target_prefix", "characters", len(options.target_prefix), limits.max_prefix_chars,
            ),
        ):  # fmt: skip
            if was > most:
                raise InvalidFieldError(
                    f"`{field}` must have at most {most} {what}, but has {was}", field=field
                )

    def check_answer(
        self,
        texts: Sequence[str],
        num_hypotheses: int,
        *,
        field: str,
        return_alignments: bool = False,
    ) -> None:
        """TextTooLongError for an answer that may be too long: hypotheses times characters.

        The alignment of a hypothesis counts as so many hypotheses as it is longer than one.
        """
        weight = 1 + _ALIGNMENT_WEIGHT * return_alignments
        most = self.limits.max_hypothesis_chars // (num_hypotheses * weight)
        if (total := sum(map(len, texts))) > most:
            hypotheses = "1 hypothesis" if num_hypotheses == 1 else f"{num_hypotheses} hypotheses"
            aligned = " and `return_alignments`" if return_alignments else ""
            raise TextTooLongError(
                f"`{field}` must have at most {most} characters in all with {hypotheses}{aligned}, "
                f"but has {total}",
                field=field,
            )


class _Slot(AbstractContextManager[None]):
    """A request's place in flight. Each request has one, and a generator would take longer."""

    def __init__(
        self, admission: Admission, route: str, *, has_body: bool, is_upload: bool
    ) -> None:
        self._admission = admission
        self._route = route
        self._kind = {"has_body": has_body, "is_upload": is_upload}

    def __enter__(self) -> None:
        self._admission.count(self._route, 1, **self._kind)

    def __exit__(self, *_: object) -> None:
        self._admission.count(self._route, -1, **self._kind)


def problem_of_characters(text: str) -> str | None:
    """What a text must not have, and has; None if there is nothing."""
    if "\0" in text:
        return f"not have the character U+0000, but has it at {text.index(chr(0))}"
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        return f"not have half of a surrogate pair, but has one at {exc.start}"
    return None


def _longest(terms: Iterable[str], limits: Limits) -> tuple[str, int, int]:
    """What is limited of each of `terms`, the most of it that one has, and the limit."""
    return "characters in a term", max(map(len, terms), default=0), limits.max_term_chars


_ALIGNMENT_WEIGHT = 8
"""Times the length of a translation that its alignment has in the answer, in usual text."""


def priority_of(header: str | None) -> Priority:
    """The priority that the header asks for; InvalidFieldError if there is no such one."""
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
    """When the request must be answered, in time.monotonic() seconds.

    Raises:
        InvalidFieldError: the header is not a number above 0.
    """
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
    return wanted - min(_PROXY_MARGIN_SECONDS, wanted * _PROXY_MARGIN_SHARE)

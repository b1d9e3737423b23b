"""What a replica tells of a call while it works on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from model.translation import TextDelta
from service.protocol import TranslateReply

__all__ = ["CallEvent", "CallStream"]

CallEvent = tuple[TextDelta, ...] | TranslateReply
"""Deltas in reading order, and at last the reply."""


class CallStream:
    """The events of one call, of which the first is there.

    Args:
        events: all of them.
        first: which has been taken out of `events`.
    """

    def __init__(self, events: AsyncGenerator[CallEvent], first: CallEvent) -> None:
        self._events = events
        self._first = first

    @classmethod
    async def begun(cls, events: AsyncGenerator[CallEvent]) -> CallStream:
        """Waits for the first event; raises what comes in its place."""
        return cls(events, await anext(events))

    async def __aiter__(self) -> AsyncIterator[CallEvent]:
        """The events in their order."""
        yield self._first
        async for event in self._events:
            yield event

    async def close(self) -> None:
        """Gives up what has not come yet."""
        await self._events.aclose()

"""Calls that begin in the same turn of the event loop, sent to a replica together.

What Serve does for a call costs more than all that the gateway does, whatever the call holds. Under
load, when several requests have come by the time the loop looks, they share it. A call that nobody
shares is sent as it is, in the same turn.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from model.errors import EngineDeadError
from model.text_options import NO_TEXT_OPTIONS
from service.observability.tracing import is_traced
from service.protocol import CallOutcome, TranslateCall, TranslateReply
from service.routing.attempts import Attempt
from service.routing.router import ReplicaLostError

__all__ = ["CallBatches", "UnknownMethodError"]

_MOST_CALLS = 16
_MOST_CHARACTERS = 2048
"""In the texts of a call: a batch is one message, and so may be the replies, which have 4 MB."""

_ALONE_SECONDS = 10.0
"""After a replica that knows no batches: the others of its version are about to be replaced too."""

OpenStream = Callable[
    [Attempt, str, tuple[TranslateCall, ...]], AsyncGenerator[Sequence[CallOutcome]]
]
"""Sends a batch, by its id, to a replica; gives what became of its calls, as they end.

A batch is no type of its own, which a replica of an earlier version could not even read.
"""


class UnknownMethodError(Exception):
    """The replica is of another version, without the method; it has done nothing."""


class CallBatches:
    """Puts calls together. Belongs to one event loop.

    Where a replica knows no batches, as one of an earlier version, each call is sent alone.

    Args:
        open_stream: sends a batch.
        num_replicas: that can take calls now: what comes at once is spread over them.
    """

    def __init__(self, open_stream: OpenStream, num_replicas: Callable[[], int]) -> None:
        self._open_stream = open_stream
        self._num_replicas = num_replicas
        self._waiting: dict[str, list[_Member]] = {}
        """By the key of the model, until this turn of the loop ends."""
        self._running: set[asyncio.Task[None]] = set()
        self._alone_until = 0.0
        """In time.monotonic() seconds."""

    async def translate(
        self, call: TranslateCall, attempt: Attempt, alone: Callable[[], Awaitable[TranslateReply]]
    ) -> TranslateReply:
        """The reply to a call, which is sent with others, or by `alone`.

        Raises:
            PolyheadError: what the replica raised.
            RuntimeError: the replica raised something else, which it has logged.
            As `open_stream`, for each call of a batch.
        """
        if (
            attempt.beside is not None
            or not _is_small(call)
            or is_traced()
            or time.monotonic() < self._alone_until
        ):
            return await alone()
        batch, member = await self._turn(call, attempt)
        if batch is not None:
            try:
                return await batch.reply(member)
            except UnknownMethodError:
                self._alone_until = time.monotonic() + _ALONE_SECONDS
                attempt.sent_as = attempt
        return await alone()

    async def _turn(self, call: TranslateCall, attempt: Attempt) -> tuple[_Batch | None, _Member]:
        """The batch of a call, when this turn of the loop has ended; None if it has none."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.get(call.model.key)
        if waiting is None:
            waiting = self._waiting[call.model.key] = []
            # In a context of its own: what Serve cancels with one request is not for all.
            loop.call_soon(self._send, call.model.key, context=contextvars.Context())
        member = _Member(call, attempt, loop.create_future(), loop.create_future())
        waiting.append(member)
        try:
            return await member.turn, member
        except asyncio.CancelledError:
            if not member.turn.cancelled() and (batch := member.turn.result()) is not None:
                batch.give_up(member)
            raise

    def _send(self, key: str) -> None:
        members = [one for one in self._waiting.pop(key) if not one.turn.done()]
        share = -(-len(members) // max(1, self._num_replicas()))
        size = max(1, min(_MOST_CALLS, share))
        for begin in range(0, len(members), size):
            together = members[begin : begin + size]
            batch = _Batch(together, self._open_stream) if len(together) > 1 else None
            if batch is not None:
                self._running.add(batch.task)
                batch.task.add_done_callback(self._running.discard)
            for one in together:
                one.turn.set_result(batch)


@dataclass(eq=False)
class _Member:
    """A call that has others beside it, if it is lucky."""

    call: TranslateCall
    attempt: Attempt
    turn: asyncio.Future[_Batch | None]
    """Its batch, when this turn of the loop has ended."""
    reply: asyncio.Future[TranslateReply]


class _Batch:
    """Calls on their way together; each may end, fail or be given up for itself.

    Args:
        members: at least two.
        open_stream: sends them.
    """

    def __init__(self, members: Sequence[_Member], open_stream: OpenStream) -> None:
        self._id = uuid.uuid4().hex
        self._members = members
        self._attempt = Attempt(num_calls=len(members))
        self._attempt.model = members[0].attempt.model
        for one in members:
            one.attempt.sent_as = self._attempt
        self.task = asyncio.get_running_loop().create_task(self._run(open_stream))
        """Ends with the last reply."""

    async def reply(self, member: _Member) -> TranslateReply:
        """The reply to one of the calls. To cancel it gives up that call alone."""
        try:
            return await member.reply
        except asyncio.CancelledError:
            self.give_up(member)
            raise

    def give_up(self, member: _Member) -> None:
        """Cancels the replica's work on one of the calls; on all, if it was the last one."""
        member.reply.cancel()
        if all(one.reply.done() for one in self._members):
            self.task.cancel()
        elif member.reply.cancelled():
            self._attempt.tell("give_up", self._id, self._members.index(member))

    async def _run(self, open_stream: OpenStream) -> None:
        error: Exception = ReplicaLostError("the replica ended the calls without a reply")
        calls = tuple(one.call for one in self._members)
        try:
            async with aclosing(open_stream(self._attempt, self._id, calls)) as outcomes:
                async for ended in outcomes:
                    for outcome in ended:
                        self._settle(self._members[outcome.number].reply, outcome)
        except Exception as raised:
            error = raised
        finally:  # also where this task is cancelled: nobody may wait for ever
            for one in self._members:
                if not one.reply.done():
                    one.reply.set_exception(error)

    def _settle(self, reply: asyncio.Future[TranslateReply], outcome: CallOutcome) -> None:
        if reply.done():  # given up
            return
        if isinstance(outcome.error, EngineDeadError):
            self._attempt.exclude_replica()
        if outcome.error is not None:
            reply.set_exception(outcome.error)
        elif outcome.reply is not None:
            reply.set_result(outcome.reply)


def _is_small(call: TranslateCall) -> bool:
    """Whether a call and its reply are short, as most are."""
    return (
        call.text_options is NO_TEXT_OPTIONS
        and call.max_attention_numbers is None
        and call.max_search_candidates is None
        and sum(map(len, call.texts)) <= _MOST_CHARACTERS
    )

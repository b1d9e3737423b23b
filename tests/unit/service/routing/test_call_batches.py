"""Calls that are sent together: each has the outcome that it would have had alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from model.errors import EngineDeadError, QueueFullError
from service.hosting.calls_together import CallsTogether
from service.protocol import CallOutcome, TranslateCall, TranslateReply
from service.routing.attempts import Attempt
from service.routing.call_batches import CallBatches, UnknownMethodError
from service.routing.router import ReplicaLostError
from tests.fakes import HOSTED, until

_CALL = TranslateCall(request_id="r", model=HOSTED, texts=("a",), source="en", target="de")


class _Replica:
    """Works on calls until it is told how they end, by the first text of each."""

    def __init__(self) -> None:
        self.alone: list[str] = []
        self.sent: list[list[str]] = []
        self.cancelled: list[str] = []
        self.attempts: list[Attempt] = []
        self.errors: dict[str, Exception] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.lost = asyncio.Event()
        self.unknown = False
        """Whether it is of a version without batches."""
        self.running: list[str] = []
        """Ids of batches."""
        self.num_replicas = 1
        self._together = CallsTogether(self.translate)
        self._batches = CallBatches(self._open, lambda: self.num_replicas)

    async def translate(self, call: TranslateCall) -> TranslateReply:
        """As a model would."""
        name = call.texts[0]
        try:
            if name in self.held:
                await self.held[name].wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if name in self.errors:
            raise self.errors[name]
        return TranslateReply(model=name, translations=())

    async def _open(
        self, attempt: Attempt, batch: str, calls: tuple[TranslateCall, ...]
    ) -> AsyncGenerator[list[CallOutcome]]:
        self.sent.append([call.texts[0] for call in calls])
        self.attempts.append(attempt)
        if self.unknown:
            raise UnknownMethodError
        self.running.append(batch)
        await asyncio.sleep(0)  # until a replica is chosen
        outcomes = self._together.outcomes(batch, calls)
        try:
            loop = asyncio.get_running_loop()
            attempt.tell_by(lambda _, *which: loop.call_soon(self._together.give_up, *which))
            async for ended in outcomes:
                yield list(ended)
                if self.lost.is_set():
                    raise ReplicaLostError("gone")
        finally:
            await outcomes.aclose()
            self.running.remove(batch)

    def ask(
        self, name: str, attempt: Attempt | None = None, call: TranslateCall = _CALL
    ) -> asyncio.Task[TranslateReply]:
        """A request for a text."""
        call = replace(call, texts=(name,))

        async def alone() -> TranslateReply:
            self.alone.append(name)
            return await self.translate(call)

        asked = self._batches.translate(call, attempt or Attempt(), alone)
        return asyncio.ensure_future(asked)


@pytest.fixture
def replica() -> _Replica:
    return _Replica()


async def test_calls_of_one_turn_go_together_and_get_their_own_replies(replica: _Replica) -> None:
    asked = [replica.ask(name) for name in "abc"]
    assert [(await each).model for each in asked] == ["a", "b", "c"]
    assert (replica.sent, replica.alone) == ([["a", "b", "c"]], [])
    [attempt] = replica.attempts
    assert attempt.num_calls == 3


async def test_a_call_that_nobody_shares_is_sent_as_it_is(replica: _Replica) -> None:
    for name in "ab":
        assert (await replica.ask(name)).model == name
    assert (replica.sent, replica.alone) == ([], ["a", "b"])


async def test_what_is_large_or_special_goes_alone(replica: _Replica) -> None:
    special = replace(_CALL, max_attention_numbers=9)
    asked = [
        replica.ask("x" * 2049),
        replica.ask("a", call=special),
        replica.ask("b", Attempt(beside=Attempt())),
        replica.ask("c"),
        replica.ask("d"),
    ]
    await asyncio.gather(*asked)
    assert replica.sent == [["c", "d"]]
    assert replica.alone == ["x" * 2049, "a", "b"]


async def test_models_have_batches_of_their_own(replica: _Replica) -> None:
    other = replace(_CALL, model=replace(HOSTED, key="other@1"))
    await asyncio.gather(*(replica.ask(name) for name in "ab"), replica.ask("c", call=other))
    assert (replica.sent, replica.alone) == ([["a", "b"]], ["c"])


@pytest.mark.parametrize(
    ("num_replicas", "sizes"), [(0, [16, 16, 3]), (1, [16, 16, 3]), (4, [9, 9, 9, 8])]
)
async def test_what_comes_at_once_is_spread(
    replica: _Replica, num_replicas: int, sizes: list[int]
) -> None:
    replica.num_replicas = num_replicas
    await asyncio.gather(*(replica.ask(str(number)) for number in range(35)))
    assert [len(each) for each in replica.sent] == sizes


async def test_none_waits_for_the_slowest(replica: _Replica) -> None:
    replica.held["b"] = asyncio.Event()
    first, second, third = (replica.ask(name) for name in "abc")
    assert [(await each).model for each in (first, third)] == ["a", "c"]
    assert not second.done()
    replica.held["b"].set()
    assert (await second).model == "b"


async def test_an_error_is_that_of_its_call_alone(replica: _Replica) -> None:
    replica.errors = {"a": QueueFullError("full"), "b": ZeroDivisionError("secret text")}
    first, second, third = (replica.ask(name) for name in "abc")
    with pytest.raises(QueueFullError, match="full"):
        await first
    with pytest.raises(RuntimeError, match=r"^a replica raised ZeroDivisionError$"):
        await second
    assert (await third).model == "c"


async def test_the_replica_of_a_dead_engine_is_excluded(replica: _Replica) -> None:
    replica.errors = {"b": EngineDeadError("dead")}
    replica.held["b"] = asyncio.Event()
    excluded: list[bool] = []
    first, second = replica.ask("a"), replica.ask("b")
    await until(lambda: replica.attempts != [])
    replica.attempts[0].exclude_replica = lambda: excluded.append(True)
    replica.held["b"].set()
    await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(second.exception(), EngineDeadError)
    assert excluded == [True]


async def test_who_leaves_cancels_one_call_and_the_last_one_all(replica: _Replica) -> None:
    replica.held = {name: asyncio.Event() for name in "abc"}
    first, second, third = (replica.ask(name) for name in "abc")
    await until(lambda: replica.sent != [])
    second.cancel()
    await until(lambda: replica.cancelled == ["b"])
    assert not first.done()
    assert not third.done()
    first.cancel()
    third.cancel()
    await until(lambda: sorted(replica.cancelled) == ["a", "b", "c"])


async def test_who_leaves_at_once_is_not_sent(replica: _Replica) -> None:
    first, second = replica.ask("a"), replica.ask("b")
    await asyncio.sleep(0)
    second.cancel()
    assert (await first).model == "a"
    assert (replica.sent, replica.alone) == ([], ["a"])


async def test_who_leaves_as_it_is_sent_is_given_up(replica: _Replica) -> None:
    replica.held["b"] = asyncio.Event()
    first, second = replica.ask("a"), replica.ask("b")
    await asyncio.sleep(0)
    # Behind what sends them, and before they hear of it.
    asyncio.get_running_loop().call_soon(second.cancel)
    assert (await first).model == "a"
    with pytest.raises(asyncio.CancelledError):
        await second
    await until(lambda: not replica.running)


async def test_a_lost_replica_loses_those_that_have_not_ended(replica: _Replica) -> None:
    replica.held["b"] = asyncio.Event()
    replica.lost.set()
    first, second = replica.ask("a"), replica.ask("b")
    assert (await first).model == "a"
    with pytest.raises(ReplicaLostError, match="gone"):
        await second


async def test_a_second_attempt_sees_where_the_first_one_went(replica: _Replica) -> None:
    attempt = Attempt()
    asked = [replica.ask("a", attempt), replica.ask("b")]
    await asyncio.gather(*asked)
    assert attempt.sent_as is replica.attempts[0]


async def test_a_replica_that_knows_no_batches_gets_each_call_alone_for_a_while(
    replica: _Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.unknown = True
    attempt = Attempt()
    first, second = replica.ask("a", attempt), replica.ask("b")
    assert [(await each).model for each in (first, second)] == ["a", "b"]
    assert (replica.sent, replica.alone) == ([["a", "b"]], ["a", "b"])
    assert attempt.sent_as is attempt
    replica.unknown = False
    await asyncio.gather(replica.ask("c"), replica.ask("d"))
    assert (len(replica.sent), replica.alone) == (1, ["a", "b", "c", "d"])
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    await asyncio.gather(replica.ask("e"), replica.ask("f"))
    assert (replica.sent[1:], len(replica.alone)) == ([["e", "f"]], 4)


async def test_none_waits_for_a_batch_that_has_been_cancelled(replica: _Replica) -> None:
    replica.held = {name: asyncio.Event() for name in "ab"}
    asked = [replica.ask(name) for name in "ab"]
    await until(lambda: replica.running != [])
    [task] = replica._batches._running
    task.cancel()
    for each in asked:
        with pytest.raises(ReplicaLostError):
            await asyncio.wait_for(each, 30)


async def test_what_is_given_up_before_it_begins_holds_up_nothing() -> None:
    async def translate(call: TranslateCall) -> TranslateReply:
        raise AssertionError(call.texts)

    together = CallsTogether(translate)
    outcomes = together.outcomes("b", [_CALL])
    first = asyncio.ensure_future(anext(outcomes))
    # Behind what begins the batch, and before the task that works on the call.
    asyncio.get_running_loop().call_soon(together.give_up, "b", 0)
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(first, 30)


def test_each_replica_hears_what_an_attempt_tells() -> None:
    told: list[object] = []
    attempt = Attempt()
    attempt.tell("give_up", 0)
    attempt.tell_by(lambda *what: told.append(("first", *what)))
    attempt.tell("give_up", 1)
    # It had too much to do.
    attempt.tell_by(lambda *what: told.append(("second", *what)))
    assert told == [(name, "give_up", number) for name in ("first", "second") for number in (0, 1)]

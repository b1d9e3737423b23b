"""Which replica gets a call when some are silent or broken, and what becomes of calls there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError
from ray.serve._private.common import DeploymentHandleSource, DeploymentID, ReplicaID

from service import replica_watch
from service.attempts import Attempt, attempt_at
from service.replica_watch import WatchfulRouter
from tests.fakes import until

_DEPLOYMENT = DeploymentID(name="m", app_name="a")


class _Replica:
    """Answers when asked for its queue, as long as it is told to."""

    def __init__(self, name: str) -> None:
        self.replica_id = ReplicaID(unique_id=name, deployment_id=_DEPLOYMENT)
        self.speaks = asyncio.Event()
        self.speaks.set()
        self.error: Exception | None = None
        self.asked = 0

    async def get_queue_len(self, *, deadline_s: float) -> int:
        self.asked += 1
        if self.error is not None:
            raise self.error
        await self.speaks.wait()
        return 0


class _Result:
    """Of a call under way."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], None]] = []

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    def end(self) -> None:
        for callback in self._callbacks:
            callback(None)


class _Request:
    def __init__(self, call: object) -> None:
        self.args = [call]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK_SECONDS", "_QUIET_SECONDS", "_PATIENCE_SECONDS"):
        monkeypatch.setattr(replica_watch, name, 0.02)


def _router(*replicas: _Replica) -> WatchfulRouter:
    router = WatchfulRouter(deployment_id=_DEPLOYMENT, handle_source=DeploymentHandleSource.REPLICA)
    router.initialize_state()
    router.update_replicas(list(replicas))  # type: ignore[arg-type]
    return router


async def _chosen(router: WatchfulRouter) -> set[str]:
    """Whoever may get the next call, in twenty draws."""
    names: set[str] = set()
    for _ in range(20):
        [ranked] = await router.choose_replicas(list(router.curr_replicas.values()))
        names |= {replica.replica_id.unique_id for replica in ranked}
    return names


async def test_all_are_chosen_as_long_as_they_speak() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    result = _Result()
    router._sent(one.replica_id, _Request(object()), result)  # type: ignore[arg-type]
    asked = one.asked
    await until(lambda: one.asked > asked + 1)
    assert await _chosen(router) == {"1", "2"}
    result.end()


async def test_a_silent_replica_loses_its_calls_and_gets_none_until_it_speaks() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    call, result = object(), _Result()
    with Attempt(call) as attempt:
        given_up = asyncio.Event()
        attempt.give_up = given_up.set
        router._sent(one.replica_id, _Request(call), result)  # type: ignore[arg-type]
        one.speaks.clear()
        await given_up.wait()
    assert await _chosen(router) == {"2"}
    result.end()
    one.speaks.set()
    await until(lambda: not router._silent)
    assert await _chosen(router) == {"1", "2"}


async def test_calls_stay_where_they_are_when_there_is_nowhere_else() -> None:
    one = _Replica("1")
    router = _router(one)
    call, result = object(), _Result()
    with Attempt(call) as attempt:
        given_up = asyncio.Event()
        attempt.give_up = given_up.set
        router._sent(one.replica_id, _Request(call), result)  # type: ignore[arg-type]
        one.speaks.clear()
        asked = one.asked
        await until(lambda: one.asked > asked + 2)
        assert not given_up.is_set()
        assert await _chosen(router) == {"1"}
        # Until another one comes.
        router.update_replicas([one, _Replica("2")])  # type: ignore[list-item]
        await given_up.wait()
    result.end()
    one.speaks.set()


async def test_one_that_cannot_be_reached_is_left_to_serve() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    result = _Result()
    one.error = ActorUnavailableError("gone", None)
    router._sent(one.replica_id, _Request(object()), result)  # type: ignore[arg-type]
    asked = one.asked
    await until(lambda: one.asked > asked + 1)
    assert not router._silent
    result.end()


async def test_a_broken_replica_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    call, result = object(), _Result()
    with Attempt(call) as attempt:
        router._sent(one.replica_id, _Request(call), result)  # type: ignore[arg-type]
        attempt.shun()
    result.end()
    assert await _chosen(router) == {"2"}
    monkeypatch.setattr(replica_watch, "_SHUN_SECONDS", 0.0)
    router._shun(one.replica_id)
    assert await _chosen(router) == {"1", "2"}


async def test_nothing_is_kept_of_what_has_ended() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    call, result = object(), _Result()
    with Attempt(call) as attempt:
        assert attempt_at(id(call)) is attempt
        router._sent(one.replica_id, _Request(call), result)  # type: ignore[arg-type]
    assert attempt_at(id(call)) is None
    router.update_replicas([two])  # type: ignore[list-item]
    await until(lambda: one.replica_id not in router._in_work)
    result.end()
    assert router._watching is not None
    await router._watching
    assert not router._heard

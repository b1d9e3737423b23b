"""Which replica gets a call when some are unresponsive or broken, and the calls in flight there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError
from ray.serve._private.common import (
    DeploymentHandleSource,
    DeploymentID,
    ReplicaID,
    RequestMetadata,
)
from ray.serve.request_router import PendingRequest

from service.routing import replica_health as replica_watch
from service.routing.attempts import Attempt, num_replicas
from service.routing.replica_health import HealthAwareRouter, rendezvous
from tests.fakes import until

_DEPLOYMENT = DeploymentID(name="m", app_name="a")


class _Replica:
    """Answers when asked for its queue, as long as it is told to."""

    def __init__(self, name: str) -> None:
        self.replica_id = ReplicaID(unique_id=name, deployment_id=_DEPLOYMENT)
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None
        self.num_probes = 0
        self.got: list[PendingRequest] = []

    def try_send_request(self, request: PendingRequest, *, with_rejection: bool) -> None:
        assert not with_rejection
        self.got.append(request)

    async def get_queue_len(self, *, deadline_s: float) -> int:
        self.num_probes += 1
        if self.error is not None:
            raise self.error
        await self.answers.wait()
        return 0


class _Result:
    """The result of a call in flight."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], None]] = []

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    def end(self) -> None:
        for callback in self._callbacks:
            callback(None)


def _request(attempt: Attempt | None = None) -> PendingRequest:
    """A call without arguments, as for the model's languages."""
    metadata = RequestMetadata(
        request_id="r", internal_request_id="i", session_id=attempt.call_id if attempt else ""
    )
    return PendingRequest(args=[], kwargs={}, metadata=metadata)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CHECK_PERIOD_SECONDS", "_PROBE_AFTER_SECONDS", "_PROBE_TIMEOUT_SECONDS"):
        monkeypatch.setattr(replica_watch, name, 0.02)


def _router(*replicas: _Replica) -> HealthAwareRouter:
    router = HealthAwareRouter(
        deployment_id=_DEPLOYMENT, handle_source=DeploymentHandleSource.REPLICA
    )
    router.initialize_state()
    router.update_replicas(list(replicas))  # type: ignore[arg-type]
    return router


async def _chosen(router: HealthAwareRouter, request: PendingRequest | None = None) -> set[str]:
    """Whoever may get the next call, in twenty draws."""
    names: set[str] = set()
    for _ in range(20):
        [ranked] = await router.choose_replicas(list(router.curr_replicas.values()), request)
        names |= {replica.replica_id.unique_id for replica in ranked}
    return names


def _cancelled(attempt: Attempt) -> asyncio.Event:
    """Set as soon as the attempt is cancelled."""
    event = asyncio.Event()
    attempt.cancel = event.set
    return event


async def test_all_are_chosen_as_long_as_they_answer() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    result = _Result()
    router._on_sent(one.replica_id, _request(), result)
    probes = one.num_probes
    await until(lambda: one.num_probes > probes + 1)
    assert await _chosen(router) == {"1", "2"}
    result.end()


async def test_an_unresponsive_replica_loses_its_calls_and_gets_none_until_it_answers() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    result = _Result()
    with Attempt() as attempt:
        cancelled = _cancelled(attempt)
        router._on_sent(one.replica_id, _request(attempt), result)
        one.answers.clear()
        await until(cancelled.is_set)
    assert await _chosen(router) == {"2"}
    result.end()
    one.answers.set()
    await until(lambda: not router._unresponsive)
    assert await _chosen(router) == {"1", "2"}


async def test_a_call_that_ends_does_not_hide_another_one() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    ended, result = _Result(), _Result()
    one.answers.clear()
    with Attempt() as other, Attempt() as attempt:
        cancelled = _cancelled(attempt)
        router._on_sent(one.replica_id, _request(other), ended)
        router._on_sent(one.replica_id, _request(attempt), result)
        ended.end()
        await until(cancelled.is_set)
    result.end()
    one.answers.set()


async def test_a_call_that_is_sent_again_to_its_replica_stays_known() -> None:
    # A replica that has enough to do rejects a call, and Serve may come back to it.
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    rejected, result = _Result(), _Result()
    one.answers.clear()
    with Attempt() as attempt:
        cancelled = _cancelled(attempt)
        router._on_sent(one.replica_id, _request(attempt), rejected)
        router._on_sent(one.replica_id, _request(attempt), result)
        rejected.end()
        await until(cancelled.is_set)
    result.end()
    one.answers.set()


async def test_calls_stay_where_they_are_when_there_is_nowhere_else() -> None:
    one = _Replica("1")
    router = _router(one)
    result = _Result()
    with Attempt() as attempt:
        cancelled = _cancelled(attempt)
        router._on_sent(one.replica_id, _request(attempt), result)
        one.answers.clear()
        probes = one.num_probes
        await until(lambda: one.num_probes > probes + 2)
        assert not cancelled.is_set()
        assert await _chosen(router) == {"1"}
        # Until another one comes.
        router.update_replicas([one, _Replica("2")])  # type: ignore[list-item]
        await until(cancelled.is_set)
    result.end()
    one.answers.set()


async def test_one_that_cannot_be_reached_is_left_to_serve() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    result = _Result()
    one.error = ActorUnavailableError("gone", None)
    router._on_sent(one.replica_id, _request(), result)
    probes = one.num_probes
    await until(lambda: one.num_probes > probes + 1)
    assert not router._unresponsive
    result.end()


async def test_a_broken_replica_is_excluded_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    result = _Result()
    with Attempt() as attempt:
        router._on_sent(one.replica_id, _request(attempt), result)
        # The gateway's thread says so, the router's own does it.
        await asyncio.to_thread(attempt.exclude_replica)
    result.end()
    await until(lambda: one.replica_id in router._excluded_until)
    assert await _chosen(router) == {"2"}
    monkeypatch.setattr(replica_watch, "_EXCLUSION_SECONDS", 0.0)
    router._exclude(one.replica_id)
    assert await _chosen(router) == {"1", "2"}


async def test_a_second_attempt_goes_to_another_replica_if_there_is_one() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    result = _Result()
    with Attempt() as first, Attempt(beside=first) as second:
        assert not first.has_alternative()  # for it has not been sent anywhere
        router._on_sent(one.replica_id, _request(first), result)
        assert first.has_alternative()
        assert await _chosen(router, _request(second)) == {"2"}
        assert await _chosen(router, _request(first)) == {"1", "2"}
        router._exclude(two.replica_id)
        assert not first.has_alternative()
        assert await _chosen(router, _request(second)) == {"1"}
        router.update_replicas([one])  # type: ignore[list-item]
        assert not first.has_alternative()
    result.end()


async def test_what_is_known_of_a_replica_goes_with_it() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    result = _Result()
    with Attempt() as attempt:
        router._on_sent(one.replica_id, _request(attempt), result)
    router._exclude(one.replica_id)
    router.update_replicas([two])  # type: ignore[list-item]
    await until(lambda: one.replica_id not in router._in_flight)
    result.end()
    assert router._probing is not None
    await router._probing
    known = [router._last_answer, router._excluded_until, router._unresponsive]
    assert not any(known)


def _asking_for(model: str) -> Attempt:
    attempt = Attempt()
    attempt.model = model
    return attempt


async def _first(router: HealthAwareRouter, model: str) -> str:
    with _asking_for(model) as attempt:
        chosen = await router.choose_replicas([], _request(attempt))
    assert [len(rank) for rank in chosen] == [1] * len(chosen)  # Serve keeps to the order
    name: str = chosen[0][0].replica_id.unique_id
    return name


async def test_calls_for_a_shared_model_go_to_the_same_replica() -> None:
    replicas = [_Replica(str(number)) for number in range(4)]
    router = _router(*replicas)
    models = [f"m{number}" for number in range(200)]
    homes = {model: await _first(router, model) for model in models}
    assert homes == {model: await _first(router, model) for model in models}
    # Each replica is the home of some, and keeps its own when another one goes.
    assert min(list(homes.values()).count(str(number)) for number in range(4)) > 25
    router.update_replicas(replicas[:3])  # type: ignore[arg-type]
    for model, home in homes.items():
        if home != "3":
            assert await _first(router, model) == home


async def test_a_busy_or_excluded_home_leaves_calls_to_the_next_one() -> None:
    replicas = [_Replica(str(number)) for number in range(3)]
    router = _router(*replicas)
    order = sorted("012", key=lambda name: rendezvous("m", name), reverse=True)
    home, second = (replicas[int(name)] for name in order[:2])
    results = [_Result() for _ in range(16)]
    for count, result in enumerate(results, 1):
        router._on_sent(home.replica_id, _request(), result)
        assert await _first(router, "m") == order[count == 16]
    router._on_sent(second.replica_id, _request(), extra := _Result())
    assert await _first(router, "m") == order[0]
    router._exclude(home.replica_id)
    assert await _first(router, "m") == order[1]
    for result in (*results, extra):
        result.end()


async def test_what_is_sent_together_counts_as_several_calls() -> None:
    replicas = [_Replica(str(number)) for number in range(2)]
    router = _router(*replicas)
    home, other = sorted("01", key=lambda name: rendezvous("m", name), reverse=True)
    result = _Result()
    with Attempt(num_calls=16) as attempt:
        router._on_sent(replicas[int(home)].replica_id, _request(attempt), result)
    assert await _first(router, "m") == other
    result.end()
    await asyncio.sleep(0)
    assert await _first(router, "m") == home


async def test_the_replica_of_a_call_can_be_told_something() -> None:
    one, two = _Replica("1"), _Replica("2")
    router = _router(one, two)
    result = _Result()
    with Attempt() as attempt:
        attempt.tell("give_up", "b", 1)  # as soon as it is sent
        router._on_sent(one.replica_id, _request(attempt), result)
        attempt.tell("give_up", "b", 2)
        await until(lambda: len(one.got) == 2)
        router.update_replicas([two])  # type: ignore[list-item]
        attempt.tell("give_up", "b", 3)  # it is gone
    await asyncio.sleep(0)
    told = [(each.metadata.call_method, each.args) for each in one.got]
    assert told == [("give_up", ["b", 1]), ("give_up", ["b", 2])]
    assert two.got == []
    result.end()


async def test_how_many_replicas_there_are_is_known_to_others() -> None:
    router = _router(_Replica("1"), _Replica("2"))
    assert num_replicas("a", "m") == 2
    router.update_replicas([])
    assert num_replicas("a", "m") == 0

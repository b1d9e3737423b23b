"""A Ray Serve request router that excludes unresponsive and broken replicas.

A process that hangs accepts calls and answers none: there is no error, and Serve only notices after
several health checks in a row have timed out. This router sends a health probe to a replica that
has calls in flight and answers none of them; replicas answer probes however busy their engine is. A
replica that fails the probe is unresponsive: it gets no calls until it answers a probe, and its
calls are cancelled, to be retried on another replica, if there is one.

A replica whose engine is dead fails at once, so it looks like the least loaded one. It is excluded
until Serve has replaced it.

Serve pickles this module by value, so state that others share lives in `service.routing.attempts`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from ray.exceptions import RayError
from ray.serve._private.common import RequestMetadata
from ray.serve.request_router import (
    FIFOMixin,
    LocalityMixin,
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from service.routing.attempts import attempt_of, count_replicas

__all__ = ["HealthAwareRouter", "rendezvous"]

_CHECK_PERIOD_SECONDS = 0.5
_PROBE_AFTER_SECONDS = 1.0
"""Time without any answer after which a replica with calls in flight is probed."""
_PROBE_TIMEOUT_SECONDS = 2.0
"""Long enough for a replica on a busy machine."""
_EXCLUSION_SECONDS = 5.0
"""About the time in which Serve replaces an unhealthy replica."""
_BUSY_FACTOR = 2
_BUSY_CALLS = 16
"""The first choice of a shared model is busy with so many times the calls of the second, and so
many more: about what keeps a batch full."""


class _ObservedReplica(RunningReplica):
    """A replica that reports the calls sent to it."""

    def __init__(
        self, info: Any, on_sent: Callable[[ReplicaID, PendingRequest, Any], None]
    ) -> None:
        super().__init__(info)
        self._on_sent = on_sent

    def try_send_request(self, pr: PendingRequest, with_rejection: bool) -> Any:
        """Sends a call as Serve's own class does, and reports it."""
        result = super().try_send_request(pr, with_rejection)
        self._on_sent(self.replica_id, pr, result)
        return result


class HealthAwareRouter(FIFOMixin, LocalityMixin, RequestRouter):
    """Power of two choices among the replicas that are not excluded. Runs on one event loop.

    Calls for a model that replicas load on demand go to the first of them in an order that depends
    on the model (a rendezvous hash), so that few replicas load it; to the second one while the
    first is excluded or busy.
    """

    def initialize_state(self, **options: Any) -> None:
        """Initializes the state; Serve calls this once, before there are replicas."""
        self._sends = itertools.count()
        self._in_flight: dict[ReplicaID, dict[int, str]] = {}
        """Call ids by number of the send, since Serve may send a call to the same replica again."""
        self._num_calls: Counter[ReplicaID] = Counter()
        """Calls in flight: of what is sent together, each counts."""
        self._last_answer: dict[ReplicaID, float] = {}
        self._unresponsive: set[ReplicaID] = set()
        self._excluded_until: dict[ReplicaID, float] = {}
        self._probing: asyncio.Task[None] | None = None

    def create_replica_wrapper(self, replica_info: Any) -> RunningReplica:
        """A replica that reports its calls to this router."""
        return _ObservedReplica(replica_info, self._on_sent)

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Takes over the replicas that there are now, and notes how many."""
        super().update_replicas(replicas)
        deployment = self._deployment_id
        count_replicas(deployment.app_name, deployment.name, len(replicas))

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Two replicas at random, of which Serve takes the less loaded one; or those of a model."""
        near = self.apply_locality_routing(pending_request)
        usable = self._usable()
        others = usable - {_avoided(pending_request)}
        if (model := _shared_model(pending_request)) is not None:
            ordered = self._ordered(model, others or usable or self.curr_replicas.keys())
            return [[self.curr_replicas[name]] for name in ordered]
        candidates = list(near & others or others or near & usable or usable or near)
        names = random.sample(candidates, min(2, len(candidates)))
        return [[self.curr_replicas[name] for name in names]]

    def _ordered(self, model: str, names: Iterable[ReplicaID]) -> list[ReplicaID]:
        """The replicas in the order in which a model's calls try them."""
        ordered = sorted(names, key=lambda name: rendezvous(model, name.unique_id), reverse=True)
        if len(ordered) > 1:
            first, second = (self._num_calls[name] for name in ordered[:2])
            if first >= _BUSY_FACTOR * second + _BUSY_CALLS:
                ordered[:2] = reversed(ordered[:2])
        return ordered

    def _usable(self) -> set[ReplicaID]:
        """Replicas that are neither unresponsive nor broken. Thread-safe."""
        now = time.monotonic()
        broken = {name for name, until in list(self._excluded_until.items()) if until > now}
        return self.curr_replicas.keys() - (set(self._unresponsive) | broken)

    def _has_alternative(self, replica: ReplicaID) -> bool:
        return bool(self._usable() - {replica})

    def _exclude(self, replica: ReplicaID) -> None:
        self._excluded_until[replica] = time.monotonic() + _EXCLUSION_SECONDS

    def _on_sent(self, replica: ReplicaID, request: PendingRequest, result: Any) -> None:
        loop = asyncio.get_running_loop()
        send, call_id, num_calls = next(self._sends), request.metadata.session_id, 1
        in_flight = self._in_flight.setdefault(replica, {})
        if not in_flight:
            self._last_answer[replica] = time.monotonic()
        in_flight[send] = call_id
        if (attempt := attempt_of(call_id)) is not None:
            attempt.exclude_replica = partial(loop.call_soon_threadsafe, self._exclude, replica)
            attempt.has_alternative = partial(self._has_alternative, replica)
            tell = partial(self._tell, replica, request.metadata)
            attempt.tell_by(lambda *what: loop.call_soon_threadsafe(partial(tell, *what)))
            attempt.replica = replica
            num_calls = attempt.num_calls
        self._num_calls[replica] += num_calls
        done = partial(loop.call_soon_threadsafe, self._on_done, replica, send, num_calls)
        # Depending on Serve's transport, the callback runs on another thread.
        result.add_done_callback(lambda _: done())
        if self._probing is None or self._probing.done():
            self._probing = loop.create_task(self._probe_suspects())

    def _tell(self, name: ReplicaID, about: RequestMetadata, method: str, *args: object) -> None:
        """Calls a method of the replica that a request was sent to, and does not wait for it."""
        if (replica := self.curr_replicas.get(name)) is not None:
            metadata = replace(about, call_method=method, session_id="", is_streaming=False)
            request = PendingRequest(args=list(args), kwargs={}, metadata=metadata)
            replica.try_send_request(request, with_rejection=False)

    def _on_done(self, replica: ReplicaID, send: int, num_calls: int) -> None:
        if replica in self._in_flight:
            self._num_calls[replica] -= num_calls
            self._last_answer[replica] = time.monotonic()
            self._in_flight[replica].pop(send, None)

    async def _probe_suspects(self) -> None:
        """Probes replicas, as long as there are calls in flight or unresponsive replicas."""
        while self._unresponsive or any(self._in_flight.values()):
            await asyncio.sleep(_CHECK_PERIOD_SECONDS)
            self._prune()
            earlier = time.monotonic() - _PROBE_AFTER_SECONDS
            await asyncio.gather(
                *(
                    self._probe(replica)
                    for name, replica in self.curr_replicas.items()
                    if name in self._unresponsive
                    or (self._in_flight.get(name) and self._last_answer[name] < earlier)
                )
            )

    def _prune(self) -> None:
        """Drops the state of replicas that no longer exist."""
        current = self.curr_replicas.keys()
        for known in (
            self._in_flight, self._num_calls, self._last_answer, self._excluded_until,
        ):  # fmt: skip
            for name in known.keys() - current:
                del known[name]
        self._unresponsive &= current

    async def _probe(self, replica: RunningReplica) -> None:
        """Sends a health probe; cancels the calls of a replica that does not answer it."""
        name = replica.replica_id
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
                await replica.get_queue_len(deadline_s=_PROBE_TIMEOUT_SECONDS)
        except TimeoutError:
            self._unresponsive.add(name)
        except RayError:
            return  # dead or unreachable, which Serve and the caller notice
        else:
            self._unresponsive.discard(name)
            self._last_answer[name] = time.monotonic()
        if name in self._unresponsive and self.curr_replicas.keys() - self._unresponsive:
            for call_id in list(self._in_flight.get(name, {}).values()):
                if (attempt := attempt_of(call_id)) is not None:
                    attempt.cancel()


def rendezvous(model: str, replica: str) -> bytes:
    """The weight of a replica for a model: the same in every process, and even over models."""
    return hashlib.blake2b(f"{model}\0{replica}".encode(), digest_size=8).digest()


def _shared_model(request: PendingRequest | None) -> str | None:
    attempt = attempt_of(request.metadata.session_id) if request else None
    return attempt.model if attempt else None


def _avoided(request: PendingRequest | None) -> object:
    """The replica that already has another attempt at the call.

    Serve may give what was chosen for one pending call to another: this is a wish, not a promise.
    """
    attempt = attempt_of(request.metadata.session_id) if request else None
    return attempt.beside.sent_as.replica if attempt and attempt.beside else None

"""Ray Serve's choice of a replica, but neither one that has fallen silent nor a broken one.

A process that hangs takes calls and answers none of them: there is no error, and Serve itself only
notices when several of its health checks in a row have timed out. Here, whoever has calls in work
at a replica from which nothing comes asks it for a sign of life, which a replica gives whatever its
engine is busy with. One that gives none gets no further calls until it does, and those it has are
given up, to be sent elsewhere, if there is an elsewhere.

A replica whose engine is dead is the opposite: it answers at once, so it seems to be the one with
the least to do. It is left alone until Serve has replaced it.

Serve sends this module to the gateways by value, so what it shares with others is not here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Set
from functools import partial
from typing import Any

from ray.exceptions import RayError
from ray.serve.request_router import (
    FIFOMixin,
    LocalityMixin,
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from service.attempts import attempt_at

__all__ = ["WatchfulRouter"]

_LOOK_SECONDS = 0.5
_QUIET_SECONDS = 1.0
"""Without any answer to any call, after which a replica is asked for a sign of life."""
_PATIENCE_SECONDS = 2.0
"""That it has for this. A replica on a busy machine may take a while, too."""

_SHUN_SECONDS = 5.0
"""Serve replaces a replica that is not healthy about as quickly."""


class _WatchedReplica(RunningReplica):
    """Tells what was sent to it."""

    def __init__(
        self, info: Any, on_sent: Callable[[ReplicaID, PendingRequest, Any], None]
    ) -> None:
        super().__init__(info)
        self._on_sent = on_sent

    def try_send_request(self, pr: PendingRequest, with_rejection: bool) -> Any:
        """As Serve's own."""
        result = super().try_send_request(pr, with_rejection)
        self._on_sent(self.replica_id, pr, result)
        return result


class WatchfulRouter(FIFOMixin, LocalityMixin, RequestRouter):
    """The better of two replicas that are not silent. All of it runs on one event loop."""

    def initialize_state(self, **options: Any) -> None:
        """Serve calls this once, before there are replicas."""
        self._in_work: dict[ReplicaID, set[int]] = {}
        self._heard: dict[ReplicaID, float] = {}
        self._silent: set[ReplicaID] = set()
        self._shunned: dict[ReplicaID, float] = {}
        self._watching: asyncio.Task[None] | None = None

    def create_replica_wrapper(self, replica_info: Any) -> RunningReplica:
        """One that tells us what is sent to it."""
        return _WatchedReplica(replica_info, self._sent)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Two at random, of which Serve takes the one with less to do."""
        near = self.apply_locality_routing(pending_request)
        shy = self._to_avoid() if self._silent or self._shunned else frozenset()
        among = list(near - shy or self.curr_replicas.keys() - shy or near)
        names = random.sample(among, min(2, len(among)))
        return [[self.curr_replicas[name] for name in names]]

    def _to_avoid(self) -> Set[ReplicaID]:
        now = time.monotonic()
        self._shunned = {name: until for name, until in self._shunned.items() if until > now}
        return self._silent | self._shunned.keys()

    def _shun(self, replica: ReplicaID) -> None:
        self._shunned[replica] = time.monotonic() + _SHUN_SECONDS

    def _sent(self, replica: ReplicaID, request: PendingRequest, result: Any) -> None:
        call = id(request.args[0]) if request.args else 0
        loop = asyncio.get_running_loop()
        work = self._in_work.setdefault(replica, set())
        if not work:
            self._heard[replica] = time.monotonic()
        work.add(call)
        if (attempt := attempt_at(call)) is not None:
            attempt.shun = partial(self._shun, replica)
        # Depending on Serve's transport, this is called on some other thread.
        result.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done, replica, call))
        if self._watching is None or self._watching.done():
            self._watching = loop.create_task(self._watch())

    def _done(self, replica: ReplicaID, call: int) -> None:
        if replica in self._in_work:
            self._heard[replica] = time.monotonic()
            self._in_work[replica].discard(call)

    async def _watch(self) -> None:
        """As long as there are calls in work, or silent replicas that may come back."""
        while self._silent or any(self._in_work.values()):
            await asyncio.sleep(_LOOK_SECONDS)
            self._forget_the_dead()
            earlier = time.monotonic() - _QUIET_SECONDS
            quiet = [
                replica
                for name, replica in self.curr_replicas.items()
                if name in self._silent or (self._in_work.get(name) and self._heard[name] < earlier)
            ]
            await asyncio.gather(*(self._ask(replica) for replica in quiet))

    def _forget_the_dead(self) -> None:
        for name in [name for name in self._in_work if name not in self.curr_replicas]:
            del self._in_work[name], self._heard[name]
        self._silent &= self.curr_replicas.keys()

    async def _ask(self, replica: RunningReplica) -> None:
        """For a sign of life, and draws the consequences."""
        name = replica.replica_id
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await replica.get_queue_len(deadline_s=_PATIENCE_SECONDS)
        except TimeoutError:
            self._silent.add(name)
        except RayError:
            return  # dead or out of reach: Serve and the caller notice by themselves
        else:
            self._silent.discard(name)
            self._heard[name] = time.monotonic()
        if name in self._silent and self.curr_replicas.keys() - self._silent:
            for call in list(self._in_work.get(name, ())):
                if (attempt := attempt_at(call)) is not None:
                    attempt.give_up()

"""One /metrics out of many processes.

Every gateway and translator replica pushes a cumulative snapshot of its registry, once a second, to
one small actor, the hub; a gateway that is asked for /metrics asks the hub for the sum of all. Sums
never fall:

- A push says what a process has counted in its life, so pushes may be lost or late.
- The last push of a process that is silent or dead still counts; its gauges do not. So that the hub
  stays small, the longest silent ones are folded into one base.
- Ray restarts the hub when it dies, empty. Each gateway keeps a copy of everything the hub knew a
  few seconds ago and gives it back before it asks a new hub for anything; the new hub then waits
  until all who are alive have pushed again. What is lost at worst is what a process counted in the
  seconds between the last copy and its own death, if it died together with the hub.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import ray
from ray.exceptions import RayError

from model.errors import DeadlineExceededError
from service.observability.snapshot import Snapshot, cumulative_only, labelled_gauges, merge

__all__ = ["Aggregator", "HubBackup", "HubClient", "MetricsHub", "NonBlockingHubClient"]

PUSH_SECONDS = 0.5
"""Between two pushes of a process."""
BACKUP_SECONDS = 3.0
"""Between two copies a gateway takes of the hub."""
STALE_SECONDS = 10.0
"""Silence after which a process's gauges are no longer shown."""
IDLE_SECONDS = 60.0
"""Silence of everybody after which the hub ends itself: the application is gone."""
MAX_SILENT = 64
"""Silent processes that are remembered one by one."""
CALL_SECONDS = 5.0
"""Longest wait for the hub to answer a push."""
LOOK_UP_SECONDS = 10.0
"""Between two looks for the hub by one who does not hear of its death."""
_NAMESPACE = "polyhead"
_OVERLOADED = "polyhead_http_requests_overloaded"

_HUB_ERRORS = (RayError, TimeoutError, ValueError)
"""ValueError is how Ray says that an actor's name is just being given away."""

logger = logging.getLogger("polyhead.metrics")


@dataclass(frozen=True, kw_only=True)
class HubBackup:
    """All that a hub must not forget."""

    folds: int = 0
    """How many processes `base` stands for: of two backups the one with more folds is newer."""
    base: Snapshot = field(default_factory=dict)
    sources: dict[str, Snapshot] = field(default_factory=dict)
    """The last snapshot of each process that is not in `base`."""


@dataclass(kw_only=True)
class _Source:
    snapshot: Snapshot
    seen_at: float | None
    """When it pushed, on the aggregator's clock; None for one that is known from a backup."""


class Aggregator:
    """The hub's book-keeping, without Ray and without a clock of its own."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._folds = 0
        self._base: Snapshot = {}
        self._sources: OrderedDict[str, _Source] = OrderedDict()  # the longest silent first
        self._folded: OrderedDict[str, None] = OrderedDict()

    def push(self, source: str, snapshot: Snapshot, *, final: bool = False) -> None:
        """Replaces what is known of `source`; a final push is folded into the base at once."""
        if source in self._folded:
            return  # already in the base: counting it again would count it twice
        self._sources[source] = _Source(snapshot=snapshot, seen_at=self._clock())
        self._sources.move_to_end(source)
        if final:
            self._fold(source)
        silent = [name for name, known in self._sources.items() if not self._fresh(known)]
        for name in silent[: max(0, len(silent) - MAX_SILENT)]:
            self._fold(name)

    def merged(self) -> Snapshot:
        """Counters and histograms of everybody who ever pushed, gauges of those who still do."""
        parts = [self._base]
        for name, known in self._sources.items():
            if self._fresh(known):
                parts.append(labelled_gauges(known.snapshot, name))
            else:
                parts.append(cumulative_only(known.snapshot))
        return merge(parts)

    def refused(self) -> float:
        """Requests that were refused for overload, ever, at all gateways.

        Only these are demand that more replicas could serve. The status does not tell: a 503 may
        also say that a replica is dead or that the gateway ends, and a 429 that a client has used
        up its quota.
        """
        return sum(
            value
            for snapshot in (self._base, *(known.snapshot for known in self._sources.values()))
            if _OVERLOADED in snapshot
            for value in snapshot[_OVERLOADED].samples.values()
        )

    def backup(self) -> HubBackup:
        """A copy of everything."""
        return HubBackup(
            folds=self._folds,
            base=self._base,
            sources={name: known.snapshot for name, known in self._sources.items()},
        )

    def restore(self, backup: HubBackup) -> None:
        """Takes over what a former hub knew; what was pushed since is newer and stays.

        Of several backups the one with the most folds wins, for only its base and its sources fit
        together: a process that one backup has folded is a source in an older one.
        """
        if backup.folds < self._folds:
            return
        if backup.folds > self._folds:
            self._folds = backup.folds
            self._base = backup.base
            for name in [name for name, known in self._sources.items() if known.seen_at is None]:
                del self._sources[name]
        for name, snapshot in backup.sources.items():
            if name not in self._sources:
                self._sources[name] = _Source(snapshot=snapshot, seen_at=None)
                self._sources.move_to_end(name, last=False)

    def _fresh(self, known: _Source) -> bool:
        return known.seen_at is not None and self._clock() - known.seen_at < STALE_SECONDS

    def _fold(self, name: str) -> None:
        self._base = merge([self._base, cumulative_only(self._sources.pop(name).snapshot)])
        self._folds += 1
        self._folded[name] = None
        while len(self._folded) > 16 * MAX_SILENT:
            self._folded.popitem(last=False)


class MetricsHub:
    """The actor around a Aggregator. Every answer carries the hub's incarnation."""

    def __init__(self) -> None:
        self._aggregator = Aggregator()
        self._incarnation = uuid.uuid4().hex
        self._settled_at = 0.0
        self._pushed_at = time.monotonic()
        self._watch = asyncio.get_running_loop().create_task(self._end_when_idle())

    async def push(self, source: str, snapshot: Snapshot, *, final: bool = False) -> str:
        """Returns the incarnation, by which the caller sees that the hub was restarted."""
        self._pushed_at = time.monotonic()
        self._aggregator.push(source, snapshot, final=final)
        return self._incarnation

    async def merged(self, incarnation: str | None) -> tuple[str, Snapshot | None]:
        """The sum of all.

        Args:
            incarnation: the hub the caller has known; None in the second item of the answer asks a
                caller who has known another one to restore it first.
        """
        if incarnation is not None and incarnation != self._incarnation:
            return self._incarnation, None
        await asyncio.sleep(max(0.0, self._settled_at - time.monotonic()))
        return self._incarnation, self._aggregator.merged()

    async def refused(self) -> float:
        """What the autoscaler must know of the gateways."""
        return self._aggregator.refused()

    async def backup(self) -> tuple[str, HubBackup]:
        """What the next hub must know."""
        return self._incarnation, self._aggregator.backup()

    async def restore(self, backup: HubBackup) -> str:
        """Takes over what the last hub knew, and lets everybody push before it tells a sum."""
        self._settled_at = time.monotonic() + 3 * PUSH_SECONDS
        self._aggregator.restore(backup)
        return self._incarnation

    async def _end_when_idle(self) -> None:
        while time.monotonic() - self._pushed_at < IDLE_SECONDS:
            await asyncio.sleep(IDLE_SECONDS / 4)
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


class HubClient:
    """One process's line to the hub of its application.

    Args:
        application: name of the Serve application; each has a hub of its own.
        source: what this process is called there, unique in the cluster and over time.
        take: makes the snapshot that is pushed; called on a thread.
        keeps_backup: whether this process remembers the hub's knowledge for the next hub.
    """

    def __init__(
        self,
        application: str,
        source: str,
        take: Callable[[], Snapshot],
        *,
        keeps_backup: bool = False,
    ) -> None:
        self._name = _hub_name(application)
        self._source = source
        self._take = take
        self._keeps_backup = keeps_backup
        self._hub: Any = None
        self._incarnation: str | None = None
        self._backup: HubBackup | None = None
        self._lock = threading.Lock()  # an older snapshot must not overtake a newer one
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._push_until_closed, name="metrics", daemon=True)

    @classmethod
    def of_this_replica(cls, take: Callable[[], Snapshot], *, keeps_backup: bool = False) -> Self:
        """The line of the Serve replica that this process is."""
        # Here, and not above, for the hub itself does without.
        from ray import serve

        context = serve.get_replica_context()
        source = f"{context.deployment}#{context.replica_tag}"
        return cls(context.app_name, source, take, keeps_backup=keeps_backup)

    def start(self) -> None:
        """Begins to push."""
        self._thread.start()

    def close(self) -> None:
        """Pushes once more, for good, and ends the thread. May be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join(timeout=CALL_SECONDS)
        try:
            self._call("push", self._source, self._take(), final=True, timeout=1.0)
        except _HUB_ERRORS:
            logger.info("the metrics hub was gone before this process")

    def merged(self, *, timeout: float) -> Snapshot:
        """The sum of all processes, this one as it is now. Blocks, at most `timeout` seconds.

        Raises:
            DeadlineExceededError: the hub did not answer, or was not there, for so long. Numbers
                without it would be too small, so there are none.
        """
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if not self._lock.acquire(timeout=left):
                break
            try:
                self._push(timeout=left)
                _, merged = self._call("merged", self._incarnation, timeout=left)
                if merged is not None:
                    sum_of_all: Snapshot = merged
                    return sum_of_all
            except _HUB_ERRORS as error:
                logger.warning("the metrics hub does not answer: %s", type(error).__name__)
                self._closing.wait(min(0.1, left))
            finally:
                self._lock.release()
        raise DeadlineExceededError(f"the metrics hub did not answer within {timeout:g} s")

    def _push_until_closed(self) -> None:
        next_backup = time.monotonic()
        while not self._closing.wait(PUSH_SECONDS):
            try:
                with self._lock:
                    self._push(timeout=CALL_SECONDS)
                    if self._keeps_backup and time.monotonic() >= next_backup:
                        self._remember(timeout=CALL_SECONDS)
                        next_backup = time.monotonic() + BACKUP_SECONDS
            except _HUB_ERRORS as error:
                logger.warning("the metrics hub does not answer: %s", type(error).__name__)

    def _push(self, *, timeout: float) -> None:
        incarnation = self._call("push", self._source, self._take(), timeout=timeout)
        if incarnation != self._incarnation:
            if self._backup is not None:
                self._call("restore", self._backup, timeout=timeout)
            self._incarnation = incarnation

    def _remember(self, *, timeout: float) -> None:
        incarnation, backup = self._call("backup", timeout=timeout)
        if incarnation == self._incarnation:
            self._backup = backup

    def _call(self, method: str, *args: Any, timeout: float, **kwargs: Any) -> Any:
        if self._hub is None:
            self._hub = self._find_or_create()
        try:
            # Not ray.get, which takes a thread of an asyncio actor for its event loop and warns.
            return getattr(self._hub, method).remote(*args, **kwargs).future().result(timeout)
        except (RayError, TimeoutError, concurrent.futures.CancelledError):
            self._hub = None
            raise

    def _find_or_create(self) -> Any:
        # Detached, so that it outlives the replica that happens to create it; it ends itself.
        options = ray.remote(MetricsHub).options(
            name=self._name,
            namespace=_NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,
            # Else Ray's head keeps a record of each call, several a second, that nobody looks at.
            enable_task_events=False,
        )
        return options.remote()


class NonBlockingHubClient:
    """For a process that must not wait: it pushes, and asks, and listens some other time.

    It is no part of the application, so it does not create the hub either: it would keep alive what
    the application has left behind.

    Args:
        application: name of the Serve application.
        source: what this process is called there, unique in the cluster and over time.
    """

    def __init__(self, application: str, source: str) -> None:
        self._name = _hub_name(application)
        self._source = source
        self._hub: Any = None
        self._look_up_at = 0.0
        self._answer: concurrent.futures.Future[float] | None = None
        self._refused: float | None = None

    def push(self, snapshot: Snapshot) -> None:
        """Sends `snapshot`, if there is a hub; whether it arrives, nobody knows."""
        now = time.monotonic()
        if now >= self._look_up_at:
            self._look_up_at = now + LOOK_UP_SECONDS
            try:
                self._hub = ray.get_actor(self._name, namespace=_NAMESPACE)
            except _HUB_ERRORS:  # ValueError where there is none
                self._hub = None
                self._look_up_at = now + PUSH_SECONDS
        if self._hub is not None:
            self._hub.push.remote(self._source, snapshot)
            if self._answer is None:
                self._answer = self._hub.refused.remote().future()

    def refused(self) -> float | None:
        """Requests refused for overload in all, as far as the hub has answered."""
        if self._answer is not None and self._answer.done():
            try:
                self._refused = self._answer.result()
            except (*_HUB_ERRORS, concurrent.futures.CancelledError):
                self._refused = None  # the next hub counts from what it is given back
            self._answer = None
        return self._refused


def _hub_name(application: str) -> str:
    return f"polyhead-metrics-{application}"

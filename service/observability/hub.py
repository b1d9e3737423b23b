"""Aggregates the metrics of all processes into one /metrics.

Every gateway and replica pushes a cumulative snapshot of its registry, twice a second, to an actor,
the hub; a gateway that is scraped asks the hub for the sum of all. Sums never decrease:

- Snapshots are cumulative, so pushes may be lost or late.
- The last push of a silent or dead process still counts, without its gauges. To bound the hub's
  memory, the longest silent processes are retired: merged into one snapshot.
- Ray restarts a hub that dies, empty. Each gateway keeps a backup of the hub, seconds old, and
  restores it before it asks a new hub for anything; the new hub then waits until all live processes
  have pushed. Lost is at most what a process that died with the hub had counted since the backup.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import ray
from ray.exceptions import RayError

from model.errors import DeadlineExceededError
from service.detached_actors import find_actor, find_or_create_actor
from service.observability.live import (
    BatchRecords,
    LiveFigures,
    LiveLook,
    TraceSource,
    live_figures,
)
from service.observability.metrics import NO_MODEL, SHARED_MODELS
from service.observability.snapshot import (
    Snapshot,
    cumulative_only,
    labelled_gauges,
    merge,
    of_models,
)

if TYPE_CHECKING:
    from model.engine.batch_trace import BatchRecord

__all__ = [
    "Aggregator",
    "HubBackup",
    "HubClient",
    "MetricsHub",
    "NonBlockingHubClient",
]

PUSH_SECONDS = 0.5
"""Between two pushes of a process."""
BACKUP_SECONDS = 3.0
"""Between two backups that a gateway takes."""
STALE_SECONDS = 10.0
"""Time without a push after which a process is silent: its gauges are left out."""
IDLE_SECONDS = 60.0
"""Time without any push after which the hub ends itself: the application has ended."""
MAX_SILENT = 64
"""Most silent processes that are not retired."""
CALL_SECONDS = 5.0
"""Timeout of a call to the hub."""
LOOK_UP_SECONDS = 10.0
"""Between two look-ups of the hub by a client that does not wait for answers."""
_HUB_NAME = "polyhead-metrics-"
_OVERLOADED = "polyhead_http_requests_overloaded"

_HUB_ERRORS = (RayError, TimeoutError, ValueError)
"""Ray raises ValueError while an actor of the same name is being created."""

logger = logging.getLogger("polyhead.metrics")


@dataclass(frozen=True, kw_only=True)
class HubBackup:
    """The state of a hub that its successor needs."""

    num_retired: int = 0
    """Processes in `retired`: of two backups the one with more is newer."""
    retired: Snapshot = field(default_factory=dict)
    sources: dict[str, Snapshot] = field(default_factory=dict)
    """The last snapshot of each process that is not retired."""


@dataclass(kw_only=True)
class _Source:
    snapshot: Snapshot
    seen_at: float | None
    """Time of the last push on the aggregator's clock; None if it comes from a backup."""


class Aggregator:
    """The hub's state and sums, free of Ray."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._num_retired = 0
        self._retired: Snapshot = {}
        self._sources: OrderedDict[str, _Source] = OrderedDict()  # by last push, oldest first
        self._retired_names: OrderedDict[str, None] = OrderedDict()

    def push(self, source: str, snapshot: Snapshot, *, final: bool = False) -> None:
        """Replaces the snapshot of `source`; a final push retires it at once."""
        if source in self._retired_names:
            return  # a late push, which would be counted twice
        self._sources[source] = _Source(snapshot=snapshot, seen_at=self._clock())
        self._sources.move_to_end(source)
        if final:
            self._retire(source)
        silent = [name for name, known in self._sources.items() if not self._fresh(known)]
        for name in silent[: max(0, len(silent) - MAX_SILENT)]:
            self._retire(name)

    def merged(self, models: frozenset[str]) -> Snapshot:
        """Counters and histograms of all processes ever, gauges of those that are not silent.

        Args:
            models: ids of the models that there are; what was counted for others is forgotten.
        """
        self._forget(models)
        current = (
            labelled_gauges(known.snapshot, name)
            if self._fresh(known)
            else cumulative_only(known.snapshot)
            for name, known in self._sources.items()
        )
        return of_models(merge([self._retired, *current]), models | NO_MODEL)

    def figures(self, models: frozenset[str]) -> LiveFigures:
        """Those of this moment; as `merged`, of the few metrics that they are made of."""
        snapshots = (
            known.snapshot if self._fresh(known) else cumulative_only(known.snapshot)
            for known in self._sources.values()
        )
        return live_figures([self._retired, *snapshots], models | NO_MODEL)

    def refused(self) -> dict[str, float]:
        """All requests ever refused for overload, at all gateways, by model; and for all models
        together that share replicas, as `SHARED_MODELS`.

        Only these are demand that more replicas could serve. A 503 may also mean a dead replica or
        a draining gateway, and a 429 that a client's quota is used up.
        """
        refused: dict[str, float] = {}
        for snapshot in (self._retired, *(known.snapshot for known in self._sources.values())):
            if _OVERLOADED in snapshot:
                for (_, labels), value in snapshot[_OVERLOADED].samples.items():
                    of = dict(labels)
                    names = [of.get("model_name", "")]
                    if of.get("placement") == "shared":
                        names.append(SHARED_MODELS)
                    for name in names:
                        refused[name] = refused.get(name, 0.0) + value
        return refused

    def backup(self) -> HubBackup:
        """The state for a successor."""
        return HubBackup(
            num_retired=self._num_retired,
            retired=self._retired,
            sources={name: known.snapshot for name, known in self._sources.items()},
        )

    def restore(self, backup: HubBackup) -> None:
        """Restores a former hub's state; what was pushed since is newer and stays.

        Of several backups the newest one wins as a whole: a process that is retired in one backup
        is still a source in an older one.
        """
        if backup.num_retired < self._num_retired:
            return
        if backup.num_retired > self._num_retired:
            self._num_retired = backup.num_retired
            self._retired = backup.retired
            for name in [name for name, known in self._sources.items() if known.seen_at is None]:
                del self._sources[name]
        for name, snapshot in backup.sources.items():
            if name not in self._sources:
                self._sources[name] = _Source(snapshot=snapshot, seen_at=None)
                self._sources.move_to_end(name, last=False)

    def _forget(self, models: frozenset[str]) -> None:
        """Drops what processes that are no more have counted for models that are no more."""
        names = models | NO_MODEL
        self._retired = of_models(self._retired, names)
        for known in self._sources.values():
            if not self._fresh(known):
                known.snapshot = of_models(known.snapshot, names)

    def _fresh(self, known: _Source) -> bool:
        return known.seen_at is not None and self._clock() - known.seen_at < STALE_SECONDS

    def _retire(self, name: str) -> None:
        self._retired = merge([self._retired, cumulative_only(self._sources.pop(name).snapshot)])
        self._num_retired += 1
        self._retired_names[name] = None
        while len(self._retired_names) > 16 * MAX_SILENT:
            self._retired_names.popitem(last=False)


class MetricsHub:
    """The Ray actor around an Aggregator. Its incarnation changes when Ray restarts it."""

    def __init__(self) -> None:
        self._aggregator = Aggregator()
        self._records = BatchRecords()
        self._figures: tuple[float, frozenset[str], LiveFigures] | None = None
        """Those told last, when, and of which models: gateways look at nearly the same time."""
        self._incarnation = uuid.uuid4().hex
        self._settled_at = 0.0
        self._pushed_at = time.monotonic()
        self._watch = asyncio.get_running_loop().create_task(self._end_when_idle())

    async def push(
        self,
        source: str,
        snapshot: Snapshot,
        records: Sequence[tuple[str, BatchRecord]] = (),
        *,
        final: bool = False,
    ) -> tuple[str, bool]:
        """Stores a snapshot, and what has happened in batches, with the ids of their models.

        Returns:
            The incarnation, and whether anybody watches batches.
        """
        self._pushed_at = time.monotonic()
        self._aggregator.push(source, snapshot, final=final)
        self._records.add(source, records)
        return self._incarnation, self._records.watched

    async def merged(
        self, incarnation: str | None, models: frozenset[str]
    ) -> tuple[str, Snapshot | None]:
        """The incarnation and the sum of all, or None for a caller that must restore first.

        Args:
            incarnation: of the hub that the caller called last.
            models: as for `Aggregator.merged`.
        """
        if incarnation is not None and incarnation != self._incarnation:
            return self._incarnation, None
        await asyncio.sleep(max(0.0, self._settled_at - time.monotonic()))
        return self._incarnation, self._aggregator.merged(models)

    async def look(
        self, incarnation: str | None, models: frozenset[str], after: int | None
    ) -> tuple[str, LiveLook | None]:
        """The incarnation, and what there is to see; None as for `merged`.

        Args:
            incarnation, models: as for `merged`.
            after: number of the record that the caller has had last; None for one that has had
                none.
        """
        if incarnation is not None and incarnation != self._incarnation:
            return self._incarnation, None
        now = time.monotonic()
        known = self._figures
        if known is None or known[1] != models or now - known[0] >= PUSH_SECONDS:
            known = self._figures = now, models, self._aggregator.figures(models)
        number, batches = self._records.look(after)
        look = LiveLook(at=known[0], number=number, figures=known[2], batches=batches)
        return self._incarnation, look

    async def refused(self) -> dict[str, float]:
        """All requests ever refused for overload, by model."""
        return self._aggregator.refused()

    async def backup(self) -> tuple[str, HubBackup]:
        """The incarnation and the state."""
        return self._incarnation, self._aggregator.backup()

    async def restore(self, backup: HubBackup) -> str:
        """Restores a former hub's state; sums wait until all processes have pushed."""
        self._settled_at = time.monotonic() + 3 * PUSH_SECONDS
        self._aggregator.restore(backup)
        return self._incarnation

    async def _end_when_idle(self) -> None:
        while time.monotonic() - self._pushed_at < IDLE_SECONDS:
            await asyncio.sleep(IDLE_SECONDS / 4)
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


class HubClient:
    """Pushes one process's snapshots to the hub of its application, on a thread of its own.

    Args:
        application: name of the Serve application; those of one service have a hub together.
        source: name of this process, unique in the cluster and over time.
        take: takes the snapshot to push; called on any thread.
        keeps_backup: whether this process keeps a backup of the hub.
        traces: the engines of this process, if it has any.
    """

    def __init__(
        self,
        application: str,
        source: str,
        take: Callable[[], Snapshot],
        *,
        keeps_backup: bool = False,
        traces: TraceSource | None = None,
    ) -> None:
        self._name = _HUB_NAME + application
        self._source = source
        self._take = take
        self._keeps_backup = keeps_backup
        self._traces = traces
        self._watched = False
        self._hub: Any = None
        self._incarnation: str | None = None
        self._backup: HubBackup | None = None
        self._lock = threading.Lock()  # keeps pushes in order
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._push_until_closed, name="metrics", daemon=True)

    @classmethod
    def of_this_replica(
        cls,
        take: Callable[[], Snapshot],
        *,
        application: str | None = None,
        keeps_backup: bool = False,
        traces: TraceSource | None = None,
    ) -> Self:
        """The client of the Serve replica that runs in this process.

        Args:
            take, keeps_backup, traces: as of the class.
            application: whose hub it pushes to; None is the replica's own.
        """
        # Imported here since the hub's process does not need it.
        from ray import serve

        context = serve.get_replica_context()
        source = f"{context.deployment}#{context.replica_tag}"
        return cls(
            application or context.app_name, source, take,
            keeps_backup=keeps_backup, traces=traces,
        )  # fmt: skip

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and pushes for the last time. Idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join(timeout=CALL_SECONDS)
        try:
            self._call("push", self._source, self._take(), final=True, timeout=1.0)
        except _HUB_ERRORS:
            logger.info("the metrics hub was gone before this process")

    def merged(self, models: frozenset[str], *, timeout: float) -> Snapshot:
        """The sum of all processes, this one up to date. Blocks for at most `timeout` seconds.

        Args:
            models: ids of the models that there are.
            timeout: in seconds.

        Raises:
            DeadlineExceededError: the hub did not answer in time.
        """
        sum_of_all: Snapshot = self._asked("merged", models, timeout=timeout)
        return sum_of_all

    def look(self, models: frozenset[str], after: int | None, *, timeout: float) -> LiveLook:
        """What there is to see now in all processes; from then on batches are watched for a while.

        Args:
            models, timeout: as for `merged`.
            after: the number of the look before, if there was one.

        Raises:
            DeadlineExceededError: the hub did not answer in time.
        """
        look: LiveLook = self._asked("look", models, after, timeout=timeout)
        return look

    def _asked(self, method: str, *args: Any, timeout: float) -> Any:
        """What the hub answers that knows this process; blocks."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if not self._lock.acquire(timeout=left):
                break
            try:
                self._push(timeout=left)
                _, answer = self._call(method, self._incarnation, *args, timeout=left)
                if answer is not None:
                    return answer
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
                        incarnation, backup = self._call("backup", timeout=CALL_SECONDS)
                        if incarnation == self._incarnation:
                            self._backup = backup
                        next_backup = time.monotonic() + BACKUP_SECONDS
            except _HUB_ERRORS as error:
                logger.warning("the metrics hub does not answer: %s", type(error).__name__)

    def _push(self, *, timeout: float) -> None:
        records = self._traces.take_traces() if self._traces and self._watched else ()
        incarnation, watched = self._call(
            "push", self._source, self._take(), records, timeout=timeout
        )
        if self._traces and watched != self._watched:
            self._traces.trace(watched)
        self._watched = watched
        if incarnation != self._incarnation:
            if self._backup is not None:
                self._call("restore", self._backup, timeout=timeout)
            self._incarnation = incarnation

    def _call(self, method: str, *args: Any, timeout: float, **kwargs: Any) -> Any:
        if self._hub is None:
            self._hub = find_or_create_actor(MetricsHub, self._name)
        try:
            # Not ray.get, which takes a thread of an asyncio actor for its event loop and warns.
            return getattr(self._hub, method).remote(*args, **kwargs).future().result(timeout)
        except (RayError, TimeoutError, concurrent.futures.CancelledError):
            self._hub = None
            raise


class NonBlockingHubClient:
    """Pushes snapshots from a process that must not block, and that outlives the application.

    So it does not create the hub, which would then outlive the application, too.

    Args:
        application, source: as for HubClient.
    """

    def __init__(self, application: str, source: str) -> None:
        self._name = _HUB_NAME + application
        self._source = source
        self._hub: Any = None
        self._look_up_at = 0.0
        self._answer: concurrent.futures.Future[dict[str, float]] | None = None
        self._refused: dict[str, float] | None = None

    def push(self, snapshot: Snapshot) -> None:
        """Sends `snapshot` if there is a hub, without waiting for an answer."""
        now = time.monotonic()
        if now >= self._look_up_at:
            self._look_up_at = now + LOOK_UP_SECONDS
            try:
                self._hub = find_actor(self._name)
            except _HUB_ERRORS:  # ValueError where there is none
                self._hub = None
                self._look_up_at = now + PUSH_SECONDS
        if self._hub is not None:
            self._hub.push.remote(self._source, snapshot)
            if self._answer is None:
                self._answer = self._hub.refused.remote().future()

    def refused(self) -> dict[str, float] | None:
        """All requests ever refused for overload, by model, as the hub answered last; None while
        that is unknown."""
        if self._answer is not None and self._answer.done():
            try:
                self._refused = self._answer.result()
            except (*_HUB_ERRORS, concurrent.futures.CancelledError):
                self._refused = None  # a new hub starts from a backup
            self._answer = None
        return self._refused

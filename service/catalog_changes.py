"""Changes of the catalog while it serves: made one at a time, by one actor for each service.

A model that is added, or loaded anew, is deployed beside the others and comes into the catalog when
it runs; what leaves the catalog is deleted when no gateway has a request for it any more. What the
store does not name is nobody's: an actor that starts after another one has died deletes it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve._private.common import ReplicaState
from ray.serve.schema import ApplicationStatus

from model.checkpoints.embedded import model_directory
from model.errors import CheckpointError, DeadlineExceededError, PolyheadError
from service.catalog import (
    CatalogChanges,
    CatalogEntry,
    ChangeKind,
    ModelState,
    ModelStatus,
)
from service.catalog_entries import check_names, read_entry
from service.catalog_store import CatalogStore
from service.deployments import model_application
from service.errors import (
    ModelConflictError,
    ModelUnavailableError,
    OverloadedError,
    UnknownModelError,
)
from service.memory_budget import require_memory
from service.memory_limit import free_memory
from service.observability.logs import configure_logging
from service.settings import ModelRecord, Settings

__all__ = ["CatalogActor", "CatalogClient", "deployment_problem", "root_cause"]

IDLE_SECONDS = 60.0
"""Time without any change after which the actor ends itself."""
START_SECONDS = 300.0
"""Time for the replicas of a model to start."""
MOST_WAITING = 16
"""Changes that may wait for their turn."""
_LOOK_SECONDS = 0.25
_FRESH_SECONDS = 5.0
"""Age of a gateway's report from which it counts as gone."""
_GATEWAY_SECONDS = 90.0
"""Time for all gateways to take over a change: in less, Serve replaces one that hangs."""
_MARGIN_SECONDS = 30.0
"""More than the longest request for what the gateways have to be released."""
_CALL_SECONDS = 10.0
_NAMESPACE = "polyhead"
_ACTOR_NAME = "polyhead-catalog-"
_MEMORY = "polyhead_model_memory_bytes"

LOGGER = logging.getLogger("polyhead.catalog")


@dataclass(frozen=True, kw_only=True)
class _Change:
    kind: ChangeKind
    name: str
    record: ModelRecord | None


@dataclass(frozen=True, kw_only=True)
class _Report:
    version: int
    held: frozenset[str]
    at: float


class CatalogActor:
    """The Ray actor that makes the changes, and writes the store as nobody else does.

    Args:
        application: name of the gateways' application.
        gateway: name of their deployment.
        settings: of the service.
        base: the models of the settings.
        store: where the changes are kept.
    """

    def __init__(
        self,
        application: str,
        gateway: str,
        settings: Settings,
        base: tuple[CatalogEntry, ...],
        store: CatalogStore | None = None,
    ) -> None:
        configure_logging(settings.log_level)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        self._application = application
        self._gateway = gateway
        self._settings = settings
        self._base = base
        self._store = store or CatalogStore(application)
        self._changes = CatalogChanges()
        self._reports: dict[str, _Report] = {}
        self._waiting: asyncio.Queue[_Change] = asyncio.Queue(MOST_WAITING)
        self._recovered = asyncio.Event()
        self._writing = asyncio.Lock()
        self._work = asyncio.get_running_loop().create_task(self._run())

    async def submit(self, kind: ChangeKind, name: str, record: ModelRecord | None) -> None:
        """Accepts a change.

        Raises:
            UnknownModelError, ModelConflictError, OverloadedError: it cannot be done now.
        """
        await self._recovered.wait()
        self._check(kind, name)
        if self._waiting.full():
            raise OverloadedError(f"at most {MOST_WAITING} changes may wait, and as many do")
        state = ModelState.REMOVING if kind is ChangeKind.REMOVE else ModelState.LOADING
        self._waiting.put_nowait(_Change(kind=kind, name=name, record=record))
        await self._note(name, ModelStatus(state=state, change=kind))

    async def report(self, gateway: str, version: int, held: frozenset[str]) -> None:
        """Takes note of a gateway's version of the catalog, and the models it has calls for."""
        self._reports[gateway] = _Report(version=version, held=held, at=time.monotonic())

    def _check(self, kind: ChangeKind, name: str) -> None:
        status = self._changes.statuses.get(name)
        if status is not None and status.state is not ModelState.FAILED:
            raise ModelConflictError(f"{name} must be changed one at a time, but is {status.state}")
        known = self._current()
        if kind is ChangeKind.ADD:
            if name in known:
                raise ModelConflictError(
                    f"the id of a model must be new, but there is {name}: reload or remove it"
                )
            return
        if (entry := known.get(name)) is None:
            raise UnknownModelError(f"there must be a model {name}, but there is none")
        if entry.application is None and not entry.shared:
            raise ModelConflictError(
                f"{name} is a part of the application {self._application}, as it was deployed: "
                "change its configuration, and deploy it anew"
            )
        if kind is ChangeKind.REMOVE:
            self._require_another(name)

    def _require_another(self, name: str) -> None:
        if len(self._current()) == 1:
            raise ModelConflictError(f"one model must stay, and there is none but {name}")

    def _current(self) -> dict[str, CatalogEntry]:
        return {entry.id: entry for entry in self._changes.applied_to(self._base)}

    async def _run(self) -> None:
        """Works until there has been nothing to do for a while; then ends this process."""
        try:
            await self._make_changes()
        except Exception:
            # Ray starts another one, which finds in the store how far this one came.
            LOGGER.exception("the catalog cannot be changed")
            ray.kill(ray.get_runtime_context().current_actor, no_restart=False)
        else:
            ray.kill(ray.get_runtime_context().current_actor, no_restart=True)

    async def _make_changes(self) -> None:
        """Makes the changes one by one; returns when there have been none for a while."""
        while not self._recovered.is_set():
            try:
                await self._recover()
                self._recovered.set()
            except Exception:
                LOGGER.exception("the catalog cannot be read; tried again")
                await asyncio.sleep(_LOOK_SECONDS)
        while True:
            try:
                change = await asyncio.wait_for(self._waiting.get(), IDLE_SECONDS)
            except TimeoutError:
                if self._waiting.empty():  # one may have come at the last moment
                    return
                continue
            await self._make(change)

    async def _recover(self) -> None:
        """Reads the store; what was in work when an actor died has failed, and is cleaned up."""
        self._changes = await asyncio.to_thread(self._store.read)
        await self._clean_up()
        for name, status in self._changes.statuses.items():
            if status.state is not ModelState.FAILED:
                await self._fail(name, status.change, "the change was interrupted; try it again")

    async def _make(self, change: _Change) -> None:
        LOGGER.info("the catalog: %s %s", change.kind, change.name)
        try:
            await self._clean_up()
            if change.kind is ChangeKind.REMOVE:
                await self._remove(change.name)
            else:
                await self._load(change)
        except PolyheadError as error:
            await self._fail(change.name, change.kind, str(error))
        except Exception:
            LOGGER.exception("the catalog: %s %s failed", change.kind, change.name)
            await self._fail(change.name, change.kind, "it failed; the service's log tells why")

    async def _load(self, change: _Change) -> None:
        """Deploys a model that is new, or was changed, and puts it into the catalog."""
        old = self._current().get(change.name)
        record = old.record if old is not None else change.record
        if record is None:
            raise UnknownModelError(f"there must be a model {change.name}, but there is none")
        # A link may lead to a directory of another name by now.
        record = record.model_copy(update={"id": change.name})
        base = {entry.id: entry.record for entry in self._base}
        entry = await asyncio.to_thread(self._read, record)
        entry = replace(entry, base_record=base.get(change.name))
        if entry.application is not None:
            await self._deploy(entry)
        await self._write(self._changes.with_entry(entry))
        await self._retire(old)
        await self._note(entry.id, None)

    async def _remove(self, name: str) -> None:
        self._require_another(name)  # there were two when both were to go
        old = self._current().get(name)
        of_base = any(entry.id == name for entry in self._base)
        await self._write(self._changes.without_entry(name, hides=of_base))
        await self._retire(old)
        await self._note(name, None)

    def _read(self, record: ModelRecord) -> CatalogEntry:
        """The entry of a record, if its directory is whole and it fits."""
        # With what it takes to read a tokenizer.
        from model.checkpoints.checkpoint import check_checkpoint

        check_checkpoint(model_directory(record.model))
        entry = read_entry(
            record,
            self._settings,
            revision=self._changes.version + 1,
            application=self._application,
        )
        others = [each for each in self._current().values() if each.id != entry.id]
        check_names([*others, entry], self._settings)
        # Of several machines it is not known which one it will be.
        alone = sum(node["Alive"] for node in ray.nodes()) == 1  # type: ignore[no-untyped-call]
        require_memory(entry, self._settings, free_memory() if alone else None)
        return entry

    async def _deploy(self, entry: CatalogEntry) -> None:
        """Returns when the model's application runs; CheckpointError if it does not start."""
        name = entry.application
        assert name is not None
        application = model_application(self._settings, entry, hub=self._application)
        target = serve.RunTarget(application, name, None)
        await asyncio.to_thread(serve.run_many, [target], wait_for_applications_running=False)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            status = await asyncio.to_thread(_application_status, name)
            if status is ApplicationStatus.RUNNING:
                return
            if status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        problem = await asyncio.to_thread(deployment_problem, name)
        await self._delete(name)
        raise CheckpointError(f"{entry.id} did not start: {problem}")

    async def _retire(self, old: CatalogEntry | None) -> None:
        """Waits until no gateway needs what has left the catalog, and deletes it."""
        await self._wait(self._all_have_taken, _GATEWAY_SECONDS)
        if old is None:
            return
        await self._released(old.hosted.key)
        if old.application is not None:
            await self._delete(old.application)

    async def _released(self, key: str) -> None:
        """Returns when no gateway has a request for a model that has left the catalog."""

        async def released() -> bool:
            return not any(key in report.held for report in self._fresh_reports())

        longest = self._settings.limits.request_timeout_seconds + _MARGIN_SECONDS
        await self._wait(released, longest)

    async def _all_have_taken(self) -> bool:
        """Whether all gateways that run use the version that is stored."""
        running = await asyncio.to_thread(self._num_gateways)
        versions = [report.version for report in self._fresh_reports()]
        return len(versions) >= running and all(
            version >= self._changes.version for version in versions
        )

    def _fresh_reports(self) -> list[_Report]:
        now = time.monotonic()
        self._reports = {
            name: report
            for name, report in self._reports.items()
            if now - report.at < _FRESH_SECONDS
        }
        return list(self._reports.values())

    def _num_gateways(self) -> int:
        application = serve.status().applications.get(self._application)
        if application is None or self._gateway not in application.deployments:
            return 0
        return application.deployments[self._gateway].replica_states.get(ReplicaState.RUNNING, 0)

    async def _wait(self, holds: Callable[[], Awaitable[bool]], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not await holds():
            if time.monotonic() > deadline:
                LOGGER.warning("the catalog: a gateway does not answer; it is not waited for")
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _clean_up(self) -> None:
        """Deletes the applications that were called after this one and are not in the catalog."""
        wanted = {entry.application for entry in self._current().values()}
        status = await asyncio.to_thread(serve.status)
        prefix = f"{self._application}@"
        for name in status.applications:
            if name.startswith(prefix) and name not in wanted:
                LOGGER.warning("the catalog: %s is nobody's, and is deleted", name)
                if self._changes.in_work:  # it may have left the catalog a moment ago
                    await self._wait(self._all_have_taken, _GATEWAY_SECONDS)
                    await self._released(name.removeprefix(prefix))
                await self._delete(name)

    async def _delete(self, name: str) -> None:
        try:
            await asyncio.to_thread(serve.delete, name)
        except TimeoutError:  # Serve goes on with it
            LOGGER.warning("the catalog: %s takes long to end; it is not waited for", name)

    async def _fail(self, name: str, kind: ChangeKind, problem: str) -> None:
        LOGGER.warning("the catalog: %s %s: %s", kind, name, problem)
        status = ModelStatus(state=ModelState.FAILED, change=kind, problem=problem[:1000])
        await self._note(name, status)

    async def _note(self, name: str, status: ModelStatus | None) -> None:
        await self._write(self._changes.with_status(name, status))

    async def _write(self, changes: CatalogChanges) -> None:
        self._changes = changes
        async with self._writing:  # others may be noted while it is written
            await asyncio.to_thread(self._store.write, self._changes)


class CatalogClient:
    """A gateway's way to the actor; see `service.gateway.api.models.ModelChanges`.

    Args:
        application, gateway, settings, base: as for `CatalogActor`.
        store: where the changes are kept.
        metrics: the metrics of all processes, which know what is loaded where.
    """

    def __init__(
        self,
        application: str,
        gateway: str,
        settings: Settings,
        base: tuple[CatalogEntry, ...],
        store: CatalogStore,
        metrics: Callable[[], Awaitable[Mapping[str, Any]]],
    ) -> None:
        self._name = _ACTOR_NAME + application
        self._arguments = (application, gateway, settings, base)
        self._store = store
        self._metrics = metrics
        self._reading = asyncio.Lock()
        self._read = CatalogChanges()

    async def submit(self, kind: ChangeKind, name: str, record: ModelRecord | None) -> None:
        """Accepts a change; raises what `CatalogActor.submit` does."""
        await asyncio.to_thread(self._submit, kind, name, record)

    async def status(self, name: str) -> ModelStatus | None:
        """How the last change of a model goes, or why it failed."""
        # One after the other, and what is large only when it has changed: whoever asks, the GCS is
        # not flooded.
        try:
            async with asyncio.timeout(_CALL_SECONDS), self._reading:
                if await asyncio.to_thread(self._store.version) != self._read.version:
                    self._read = await asyncio.to_thread(self._store.read)
        except (TimeoutError, RayError) as error:
            raise ModelUnavailableError(
                "the catalog cannot be read now; try again later"
            ) from error
        return self._read.statuses.get(name)

    async def loaded(self, name: str) -> Mapping[str, int]:
        """The replicas that have a model in memory, and its bytes there."""
        family = (await self._metrics()).get(_MEMORY)
        loaded = {}
        for (_, labels), size in family.samples.items() if family is not None else ():
            of = dict(labels)
            if of.get("model_name") == name and size > 0:
                loaded[of.get("replica", "")] = int(size)
        return loaded

    def report(self, gateway: str, version: int, held: frozenset[str]) -> None:
        """Tells the actor what this gateway uses, if there is one; waits for no answer."""
        with suppress(ValueError, RayError):  # ValueError where there is none
            ray.get_actor(self._name, namespace=_NAMESPACE).report.remote(gateway, version, held)

    def _submit(self, kind: ChangeKind, name: str, record: ModelRecord | None) -> None:
        for last in (False, True):
            try:
                answer = self._actor().submit.remote(kind, name, record)
                answer.future().result(_CALL_SECONDS)
                return
            except RayTaskError as error:
                if isinstance(error.cause, PolyheadError):
                    raise error.cause from None
                raise
            except (RayError, ValueError) as error:  # ValueError: while another one makes the actor
                if last:  # once, it may have been about to end itself
                    message = "the models cannot be changed now; try again later"
                    raise ModelUnavailableError(message) from error
            except (TimeoutError, concurrent.futures.CancelledError):
                raise DeadlineExceededError from None

    def _actor(self) -> Any:
        options = ray.remote(CatalogActor).options(
            name=self._name,
            namespace=_NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,
            enable_task_events=False,
        )
        return options.remote(*self._arguments)


def deployment_problem(application: str) -> str:
    """Why an application does not run: the exception of a replica, if there is one."""
    status = serve.status().applications.get(application)
    if status is None:
        return "it is gone"
    for deployment in status.deployments.values():
        if deployment.message:
            return root_cause(deployment.message)
    return root_cause(status.message)


def root_cause(error: str) -> str:
    """The last line of a traceback: its exception."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", error)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    # Without the class if it is one of ours, whose messages are for users.
    return re.sub(r"^model\.errors\.\w+: ", "", lines[-1]) if lines else "it did not say why"


def _application_status(name: str) -> ApplicationStatus | None:
    application = serve.status().applications.get(name)
    return None if application is None else application.status

"""Changes of the catalog while it serves: made one at a time, by one controller for each service.

A model that is added, or loaded anew, is deployed beside the others and comes into the catalog when
it runs; what leaves the catalog is deleted when no gateway has a request for it any more. What the
store does not name is nobody's: a controller that starts after another one has died deletes it.

So is the catalog of a service that is deployed anew with other settings: it takes the place of the
one before as a whole, for the gateways that are there as for those that come.

Free of Ray, with which the controller is an actor (`service.hosting.actor`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from model.checkpoints.embedded import model_directory
from model.errors import CheckpointError, PolyheadError
from service.catalog.changes import (
    CatalogBase,
    CatalogChanges,
    ChangeKind,
    ModelState,
    ModelStatus,
)
from service.catalog.directories import check_names, read_entry
from service.catalog.entry import CatalogEntry
from service.errors import (
    ModelConflictError,
    ModelUnavailableError,
    OverloadedError,
    UnknownModelError,
)
from service.hosting.memory_budget import require_memory
from service.hosting.own_thread import start_thread
from service.settings import ModelRecord, Settings

__all__ = ["CatalogController", "ChangesStore", "ModelHosts"]

_LOOK_SECONDS = 0.25
_FRESH_SECONDS = 5.0
"""Age of a gateway's report from which it counts as gone."""
_GATEWAY_SECONDS = 90.0
"""Time for all gateways to take over a change: in less, Serve replaces one that hangs."""
_MARGIN_SECONDS = 30.0
"""More than the longest request for what the gateways have to be released."""

LOGGER = logging.getLogger("polyhead.catalog")

_T = TypeVar("_T")


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


class ModelHosts(Protocol):
    """What runs models, and is told to; see `service.hosting.applications.Applications`.

    A model with replicas of its own has an application there, which is called after it and the
    service.
    """

    async def names(self) -> list[str]:
        """The applications of models that there are, wanted or not."""
        ...

    def made_of(self, settings: Settings, entry: CatalogEntry) -> tuple[object, ...]:
        """All that the replicas of one model are made of; they must be replaced where it
        differs."""
        ...

    async def require_room(self, entry: CatalogEntry, settings: Settings) -> None:
        """InvalidRequestError where it is known that a model finds no place."""
        ...

    async def deploy(
        self, settings: Settings, entries: Sequence[CatalogEntry], seconds: float
    ) -> dict[str, str]:
        """Deploys the models' replicas; what kept models from starting, by id."""
        ...

    async def restore(self, settings: Settings, entries: Sequence[CatalogEntry]) -> None:
        """Deploys what ran before; it is not waited for."""
        ...

    async def delete(self, name: str) -> None:
        """Ends an application."""
        ...

    async def retain(self, keys: frozenset[str]) -> None:
        """Has the shared replicas let go of all models but these."""
        ...

    async def num_gateways(self) -> int:
        """The gateways that run."""
        ...


class ChangesStore(Protocol):
    """Where the changes are kept. Its methods block."""

    def version(self) -> int:
        """Version of what is stored; 0 for nothing."""
        ...

    def read(self) -> CatalogChanges:
        """What is stored."""
        ...

    def read_or_begin(self) -> tuple[CatalogChanges, str | None]:
        """What is stored, or an empty state of the same version; with the reason for that."""
        ...

    def write(self, changes: CatalogChanges) -> None:
        """Stores `changes`."""
        ...


class CatalogController:
    """Makes the changes, and writes the store as nobody else does.

    Args:
        application: name of the gateways' application.
        hosts: what runs the models.
        store: where the changes are kept.
        idle_seconds: time without any change after which it ends itself; None for never.
    """

    def __init__(
        self,
        application: str,
        hosts: ModelHosts,
        store: ChangesStore,
        *,
        idle_seconds: float | None = None,
    ) -> None:
        self._application = application
        self._applications = hosts
        self._store = store
        self._idle_seconds = idle_seconds
        self._changes = CatalogChanges()
        self._reports: dict[str, _Report] = {}
        self._waiting: asyncio.Queue[_Change] = asyncio.Queue()
        self._recovered = asyncio.Event()
        self._turn = asyncio.Lock()
        """Whoever changes the catalog now."""
        self._writing = asyncio.Lock()
        self._adoptions: set[asyncio.Task[None]] = set()
        self._work = asyncio.get_running_loop().create_task(self._run())

    async def submit(self, kind: ChangeKind, name: str, record: ModelRecord | None) -> None:
        """Accepts a change.

        Raises:
            UnknownModelError, ModelConflictError, OverloadedError: it cannot be done now.
        """
        await self._recovered.wait()
        self._check(kind, name)
        most = self._settings.max_waiting_changes
        if self._waiting.qsize() >= most:
            raise OverloadedError(
                f"at most {most} changes may wait (`max_waiting_changes`), and as many do"
            )
        state = ModelState.REMOVING if kind is ChangeKind.REMOVE else ModelState.LOADING
        self._waiting.put_nowait(_Change(kind=kind, name=name, record=record))
        await self._note(name, ModelStatus(state=state, change=kind))

    async def adopt(self, base: CatalogBase) -> None:
        """Has a new base take the place of the one before; returns when its models serve.

        Raises:
            CheckpointError, InvalidRequestError: one of its models cannot be used; all is as it
                was before.
        """
        await self._recovered.wait()
        adopted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._adopt(base, adopted))
        self._adoptions.add(task)
        task.add_done_callback(self._adoptions.discard)
        await asyncio.shield(adopted)

    async def report(self, gateway: str, version: int, held: frozenset[str]) -> None:
        """Takes note of a gateway's version of the catalog, and the models it has calls for."""
        self._reports[gateway] = _Report(version=version, held=held, at=time.monotonic())

    def close(self) -> None:
        """Ends the work, where there is no process to end with it."""
        self._work.cancel()

    @property
    def _settings(self) -> Settings:
        if self._changes.base is None:
            raise ModelUnavailableError("the service is about to start; try again later")
        return self._changes.base.settings

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
        if name not in known:
            raise UnknownModelError(f"there must be a model {name}, but there is none")
        if kind is ChangeKind.REMOVE:
            self._require_another(name)

    def _require_another(self, name: str) -> None:
        if len(self._current()) == 1:
            raise ModelConflictError(f"one model must stay, and there is none but {name}")

    def _current(self) -> dict[str, CatalogEntry]:
        return {entry.id: entry for entry in self._changes.applied_to(())}

    async def _run(self) -> None:
        """Works until there has been nothing to do for a while; then ends this process."""
        try:
            await self._make_changes()
        except Exception:
            LOGGER.exception("the catalog cannot be changed")
            self._end(restart=True)
        else:
            self._end(restart=False)

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
                change = await asyncio.wait_for(self._waiting.get(), self._idle_seconds)
            except TimeoutError:
                # One may have come at the last moment.
                if self._waiting.empty() and not self._adoptions:
                    return
                continue
            async with self._turn:
                await self._make(change)

    async def _recover(self) -> None:
        """Reads the store; what was in work when an actor died has failed, and is cleaned up."""
        self._changes, problem = await asyncio.to_thread(self._store.read_or_begin)
        if problem is not None:
            LOGGER.error("the catalog: %s", problem)
        if self._changes.base is None:  # nobody knows yet what is wanted
            return
        await self._clean_up()
        for name, status in self._changes.statuses.items():
            if status.state is not ModelState.FAILED:
                await self._fail(name, status.change, "the change was interrupted; try it again")
        if self._changes.adopting:
            await self._write(self._changes.with_adopting(False))

    async def _adopt(self, base: CatalogBase, adopted: asyncio.Future[None]) -> None:
        async with self._turn:
            try:
                if self._changes.base != base:
                    await self._write(self._changes.with_adopting(True))
                    await self._take_over(base)
                adopted.set_result(None)
                if self._changes.adopting:
                    await self._retire_all_unwanted()
            except Exception as error:
                LOGGER.exception("the catalog: the new settings cannot be taken over")
                if not adopted.done():
                    adopted.set_exception(error)
                if isinstance(error, PolyheadError):
                    await self._tell_failure(base, str(error))
                else:  # as in `_run`
                    self._end(restart=True)
            if self._changes.adopting:
                await self._write(self._changes.with_adopting(False))

    async def _tell_failure(self, base: CatalogBase, problem: str) -> None:
        """Notes for each model that was to come why it has not."""
        known = [entry.hosted for entry in self._changes.applied_to(())]
        for entry in base.entries:
            if entry.hosted not in known:
                await self._fail(entry.id, ChangeKind.ADD, problem)

    async def _take_over(self, base: CatalogBase) -> None:
        """Deploys what is new or has changed, and makes `base` the base of the catalog."""
        before, after = self._changes, replace(self._changes, base=base)
        entries = after.applied_to(())
        check_names(entries, base.settings)
        if before.base is not None:
            known = [entry.hosted for entry in before.applied_to(())]
            for entry in entries:
                if entry.hosted not in known and base.serve == before.base.serve:
                    await self._read_whole(entry, base.settings)
        await self._deploy_changed(before, base, entries)
        for entry in base.entries:  # what has failed before
            status = self._changes.statuses.get(entry.id)
            if status is not None and status.state is ModelState.FAILED:
                await self._note(entry.id, None)
        await self._write(self._changes.with_base(base, adopting=True))

    async def _deploy_changed(
        self, before: CatalogChanges, base: CatalogBase, entries: tuple[CatalogEntry, ...]
    ) -> None:
        """Deploys each model whose replicas are not there, or are made of something else.

        Raises:
            CheckpointError: one of the base does not start; what ran before is deployed again.
        """
        running = set(await self._applications.names())
        old = {entry.application(self._application): entry for entry in before.applied_to(())}
        changed: list[CatalogEntry] = []
        replaced: list[CatalogEntry] = []
        for entry in entries:
            name = entry.application(self._application)
            if entry.shared:
                continue
            if name in running and name in old and before.base is not None:
                if self._made_of(before.base, old[name]) == self._made_of(base, entry):
                    continue
                replaced.append(old[name])
            changed.append(entry)
        seconds = base.settings.start_timeout_seconds
        problems = await self._applications.deploy(base.settings, changed, seconds)
        # A model that was added may be lost with its directory: that keeps no service from
        # starting.
        ours = {entry.id for entry in base.entries if entry in entries}
        failed = [f"{name} did not start: {problems[name]}" for name in problems if name in ours]
        if failed:
            if before.base is not None:
                await self._applications.restore(before.base.settings, replaced)
            for name in {entry.application(self._application) for entry in changed} - running:
                await self._applications.delete(name)
            raise CheckpointError("; ".join(failed))
        for name, problem in problems.items():
            await self._write(self._changes.without_entry(name, hides=False))
            await self._fail(name, ChangeKind.ADD, problem)
        if problems:  # the base may have other models of these names
            entries = replace(self._changes, base=base).applied_to(())
            await self._deploy_changed(before, base, entries)

    def _made_of(self, base: CatalogBase, entry: CatalogEntry) -> tuple[object, ...]:
        return self._applications.made_of(base.settings, entry)

    async def _retire_all_unwanted(self) -> None:
        await self._wait(self._all_have_taken, _GATEWAY_SECONDS)
        await self._clean_up()
        await self._applications.retain(self._keys())

    def _keys(self) -> frozenset[str]:
        return frozenset(entry.hosted.key for entry in self._changes.applied_to(()))

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
        base = {entry.id: entry.record for entry in self._base_entries()}
        entry = await self._read(record)
        entry = replace(entry, base_record=base.get(change.name))
        if not entry.shared:
            await self._deploy(entry)
        await self._write(self._changes.with_entry(entry))
        await self._retire(old)
        await self._note(entry.id, None)

    async def _remove(self, name: str) -> None:
        self._require_another(name)  # there were two when both were to go
        old = self._current().get(name)
        of_base = any(entry.id == name for entry in self._base_entries())
        await self._write(self._changes.without_entry(name, hides=of_base))
        await self._retire(old)
        await self._note(name, None)

    def _base_entries(self) -> tuple[CatalogEntry, ...]:
        return () if self._changes.base is None else self._changes.base.entries

    async def _read(self, record: ModelRecord) -> CatalogEntry:
        """The entry of a record, if its directory is whole and it fits."""
        settings, revision = self._settings, self._changes.version + 1
        entry = await self._in_time(
            record.id or record.model, lambda: read_entry(record, settings, revision=revision)
        )
        await self._read_whole(entry, settings)
        others = [each for each in self._current().values() if each.id != entry.id]
        check_names([*others, entry], settings)
        await self._applications.require_room(entry, settings)
        return entry

    async def _read_whole(self, entry: CatalogEntry, settings: Settings) -> None:
        """Returns if the directory of a model is whole, and the model fits into its memory."""

        def check() -> None:
            # With what it takes to read a tokenizer.
            from model.checkpoints.checkpoint import check_checkpoint

            check_checkpoint(model_directory(entry.record.model))
            require_memory(entry, settings)

        await self._in_time(entry.id, check)

    async def _in_time(self, name: str, call: Callable[[], _T]) -> _T:
        seconds = self._settings.load_timeout_seconds
        try:
            return await asyncio.wait_for(start_thread(call), seconds)
        except TimeoutError:
            raise CheckpointError(
                f"{name} must be read within {seconds:g} s (`load_timeout_seconds`), but was not"
            ) from None

    async def _deploy(self, entry: CatalogEntry) -> None:
        """Returns when the model's application runs; CheckpointError if it does not start."""
        seconds = self._settings.start_timeout_seconds
        problems = await self._applications.deploy(self._settings, [entry], seconds)
        if problems:
            await self._applications.delete(entry.application(self._application))
            raise CheckpointError(f"{entry.id} did not start: {problems[entry.id]}")

    async def _retire(self, old: CatalogEntry | None) -> None:
        """Waits until no gateway needs what has left the catalog, and deletes it."""
        await self._wait(self._all_have_taken, _GATEWAY_SECONDS)
        if old is None:
            return
        await self._released(old.hosted.key)
        if old.shared:
            await self._applications.retain(self._keys())
        else:
            await self._applications.delete(old.application(self._application))

    async def _released(self, key: str) -> None:
        """Returns when no gateway has a request for a model that has left the catalog."""

        async def released() -> bool:
            return not any(key in report.held for report in self._fresh_reports())

        longest = self._settings.limits.request_timeout_seconds + _MARGIN_SECONDS
        await self._wait(released, longest)

    async def _all_have_taken(self) -> bool:
        """Whether all gateways that run use the version that is stored."""
        running = await self._applications.num_gateways()
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

    async def _wait(self, holds: Callable[[], Awaitable[bool]], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not await holds():
            if time.monotonic() > deadline:
                LOGGER.warning("the catalog: a gateway does not answer; it is not waited for")
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _clean_up(self) -> None:
        """Deletes the applications that were called after this one and are not in the catalog."""
        wanted = {entry.application(self._application) for entry in self._current().values()}
        for name in await self._applications.names():
            if name not in wanted:
                LOGGER.info("the catalog: %s is not wanted any more, and is deleted", name)
                if self._changes.in_work:  # it may have left the catalog a moment ago
                    await self._wait(self._all_have_taken, _GATEWAY_SECONDS)
                    await self._released(name.removeprefix(f"{self._application}@"))
                await self._applications.delete(name)

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

    def _end(self, *, restart: bool) -> None:
        """Ends this controller; the one that is started anew finds in the store how far it came.

        Without a process of its own it is that one itself.
        """
        if restart:
            self._recovered.clear()
            self._work = asyncio.get_running_loop().create_task(self._run())

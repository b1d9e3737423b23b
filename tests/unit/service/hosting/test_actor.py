"""The actor that changes the catalog, with stand-ins for Ray Serve and the store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RaySystemError, RayTaskError
from ray.serve._private.common import ReplicaState
from ray.serve.schema import ApplicationStatus

from model.errors import CheckpointError
from service.catalog.changes import CatalogBase, CatalogChanges, ChangeKind, ModelState, ModelStatus
from service.catalog.directories import read_entry
from service.catalog.entry import CatalogEntry
from service.errors import (
    ModelConflictError,
    ModelUnavailableError,
    OverloadedError,
    UnknownModelError,
)
from service.hosting import actor, applications, controller
from service.hosting.actor import CatalogActor
from service.hosting.applications import root_cause
from service.hosting.client import CatalogClient
from service.settings import ModelRecord, Settings
from tests.fakes import catalog_entry, until
from tests.tiny_model import build_tiny_model

BASE = (catalog_entry("base"), catalog_entry("small", shared=True))


def _base(entries: tuple[CatalogEntry, ...] = BASE, serve: str = "1", **given: Any) -> CatalogBase:
    settings = Settings.model_validate({"engine": {"device": "cpu"}, **given})
    return CatalogBase(settings=settings, entries=entries, serve=serve)


class _Store:
    def __init__(self, base: CatalogBase | None = None) -> None:
        self.changes = CatalogChanges(base=base or _base())
        self.problem: str | None = None

    def read_or_begin(self) -> tuple[CatalogChanges, str | None]:
        return self.changes, self.problem

    def version(self) -> int:
        return self.changes.version

    def write(self, changes: CatalogChanges) -> None:
        assert changes.version >= self.changes.version
        self.changes = changes


class _Serve:
    """Applications by name; the events in their order."""

    def __init__(self) -> None:
        self.applications: dict[str, ApplicationStatus] = {"polyhead": ApplicationStatus.RUNNING}
        self.num_gateways = 1
        self.next_status = ApplicationStatus.RUNNING
        self.statuses: dict[str, ApplicationStatus] = {}
        self.retained: list[frozenset[str]] = []
        self.events: list[str] = []

    def status(self) -> Any:
        gateway = SimpleNamespace(
            message="", replica_states={ReplicaState.RUNNING: self.num_gateways}
        )
        failed = SimpleNamespace(message="ray::X\nmodel.errors.CheckpointError: no room")
        applications = {
            name: SimpleNamespace(
                status=status,
                message="",
                deployments={"Gateway": gateway} if name == "polyhead" else {"T": failed},
            )
            for name, status in self.applications.items()
        }
        return SimpleNamespace(applications=applications)

    def run_many(self, targets: list[Any], **_: Any) -> None:
        for target in targets:
            self.events.append(f"deploy {target.name}")
            self.applications[target.name] = self.statuses.get(target.name, self.next_status)

    def get_deployment_handle(self, name: str, application: str, **_: Any) -> Any:
        def broadcast(method: str, keys: frozenset[str]) -> Any:
            assert (name, application, method) == ("TranslatorPool", "polyhead", "retain")
            self.retained.append(keys)
            return SimpleNamespace(results=lambda timeout_s: [])

        return SimpleNamespace(broadcast=broadcast)

    def delete(self, name: str) -> None:
        self.events.append(f"delete {name}")
        del self.applications[name]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> _Serve:
    served = _Serve()
    for name in ("status", "run_many", "delete", "get_deployment_handle"):
        monkeypatch.setattr(applications.serve, name, getattr(served, name))
    monkeypatch.setattr(applications, "model_application", lambda *_, **__: object())
    for module in (controller, applications):
        monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(applications.ray, "nodes", lambda: [{"Alive": True}])
    monkeypatch.setattr(applications.ray, "available_resources", lambda: {"CPU": 4.0})
    monkeypatch.setattr(applications.serve, "RunTarget", _target)
    served.applications["polyhead@base@1"] = ApplicationStatus.RUNNING
    return served


def _target(application: object, name: str, route_prefix: None) -> Any:
    return SimpleNamespace(name=name)


class _Service:
    """The actor, and one gateway that reports."""

    def __init__(self, served: _Serve, store: _Store) -> None:
        self.served = served
        self.store = store
        self.actor = CatalogActor(
            "polyhead", "Gateway", store=store,  # type: ignore[arg-type]
        )  # fmt: skip
        self.held: frozenset[str] = frozenset()
        self.reports = True
        self._gateway = asyncio.create_task(self._report())

    async def _report(self) -> None:
        while True:
            if self.reports:
                await self.actor.report("g", self.store.changes.version, self.held)
            await asyncio.sleep(0.005)

    async def change(self, kind: ChangeKind, name: str, model: Path | None = None) -> None:
        record = None if model is None else ModelRecord(
            model=str(model), id=name, placement="dedicated"
        )  # fmt: skip
        await self.actor.submit(kind, name, record)

    async def done(self) -> None:
        await until(lambda: not self.store.changes.in_work)

    def status(self, name: str) -> ModelStatus | None:
        return self.store.changes.statuses.get(name)

    @property
    def keys(self) -> list[str]:
        return [entry.hosted.key for entry in self.store.changes.applied_to(())]

    async def close(self) -> None:
        tasks = (self._gateway, self.actor._work)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def service(served: _Serve) -> AsyncIterator[_Service]:
    service = _Service(served, _Store())
    yield service
    await service.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


async def test_a_model_is_added_loaded_anew_and_removed(service: _Service, tiny: Path) -> None:
    await service.change(ChangeKind.ADD, "new", tiny)
    await service.done()
    first = service.keys[-1]
    assert service.status("new") is None
    assert first.startswith("new@")
    await service.change(ChangeKind.RELOAD, "new")
    await service.done()
    second = service.keys[-1]
    assert int(second.partition("@")[2]) > int(first.partition("@")[2])
    await service.change(ChangeKind.REMOVE, "new")
    await service.done()
    assert service.keys == ["base@1", "small@1"]
    assert service.store.changes.entries == {}
    assert service.served.events == [
        f"deploy polyhead@{first}",
        f"deploy polyhead@{second}",
        f"delete polyhead@{first}",
        f"delete polyhead@{second}",
    ]


async def test_what_gateways_have_calls_for_stays(service: _Service) -> None:
    service.held = frozenset({"base@1"})
    await service.change(ChangeKind.REMOVE, "base")
    await until(lambda: service.keys == ["small@1"])
    await asyncio.sleep(0.1)
    assert (service.served.events, service.status("base")) == (
        [], ModelStatus(state=ModelState.REMOVING, change=ChangeKind.REMOVE),
    )  # fmt: skip
    service.held = frozenset()
    await service.done()
    assert service.served.events == ["delete polyhead@base@1"]


async def test_what_takes_the_place_of_a_model_of_the_base_notes_what_it_was(
    service: _Service, tiny: Path
) -> None:
    await service.change(ChangeKind.REMOVE, "base")
    await service.done()
    await service.change(ChangeKind.ADD, "base", tiny)
    await service.done()
    entry = service.store.changes.entries["base"]
    assert entry is not None
    assert entry.base_record == BASE[0].record
    assert service.keys[0] == entry.hosted.key


async def test_what_takes_long_to_end_lets_the_change_succeed(
    service: _Service, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.change(ChangeKind.ADD, "new", tiny)
    await service.done()

    def delete(name: str) -> None:
        raise TimeoutError(name)

    monkeypatch.setattr(applications.serve, "delete", delete)
    await service.change(ChangeKind.RELOAD, "new")
    await service.done()
    assert service.status("new") is None


async def test_a_gateway_that_has_not_taken_the_change_is_waited_for(
    service: _Service,
) -> None:
    await service.actor._recovered.wait()
    service.served.num_gateways = 2
    await service.change(ChangeKind.REMOVE, "base")
    await until(lambda: service.keys == ["small@1"])
    await service.actor.report("other", 0, frozenset())
    await asyncio.sleep(0.1)
    assert service.served.events == []
    await service.actor.report("other", service.store.changes.version, frozenset())
    await service.done()
    assert service.served.events == ["delete polyhead@base@1"]


async def test_a_broken_directory_is_refused_and_the_old_model_goes_on(
    service: _Service, tmp_path: Path
) -> None:
    model = build_tiny_model(tmp_path / "m")
    await service.change(ChangeKind.ADD, "m", model)
    await service.done()
    before = service.keys
    (model / "tokenizer.model").write_bytes(b"x")
    await service.change(ChangeKind.RELOAD, "m")
    await service.done()
    status = service.status("m")
    assert status is not None
    assert (status.state, status.change) == (ModelState.FAILED, ChangeKind.RELOAD)
    assert "tokenizer.model must have SHA-256" in (status.problem or "")
    assert service.keys == before
    await service.change(ChangeKind.ADD, "missing", tmp_path / "missing")
    await service.done()
    missing = service.status("missing")
    assert missing is not None
    assert "must be a directory" in (missing.problem or "")
    assert len(service.served.events) == 1


async def test_a_model_that_does_not_start_leaves_nothing(service: _Service, tiny: Path) -> None:
    service.served.next_status = ApplicationStatus.DEPLOY_FAILED
    await service.change(ChangeKind.ADD, "new", tiny)
    await service.done()
    status = service.status("new")
    assert status is not None
    assert status.problem == "new did not start: no room"
    assert service.served.applications.keys() == {"polyhead", "polyhead@base@1"}
    service.served.next_status = ApplicationStatus.RUNNING
    await service.change(ChangeKind.ADD, "new", tiny)
    await service.done()
    assert service.status("new") is None


async def test_what_does_not_fit_is_refused_with_the_numbers(
    service: _Service, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applications, "free_memory", lambda: 1000)
    await service.change(ChangeKind.ADD, "new", tiny)
    await service.done()
    status = service.status("new")
    assert status is not None
    assert "MiB of memory in int8, which must fit into the 0 MiB that are left" in (
        status.problem or ""
    )
    assert service.served.events == []


async def test_all_replicas_of_a_model_must_fit(
    service: _Service, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applications, "free_memory", lambda: 256 * 2**20)
    record = ModelRecord(model=str(tiny), id="new", replicas=1000)
    await service.actor.submit(ChangeKind.ADD, "new", record)
    await service.done()
    status = service.status("new")
    assert status is not None
    assert "which must fit into the 256 MiB that are left" in (status.problem or "")


async def test_a_change_that_comes_when_the_actor_is_about_to_end_is_made(
    served: _Serve, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []
    context = SimpleNamespace(current_actor="me")
    monkeypatch.setattr(actor.ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(actor.ray, "kill", lambda actor, **_: ended.append(actor))
    monkeypatch.setattr(actor, "IDLE_SECONDS", 0.2)
    wait_for, late = asyncio.wait_for, False

    async def wait_and_submit(waiting: Any, seconds: float) -> Any:
        nonlocal late
        try:
            return await wait_for(waiting, seconds)
        except TimeoutError:
            if not late:
                late = True
                await service.change(ChangeKind.ADD, "new", tiny)
            raise

    monkeypatch.setattr(controller.asyncio, "wait_for", wait_and_submit)
    service = _Service(served, _Store())
    try:
        await until(lambda: bool(ended))
        assert service.keys[-1].startswith("new@")
        assert service.status("new") is None
    finally:
        await service.close()


async def test_an_actor_that_died_in_the_middle_leaves_no_orphan(
    served: _Serve, tiny: Path
) -> None:
    store = _Store()
    loading = ModelStatus(state=ModelState.LOADING, change=ChangeKind.ADD)
    store.changes = store.changes.with_status("new", loading)
    for name in ("polyhead@new@2", "polyhead@base@1", "other@x@1", "polyhead-x"):
        served.applications[name] = ApplicationStatus.RUNNING
    service = _Service(served, store)
    try:
        await service.done()
        await until(lambda: served.events == ["delete polyhead@new@2"])
        status = service.status("new")
        assert status is not None
        assert (status.state, status.problem) == (
            ModelState.FAILED, "the change was interrupted; try it again",
        )  # fmt: skip
    finally:
        await service.close()


async def test_an_orphan_that_gateways_have_calls_for_is_waited_for(served: _Serve) -> None:
    store = _Store()
    loading = ModelStatus(state=ModelState.LOADING, change=ChangeKind.RELOAD)
    # The actor died just after the new revision had taken the old one's place.
    reloaded = replace(catalog_entry("base", 5), base_record=BASE[0].record)
    store.changes = store.changes.with_entry(reloaded).with_status("base", loading)
    served.applications["polyhead@base@5"] = ApplicationStatus.RUNNING
    service = _Service(served, store)
    service.held = frozenset({"base@1"})
    try:
        await asyncio.sleep(0.1)
        assert served.events == []
        service.held = frozenset()
        await service.done()
        assert served.events == ["delete polyhead@base@1"]
    finally:
        await service.close()


async def test_a_store_that_fails_lets_ray_start_another_actor(
    service: _Service, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []
    monkeypatch.setattr(
        actor.ray, "get_runtime_context", lambda: SimpleNamespace(current_actor="me")
    )
    monkeypatch.setattr(
        actor.ray, "kill", lambda actor, no_restart: ended.append((actor, no_restart))
    )
    await service.change(ChangeKind.ADD, "new", tiny)

    def fail(changes: CatalogChanges) -> None:
        raise ConnectionError("the GCS is away")

    monkeypatch.setattr(service.store, "write", fail)
    await until(lambda: ended == [("me", False)])


async def test_of_the_last_two_models_one_stays(service: _Service) -> None:
    await service.actor._recovered.wait()
    await asyncio.gather(
        service.change(ChangeKind.REMOVE, "base"), service.change(ChangeKind.REMOVE, "small")
    )
    await service.done()
    assert service.keys == ["small@1"]
    status = service.status("small")
    assert status is not None
    assert "one model must stay" in (status.problem or "")


async def test_a_link_may_lead_elsewhere_when_it_is_loaded_anew(
    service: _Service, tiny: Path, tmp_path: Path
) -> None:
    link = tmp_path / "current"
    link.symlink_to(tiny)
    await service.change(ChangeKind.ADD, "current", link)
    await service.done()
    link.unlink()
    link.symlink_to(build_tiny_model(tmp_path / "v2"))
    await service.change(ChangeKind.RELOAD, "current")
    await service.done()
    assert [key.partition("@")[0] for key in service.keys] == ["base", "small", "current"]
    entry = service.store.changes.entries["current"]
    assert entry is not None
    assert entry.hosted.directory == str(tmp_path / "v2")


async def test_what_the_catalog_does_not_allow(service: _Service, tiny: Path) -> None:
    for kind, name, error, words in (
        (ChangeKind.ADD, "base", ModelConflictError, "must be new, but there is base"),
        (ChangeKind.RELOAD, "x", UnknownModelError, "there is none"),
        (ChangeKind.REMOVE, "x", UnknownModelError, "there is none"),
    ):
        with pytest.raises(error, match=words):
            await service.change(kind, name)
    service.held = frozenset({"small@1"})
    await service.change(ChangeKind.REMOVE, "small")
    with pytest.raises(ModelConflictError, match="small must be changed one at a time, but is rem"):
        await service.change(ChangeKind.RELOAD, "small")
    await until(lambda: service.keys == ["base@1"])
    with pytest.raises(ModelConflictError, match="one model must stay"):
        await service.change(ChangeKind.REMOVE, "base")
    for number in range(Settings().max_waiting_changes):
        await service.change(ChangeKind.ADD, f"m{number}", tiny)
    with pytest.raises(OverloadedError, match="at most 16 changes may wait"):
        await service.change(ChangeKind.ADD, "one too many", tiny)


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories that are not there count as whole."""

    async def read_whole(*_: object) -> None:
        return

    monkeypatch.setattr(CatalogActor, "_read_whole", read_whole)


def _names(service: _Service) -> list[str]:
    return sorted(service.served.applications.keys() - {"polyhead"})


@pytest.mark.usefixtures("whole")
async def test_a_new_base_takes_the_place_of_the_old_one(service: _Service) -> None:
    entries = (BASE[1], catalog_entry("more", 2), catalog_entry("base", 3))
    service.held = frozenset({"base@1"})
    await service.actor.adopt(_base(entries))
    # What is new runs before anybody hears of it; what is old stays while there are calls for it.
    assert service.keys == ["small@1", "more@2", "base@3"]
    assert service.served.events == ["deploy polyhead@more@2", "deploy polyhead@base@3"]
    await asyncio.sleep(0.1)
    assert service.store.changes.in_work
    service.held = frozenset()
    await service.done()
    assert service.served.events[2:] == ["delete polyhead@base@1"]
    assert service.served.retained == [frozenset({"small@1", "more@2", "base@3"})]
    # Who comes later with the same one finds it there.
    await service.actor.adopt(_base(entries))
    assert len(service.served.events) == 3


@pytest.mark.usefixtures("whole")
async def test_what_was_changed_stays_over_a_new_base_unless_its_record_is_new(
    service: _Service, tiny: Path
) -> None:
    await service.change(ChangeKind.ADD, "new", tiny)
    await service.change(ChangeKind.REMOVE, "base")
    await service.done()
    new = service.keys[-1]
    await service.actor.adopt(_base((*BASE, catalog_entry("more"))))
    await service.done()
    assert service.keys == ["small@1", "more@1", new]
    assert _names(service) == ["polyhead@more@1", f"polyhead@{new}"]


@pytest.mark.usefixtures("whole")
async def test_replicas_are_replaced_in_place_where_only_the_settings_are_new(
    service: _Service,
) -> None:
    await service.actor.adopt(_base(replicas=2))
    await service.done()
    assert service.served.events == ["deploy polyhead@base@1"]
    await service.actor.adopt(_base(replicas=2, log_requests=False))
    await service.done()
    assert service.served.events == ["deploy polyhead@base@1"]
    assert service.store.changes.base == _base(replicas=2, log_requests=False)


@pytest.mark.usefixtures("whole")
async def test_a_base_that_does_not_start_changes_nothing(service: _Service) -> None:
    service.served.statuses["polyhead@more@1"] = ApplicationStatus.DEPLOY_FAILED
    entries = (*BASE, catalog_entry("more"), catalog_entry("other"))
    with pytest.raises(CheckpointError, match="more did not start: no room"):
        await service.actor.adopt(_base(entries, replicas=2))
    await service.done()
    assert service.keys == ["base@1", "small@1"]
    assert service.store.changes.base == _base()
    failed = service.status("more"), service.status("other")
    assert [each.problem for each in failed if each] == ["more did not start: no room"] * 2
    # What ran before runs as it did before.
    assert service.served.events.count("deploy polyhead@base@1") == 2
    assert _names(service) == ["polyhead@base@1"]


@pytest.mark.usefixtures("whole")
async def test_what_has_failed_once_may_succeed(service: _Service) -> None:
    service.served.statuses["polyhead@more@1"] = ApplicationStatus.DEPLOY_FAILED
    base = _base((*BASE, catalog_entry("more")))
    with pytest.raises(CheckpointError):
        await service.actor.adopt(base)
    service.served.statuses.clear()
    await service.actor.adopt(base)
    await service.done()
    assert (service.keys[-1], service.status("more")) == ("more@1", None)


async def test_a_damaged_directory_in_a_new_base_is_refused_before_anything_is_deployed(
    service: _Service, tmp_path: Path
) -> None:
    directory = build_tiny_model(tmp_path / "m")
    entry = read_entry(ModelRecord(model=str(directory), placement="dedicated"), _base().settings)
    (directory / "tokenizer.model").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="must have SHA-256"):
        await service.actor.adopt(_base((*BASE, entry)))
    assert service.served.events == []
    assert service.keys == ["base@1", "small@1"]


async def test_after_a_shutdown_of_serve_all_that_is_stored_is_deployed_again(
    served: _Serve, tiny: Path
) -> None:
    store = _Store()
    for name in ("new", "lost"):
        store.changes = store.changes.with_entry(catalog_entry(name, 5))
    served.applications.pop("polyhead@base@1")
    served.statuses["polyhead@lost@5"] = ApplicationStatus.DEPLOY_FAILED
    service = _Service(served, store)
    try:
        await service.actor.adopt(_base(serve="2"))
        await service.done()
        assert service.keys == ["base@1", "small@1", "new@5"]
        assert _names(service) == ["polyhead@base@1", "polyhead@new@5"]
        status = service.status("lost")
        assert status is not None
        assert (status.state, status.problem) == (ModelState.FAILED, "no room")
    finally:
        await service.close()


async def test_of_a_store_that_cannot_be_read_the_settings_are_taken(
    served: _Serve, caplog: pytest.LogCaptureFixture
) -> None:
    store = _Store()
    store.changes, store.problem = CatalogChanges(version=7), "it cannot be read"
    served.applications["polyhead@new@5"] = ApplicationStatus.RUNNING
    service = _Service(served, store)
    try:
        await service.actor._recovered.wait()
        assert served.events == []
        with pytest.raises(ModelUnavailableError, match="is about to start"):
            await service.change(ChangeKind.ADD, "x")
        await service.actor.adopt(_base())
        await service.done()
        assert (service.keys, _names(service)) == (["base@1", "small@1"], ["polyhead@base@1"])
    finally:
        await service.close()


async def test_a_disk_that_does_not_answer_holds_no_other_change_up(
    service: _Service, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, answered = controller.read_entry, threading.Event()

    def read(record: ModelRecord, *arguments: Any, **options: Any) -> CatalogEntry:
        if record.id == "slow":
            answered.wait(60)
        return own(record, *arguments, **options)

    monkeypatch.setattr(controller, "read_entry", read)
    await service.actor.adopt(_base(load_timeout_seconds=0.5))
    await service.change(ChangeKind.ADD, "slow", tiny)
    await service.done()
    status = service.status("slow")
    assert status is not None
    assert status.problem == "slow must be read within 0.5 s (`load_timeout_seconds`), but was not"
    answered.set()


async def test_what_does_not_start_in_time_is_given_up(service: _Service, tiny: Path) -> None:
    service.served.next_status = ApplicationStatus.DEPLOYING
    await service.actor.adopt(_base(start_timeout_seconds=0.2))
    await service.change(ChangeKind.ADD, "new", tiny)
    await service.done()
    status = service.status("new")
    assert status is not None
    assert status.problem == (
        "new did not start: not within 0.2 s (`start_timeout_seconds`): no room"
    )
    assert _names(service) == ["polyhead@base@1"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_gpus_per_replica": 0.5}, "0.5 GPU (`num_gpus_per_replica`) for each of 1 replicas, "
         "which must fit into the 0.25 that are free"),
        ({"num_cpus_per_replica": 3, "replicas": 2}, "3 CPU (`num_cpus_per_replica`) for each of 2 "
         "replicas, which must fit into the 4 that are free"),
    ],
)  # fmt: skip
async def test_what_ray_has_no_room_for_is_refused_at_once(
    service: _Service, tiny: Path, settings: dict[str, Any], words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    free = {"CPU": 4.0, "GPU": 0.25}
    monkeypatch.setattr(applications.ray, "available_resources", lambda: free)
    await service.actor.adopt(_base(**settings))
    await service.done()
    events = list(service.served.events)
    await service.change(ChangeKind.ADD, "new", tiny)
    await service.done()
    status = service.status("new")
    assert status is not None
    assert words in (status.problem or "")
    assert service.served.events == events


async def test_shared_replicas_let_go_of_what_has_left(service: _Service) -> None:
    await service.change(ChangeKind.REMOVE, "small")
    await service.done()
    assert service.served.retained == [frozenset({"base@1"})]


async def test_the_metrics_tell_where_a_model_is_loaded() -> None:
    samples = {
        ("polyhead_model_memory_bytes", (("model_name", "a"), ("replica", "P#1"))): 10.0,
        ("polyhead_model_memory_bytes", (("model_name", "a"), ("replica", "P#2"))): 0.0,
        ("polyhead_model_memory_bytes", (("model_name", "b"), ("replica", "P#1"))): 20.0,
    }
    families: dict[str, Any] = {"polyhead_model_memory_bytes": SimpleNamespace(samples=samples)}

    async def metrics() -> dict[str, Any]:
        return families

    client = CatalogClient("polyhead", "Gateway", _base(), _Store(), metrics)  # type: ignore[arg-type]
    assert await client.loaded("a") == {"P#1": 10}
    families.clear()
    assert await client.loaded("a") == {}
    assert await client.status("a") is None


async def test_what_has_not_changed_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = _Store()
    failed = ModelStatus(state=ModelState.FAILED, change=ChangeKind.ADD)
    store.changes = store.changes.with_status("a", failed)
    reads = []
    monkeypatch.setattr(store, "read_or_begin", lambda: reads.append(1) or (store.changes, None))
    client = CatalogClient("polyhead", "Gateway", _base(), store, _no_metrics)  # type: ignore[arg-type]
    for _ in range(3):
        assert await client.status("a") is failed
    assert len(reads) == 1
    store.changes = store.changes.with_status("a", None)
    assert await client.status("a") is None


@pytest.mark.parametrize("error", [RaySystemError("away"), TimeoutError()])
async def test_a_store_that_is_away_is_no_fault_of_the_gateways(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _Store()

    def fail() -> int:
        raise error

    monkeypatch.setattr(store, "version", fail)
    client = CatalogClient("polyhead", "Gateway", _base(), store, _no_metrics)  # type: ignore[arg-type]
    with pytest.raises(ModelUnavailableError, match="the catalog cannot be read now"):
        await client.status("a")


class _Actor:
    """Takes bases over into the store, or fails."""

    def __init__(self, store: _Store, error: Exception | None = None) -> None:
        self.adopt = self
        self._store = store
        self._error = error
        self.bases: list[CatalogBase] = []

    def remote(self, base: CatalogBase) -> _Actor:
        self.bases.append(base)
        return self

    def future(self) -> _Actor:
        return self

    def result(self, seconds: float) -> None:
        assert seconds > 600
        if self._error is not None:
            raise self._error
        self._store.changes = self._store.changes.with_base(self.bases[-1], adopting=False)


@pytest.mark.parametrize(
    ("before", "waits", "asks"),
    [
        (None, True, True),
        (_base(serve="0"), True, True),
        (_base(replicas=2), False, True),
        (_base(), False, False),
    ],
    ids=["the first", "another Serve", "other settings", "the same"],
)
async def test_a_gateway_waits_for_its_models_where_there_are_none_from_before(
    before: CatalogBase | None, waits: bool, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _Store()
    store.changes = CatalogChanges(base=before)
    client = CatalogClient("polyhead", "Gateway", _base(), store, _no_metrics)  # type: ignore[arg-type]
    worker = _Actor(store)
    monkeypatch.setattr(client, "_actor", lambda: worker)
    found = await asyncio.to_thread(client.begin)
    assert found.base == (_base() if waits else before)
    await until(lambda: store.changes.base == _base())
    assert worker.bases == [_base()] * asks


async def test_models_from_before_go_on_where_new_ones_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = _Store(_base(replicas=2))
    client = CatalogClient("polyhead", "Gateway", _base(), store, _no_metrics)  # type: ignore[arg-type]
    cause = CheckpointError("more did not start")
    worker = _Actor(store, RayTaskError("adopt", "a traceback", cause))
    monkeypatch.setattr(client, "_actor", lambda: worker)
    assert client.begin().base == _base(replicas=2)
    await until(lambda: bool(worker.bases))
    store.changes = CatalogChanges()
    with pytest.raises(CheckpointError, match="more did not start"):
        client.begin()


@pytest.mark.parametrize("error", [ActorDiedError(), ValueError("an actor of that name")])
async def test_an_actor_that_cannot_be_reached_is_asked_twice(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = CatalogClient("polyhead", "Gateway", _base(), _Store(), _no_metrics)  # type: ignore[arg-type]
    asked = []

    def ask() -> Any:
        asked.append(1)
        raise error

    monkeypatch.setattr(client, "_actor", ask)
    with pytest.raises(ModelUnavailableError, match="the models cannot be changed now"):
        await client.submit(ChangeKind.REMOVE, "a", None)
    assert len(asked) == 2


async def _no_metrics() -> dict[str, Any]:
    return {}


def test_the_last_line_of_a_traceback_is_what_was_wrong() -> None:
    error = "Deploying failed:\n\x1b[36mray::X\x1b[39m\n  File ...\nValueError: no such device\n\n"
    assert root_cause(error) == "ValueError: no such device"
    error = error.replace("ValueError", f"model.errors.{CheckpointError.__name__}")
    assert root_cause(error) == "no such device"
    assert root_cause("") == "it did not say why"

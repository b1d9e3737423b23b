"""The Serve applications of the models that have replicas of their own."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping, Sequence

import ray
from ray import serve
from ray.serve._private.common import ReplicaState
from ray.serve.schema import ApplicationStatus

from service.catalog.entry import POOL, CatalogEntry
from service.hosting.deployments import made_of, model_application
from service.hosting.memory_budget import require_memory, require_resources
from service.hosting.memory_limit import free_memory
from service.settings import Settings

__all__ = ["Applications", "deployment_problem", "root_cause"]

_LOOK_SECONDS = 0.25
_CALL_SECONDS = 10.0

LOGGER = logging.getLogger("polyhead.catalog")


class Applications:
    """What Ray Serve runs beside the gateways of one service, and is told to: the hosts of a
    `CatalogController`.

    Args:
        gateways: name of their application.
        gateway: name of their deployment.
    """

    def __init__(self, gateways: str, gateway: str) -> None:
        self._gateways = gateways
        self._gateway = gateway

    async def names(self) -> list[str]:
        """The applications of models that there are, wanted or not."""
        status = await asyncio.to_thread(serve.status)
        return [name for name in status.applications if name.startswith(f"{self._gateways}@")]

    def made_of(self, settings: Settings, entry: CatalogEntry) -> tuple[object, ...]:
        """All that the replicas of one model are made of; they must be replaced where it
        differs."""
        return made_of(settings, entry)

    async def require_room(self, entry: CatalogEntry, settings: Settings) -> None:
        """InvalidRequestError where a model has no place on the only machine."""
        # Of several machines it is not known which one it will be.
        if sum(node["Alive"] for node in ray.nodes()) == 1:  # type: ignore[no-untyped-call]
            require_memory(entry, settings, free_memory())
            require_resources(entry, settings, ray.available_resources())  # type: ignore[no-untyped-call]

    async def deploy(
        self, settings: Settings, entries: Sequence[CatalogEntry], seconds: float
    ) -> dict[str, str]:
        """Deploys the models' replicas and waits for their start.

        Args:
            settings: of the service.
            entries: models with replicas of their own; those that run are replaced, a few replicas
                at a time.
            seconds: for all of them.

        Returns:
            What kept models from starting, by id.
        """
        waiting = {entry.application(self._gateways): entry for entry in entries}
        await self._run(settings, entries)
        deadline = time.monotonic() + seconds
        problems = {}
        while waiting and time.monotonic() < deadline:
            statuses = await asyncio.to_thread(_statuses)
            for name in list(waiting):
                status = statuses.get(name)
                if status is ApplicationStatus.RUNNING:
                    del waiting[name]
                elif status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
                    problem = await asyncio.to_thread(deployment_problem, name)
                    problems[waiting.pop(name).id] = problem
            if waiting:
                await asyncio.sleep(_LOOK_SECONDS)
        for name, entry in waiting.items():
            problem = await asyncio.to_thread(deployment_problem, name)
            problems[entry.id] = f"not within {seconds:g} s (`start_timeout_seconds`): {problem}"
        return problems

    async def restore(self, settings: Settings, entries: Sequence[CatalogEntry]) -> None:
        """Deploys what ran before; it is not waited for."""
        await self._run(settings, entries)

    async def delete(self, name: str) -> None:
        """Ends an application, or lets Serve go on with it where that takes long."""
        try:
            await asyncio.to_thread(serve.delete, name)
        except TimeoutError:
            LOGGER.warning("the catalog: %s takes long to end; it is not waited for", name)

    async def retain(self, keys: frozenset[str]) -> None:
        """Has the shared replicas let go of all models but these; who does not answer keeps them
        until their memory is needed."""
        try:
            await asyncio.to_thread(self._retain, keys)
        except Exception as error:  # Ray's, of many kinds
            LOGGER.warning("the catalog: shared replicas: %s", type(error).__name__)

    async def num_gateways(self) -> int:
        """The gateways that run."""
        status = await asyncio.to_thread(serve.status)
        application = status.applications.get(self._gateways)
        if application is None or self._gateway not in application.deployments:
            return 0
        states = application.deployments[self._gateway].replica_states
        return states.get(ReplicaState.RUNNING, 0)

    async def _run(self, settings: Settings, entries: Sequence[CatalogEntry]) -> None:
        targets = [
            serve.RunTarget(
                model_application(settings, entry, hub=self._gateways),
                entry.application(self._gateways),
                None,
            )
            for entry in entries
        ]
        if targets:
            await asyncio.to_thread(serve.run_many, targets, wait_for_applications_running=False)

    def _retain(self, keys: frozenset[str]) -> None:
        handle = serve.get_deployment_handle(POOL, self._gateways, _check_exists=False)
        handle.broadcast("retain", keys).results(timeout_s=_CALL_SECONDS)


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


def _statuses() -> Mapping[str, ApplicationStatus]:
    return {name: each.status for name, each in serve.status().applications.items()}

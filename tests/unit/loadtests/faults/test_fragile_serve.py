"""The command line with replicas that can be broken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ray._private import ray_constants

import tests.ray_serve  # noqa: F401
from loadtests.faults import fragile_serve
from loadtests.faults.sabotage import FragileReplica
from service.hosting import deployments
from service.launcher import launch


def test_this_process_and_rays_workers_deploy_replicas_that_can_be_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variable = ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR
    monkeypatch.setenv(variable, "")
    monkeypatch.setattr(launch, "local_ray", launch.local_ray)
    monkeypatch.setattr(deployments, "TranslatorReplica", deployments.TranslatorReplica)
    started = []

    @contextmanager
    def local_ray(*arguments: object, **options: object) -> Iterator[None]:
        started.append((arguments, options, os.environ[variable]))
        yield

    def serve() -> None:
        own: Any = launch.local_ray
        with own(None, fork_workers=True):
            assert vars(deployments)["TranslatorReplica"] is FragileReplica

    monkeypatch.setattr(fragile_serve, "local_ray", local_ray)
    monkeypatch.setattr("service.cli.main", serve)
    fragile_serve.main()
    hook = "loadtests.faults.sabotage.install"
    assert started == [((None,), {"fork_workers": True}, hook)]

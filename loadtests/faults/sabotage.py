"""A replica that breaks when it is told to by files in the folder POLYHEAD_SABOTAGE.

`break-step` makes the next call of an engine's runner fail as CUDA does; `break-load`, which holds
a number, makes as many replicas run out of memory while they load. Here alone, so that the service
itself has no such switches.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from model.engine import engine as engine_module
from model.engine.backends import build_runners
from model.engine.runner import Runner, StepOutcome
from model.engine.scheduler import StepPlan
from service.hosting.replica import TranslatorReplica

__all__ = ["FOLDER", "FragileReplica", "install"]

FOLDER = "POLYHEAD_SABOTAGE"


class _FragileRunner:
    """A runner that fails once there is a file that says so."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def execute(self, plan: StepPlan) -> StepOutcome:
        """As the runner's own."""
        try:
            (Path(os.environ[FOLDER]) / "break-step").unlink()
        except FileNotFoundError:
            return self._runner.execute(plan)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def install() -> None:
    """Lets this process deploy that replica in place of the service's own."""
    from service.hosting import deployments

    vars(deployments)["TranslatorReplica"] = FragileReplica


class FragileReplica(TranslatorReplica):
    """The service's own replica, with that runner and with that memory."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._load_or_fail()

        def fragile(*given: Any, **named: Any) -> list[Any]:
            return [_FragileRunner(runner) for runner in build_runners(*given, **named)]

        # In this process, which is the replica's own.
        vars(engine_module)["build_runners"] = fragile
        super().__init__(*arguments, **options)

    def _load_or_fail(self) -> None:
        file = Path(os.environ[FOLDER]) / "break-load"
        if file.exists() and (left := int(file.read_text())) > 0:
            file.write_text(str(left - 1))
            raise MemoryError("out of memory while the weights are loaded")

"""`polyhead`, whose translators are those of `loadtests.faults.sabotage`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service import cli
from service.launcher import launch
from service.launcher.local_ray import local_ray

__all__ = ["main"]

_WORKERS_RUN = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"
"""Names a function that Ray's workers call when they start."""


def main() -> None:
    """The command line, with a replica that can be broken."""
    own = local_ray

    @contextmanager
    def fragile(*arguments: Any, **options: Any) -> Iterator[Path]:
        # Models with replicas of their own are deployed by a worker, the shared ones from here.
        os.environ[_WORKERS_RUN] = "loadtests.faults.sabotage.install"
        with own(*arguments, **options) as folder:
            # Not before Ray has started, for Ray reads its environment when it is imported.
            from loadtests.faults import sabotage

            sabotage.install()
            yield folder

    vars(launch)["local_ray"] = fragile
    cli.main()


if __name__ == "__main__":
    main()

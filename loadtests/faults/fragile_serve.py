"""`polyhead`, whose translators are those of `loadtests.faults.sabotage`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from service import cli
from service.launcher import launch
from service.launcher.local_ray import local_ray

__all__ = ["main"]


def main() -> None:
    """The command line, with a replica that can be broken."""
    own = local_ray

    @contextmanager
    def fragile(**options: Any) -> Iterator[None]:
        with own(**options):
            # Not before Ray has started, for Ray reads its environment when it is imported.
            from loadtests.faults.sabotage import FragileReplica
            from service.hosting import deployments

            vars(deployments)["TranslatorReplica"] = FragileReplica
            yield

    vars(launch)["local_ray"] = fragile
    cli.main()


if __name__ == "__main__":
    main()

"""Ray actors that outlive whoever creates them: one of a name, found or created."""

from __future__ import annotations

from typing import Any

import ray

__all__ = ["NAMESPACE", "find_actor", "find_or_create_actor"]

NAMESPACE = "polyhead"


def find_actor(name: str) -> Any:
    """The actor of that name; ValueError if there is none."""
    return ray.get_actor(name, namespace=NAMESPACE)


def find_or_create_actor(kind: type, name: str, *arguments: Any) -> Any:
    """The actor of that name, made with these arguments if there is none.

    It ends itself; one that dies is started anew by Ray.

    Raises:
        RayError, ValueError: it cannot be had now; ValueError while another process creates it.
    """
    options: Any = ray.remote(kind).options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=0,
        # Else Ray's head keeps a record of each call, several a second.
        enable_task_events=False,
    )
    return options.remote(*arguments)

"""The catalog's controller as a Ray actor: there is one for each service, while it has work."""

from __future__ import annotations

import logging

import ray

from service.hosting.applications import Applications
from service.hosting.controller import CatalogController
from service.hosting.store import CatalogStore
from service.observability.logs import configure_logging
from service.settings import LogLevel

__all__ = ["CatalogActor"]

IDLE_SECONDS = 60.0
"""Time without any change after which the actor ends itself."""


class CatalogActor(CatalogController):
    """The Ray actor that makes the changes.

    Args:
        application: name of the gateways' application.
        gateway: name of their deployment.
        log_level: for its JSON log.
        store: where the changes are kept.
    """

    def __init__(
        self,
        application: str,
        gateway: str,
        log_level: LogLevel = LogLevel.INFO,
        store: CatalogStore | None = None,
    ) -> None:
        configure_logging(log_level)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        super().__init__(
            application,
            Applications(application, gateway),
            store or CatalogStore(application),
            idle_seconds=IDLE_SECONDS,
        )

    def _end(self, *, restart: bool) -> None:
        """Ends this actor; Ray may start it anew."""
        ray.kill(ray.get_runtime_context().current_actor, no_restart=not restart)

"""An entry of the catalog: a model, what is known of it, and where it runs."""

from __future__ import annotations

from dataclasses import dataclass

from service.protocol import HostedModel, ModelInfo
from service.settings import Autoscaling, ModelRecord, Settings

__all__ = ["POOL", "CatalogEntry", "own_autoscaling"]

POOL = "TranslatorPool"
"""Name of the deployment of the models that share replicas."""


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """One model of the catalog."""

    record: ModelRecord
    hosted: HostedModel
    info: ModelInfo
    shared: bool
    """Whether it is loaded on demand, by replicas that hold many."""
    loaded_bytes: int
    """Memory that it takes in a replica which does not use it, on a CPU."""
    can_sleep: bool = False
    """Whether it may have no replica at all."""
    base_record: ModelRecord | None = None
    """For a change: the record that the base had for the id when it was made."""

    @property
    def id(self) -> str:
        """What clients and operators call it."""
        return self.hosted.id

    @property
    def deployment(self) -> str:
        """The Serve deployment of its replicas."""
        return POOL if self.shared else f"Translator-{self.id}"

    def application(self, gateways: str) -> str:
        """The Serve application of its deployment, where `gateways` is that of the gateways."""
        return gateways if self.shared else f"{gateways}@{self.hosted.key}"

    def autoscaling(self, settings: Settings) -> Autoscaling | None:
        """How its own replicas follow the load; None for a fixed number of them."""
        return own_autoscaling(self.record, settings)

    def num_replicas(self, settings: Settings) -> int:
        """The number of its own replicas where it is fixed."""
        return self.record.replicas or settings.replicas

    def least_replicas(self, settings: Settings) -> int:
        """The number of its own replicas that are always there."""
        scaling = self.autoscaling(settings)
        return self.num_replicas(settings) if scaling is None else scaling.min_replicas

    @property
    def names(self) -> tuple[str, ...]:
        """The id and the aliases."""
        return (self.id, *self.record.aliases)


def own_autoscaling(record: ModelRecord, settings: Settings) -> Autoscaling | None:
    """How a model's own replicas follow the load; None for a fixed number of them."""
    return record.autoscaling or (None if record.replicas else settings.autoscaling)

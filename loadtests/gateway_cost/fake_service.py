"""The Serve application of `polyhead serve`, but for its model, which answers at once."""

from __future__ import annotations

from ray import serve
from ray.serve import Application

from loadtests.gateway_cost.applications import FakeTranslator
from loadtests.gateway_cost.exchange import MODEL
from service.app import common_options, gateways
from service.routing.replica_health import HealthAwareRouter
from service.settings import Settings

__all__ = ["application"]


def application(settings: Settings) -> Application:
    """Gateways as `settings` have them, and one replica of the fake model."""
    fake = serve.deployment(
        name=f"Translator-{MODEL}",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=settings.max_ongoing_requests,
        request_router_config={"request_router_class": HealthAwareRouter},
        **common_options(settings),
    )(FakeTranslator)
    return gateways(settings, {MODEL: fake.bind()})

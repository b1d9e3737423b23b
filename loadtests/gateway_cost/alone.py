"""The gateway's own application without Ray, its model in the same process.

What it costs more than `bare` is ours; what the gateway costs more than this is Ray Serve's.
"""

from __future__ import annotations

import sys

from fastapi import FastAPI
from prometheus_client import generate_latest

from loadtests.gateway_cost.exchange import MODEL
from loadtests.gateway_cost.fake_model import FakeTranslator
from service.gateway.application import build_gateway
from service.observability.logs import configure_logging
from service.observability.metrics import GatewayMetrics
from service.routing.router import Router
from service.settings import Settings

__all__ = ["gateway_alone"]


def gateway_alone() -> FastAPI:
    """As `service.app.Gateway` builds it."""
    settings = Settings()
    configure_logging(settings.log_level, sys.stderr)
    metrics = GatewayMetrics()

    async def render_metrics() -> bytes:
        return generate_latest(metrics.registry)

    router = Router({MODEL: FakeTranslator()})
    return build_gateway(settings, router, metrics, render_metrics, echo_request_id=False)

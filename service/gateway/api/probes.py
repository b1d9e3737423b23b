"""GET /health, /ready and /metrics: probes for monitoring."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from fastapi import FastAPI
from pydantic import ConfigDict
from starlette.responses import JSONResponse, Response

from model.errors import DeadlineExceededError
from service.gateway.api.contract import Reply
from service.routing.router import Router

__all__ = ["Probes"]

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health(Reply):
    """The gateway is alive."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok"] = "ok"


class ModelReadiness(Reply):
    """Whether one model of the catalog can answer."""

    name: str
    """Its id."""
    ready: bool
    """Whether its replicas answer; one that sleeps is ready, and is not woken."""
    asleep: bool | None = None
    """True for a model without a process, which the next request starts."""
    problem: str | None = None
    """What is wrong when it is not ready."""


class Readiness(Reply):
    """Whether every configured model can answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"status": "ready", "models": [{"name": "en-de", "ready": True}]}]
        }
    )

    status: Literal["ready", "not ready"]
    models: list[ModelReadiness]


class Probes:
    """The handlers of the probes."""

    def __init__(
        self,
        router: Router,
        render_metrics: Callable[[], Awaitable[bytes]],
        *,
        timeout_seconds: float,
    ) -> None:
        """`timeout_seconds` bounds the collection of the metrics."""
        self._router = router
        self._render_metrics = render_metrics
        self._timeout_seconds = timeout_seconds

    def add_to(self, app: FastAPI) -> None:
        """Adds the routes."""
        add = partial(app.add_api_route, tags=["probes"])
        add("/health", self.health, summary="Whether the gateway is alive", response_model=Health)
        add(
            "/ready",
            self.ready,
            summary="Whether every configured model can answer",
            response_model=Readiness,
            responses={503: {"model": Readiness, "description": "A model cannot answer"}},
        )
        add(
            "/metrics",
            self.metrics,
            summary="Metrics of all replicas, for Prometheus",
            response_class=Response,
            responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text"}},
        )

    async def health(self) -> Health:
        """Answers as long as this process does."""
        return Health()

    async def ready(self) -> Response:
        """Asks every model that is awake; 503 tells which one cannot answer, and why."""
        problems = await self._router.check()
        models = [
            ModelReadiness(
                name=model.hosted.id,
                ready=model.hosted.id not in problems,
                asleep=model.asleep or None,
                problem=problems.get(model.hosted.id),
            )
            for model in self._router.models
        ]
        body = Readiness(status="not ready" if problems else "ready", models=models)
        return JSONResponse(
            body.model_dump(exclude_none=True), status_code=503 if problems else 200
        )

    async def metrics(self) -> Response:
        """One text for the whole service, whichever gateway answers."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                text = await self._render_metrics()
        except TimeoutError as exc:
            raise DeadlineExceededError("the metrics were not collected in time") from exc
        return Response(text, media_type=_METRICS_TYPE)

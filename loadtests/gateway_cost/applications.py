"""The model that answers at once, and the applications in front of it, with Ray and without.

What the gateway alone costs more than the bare application is ours; what the gateway costs more
behind Ray Serve is Ray Serve's.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, NoReturn

from fastapi import FastAPI
from prometheus_client import generate_latest

from loadtests.gateway_cost.contender import ANSWER, MODEL, PAIR, REQUEST, TEXTS
from model.config import GenerationConfig
from model.text.languages import Languages
from model.translation import FinishReason, Translation, TranslationHypothesis
from service.catalog.changes import ChangeKind
from service.catalog.entry import POOL, CatalogEntry
from service.gateway.api.native_schemas import TranslateReplyBody, TranslateRequest
from service.gateway.application import build_gateway
from service.hosting.calls_together import CallsTogether
from service.observability.logs import configure_logging
from service.observability.metrics import GatewayMetrics
from service.protocol import (
    CallOutcome,
    HostedModel,
    ModelInfo,
    TranslateCall,
    TranslateReply,
)
from service.routing.router import RoutedModel, Router
from service.settings import ModelRecord, Settings

if TYPE_CHECKING:
    from ray.serve import Application

__all__ = ["FakeTranslator", "bare_application", "gateway_alone", "ray_application"]


class FakeTranslator:
    """Makes a reply anew for every call, as a model would."""

    def __init__(self) -> None:
        self._together = CallsTogether(self.translate)

    async def translate_together(
        self, batch: str, calls: tuple[TranslateCall, ...]
    ) -> AsyncGenerator[tuple[CallOutcome, ...]]:
        """As a replica does."""
        async with aclosing(self._together.outcomes(batch, calls)) as outcomes:
            async for ended in outcomes:
                yield ended

    async def translate(self, call: TranslateCall, attempt: object = None) -> TranslateReply:
        """The one answer there is.

        Raises:
            ValueError: the call is not all that the request asked for.
        """
        if call.texts != TEXTS:
            raise ValueError(f"a call must have all texts of its request, but has {call.texts}")
        usage, timings = ANSWER["usage"], ANSWER["timings"]
        count = len(call.texts)
        return TranslateReply(
            model=MODEL,
            translations=tuple(
                Translation(
                    text=translation["text"],
                    finish_reason=FinishReason(translation["finish_reason"]),
                    score=-0.5,
                    hypotheses=(TranslationHypothesis(text=translation["text"], score=-0.5),),
                    source_tokens=usage["source_tokens"] // count,
                    target_tokens=usage["target_tokens"] // count,
                    num_sentences=1,
                    **timings,
                )
                for translation in ANSWER["translations"]
            ),
        )

    async def stream(self, call: TranslateCall, attempt: object = None) -> NoReturn:
        """Nobody asks for one."""
        raise NotImplementedError

    @property
    def num_replicas(self) -> int:
        """One that is always there."""
        return 1

    async def check(self) -> None:
        """Healthy."""

    async def check_health(self) -> None:
        """As Serve asks for it."""


HOSTED = HostedModel(key=f"{MODEL}@1", id=MODEL, directory=MODEL)
INFO = ModelInfo(
    name=MODEL,
    languages=Languages(sources=PAIR[:1], targets=PAIR[1:]),
    device="none",
    dtype="none",
    num_parameters=0,
    max_source_tokens=1,
    generation=GenerationConfig(),
)


class NoChanges:
    """A catalog that does not change."""

    async def submit(self, kind: ChangeKind, name: str, record: ModelRecord | None) -> None:
        """Refuses all of them."""
        raise NotImplementedError

    async def status(self, name: str) -> None:
        """None is in work."""

    async def loaded(self, name: str) -> dict[str, int]:
        """No memory is measured."""
        return {}


def ray_application(settings: Settings, application: str) -> Application:
    """Gateways as `settings` have them, and one replica of the fake model.

    Args:
        settings: of the service.
        application: what it will be called.
    """
    # Not before Ray has started, for Ray reads its environment when it is imported.
    from ray import serve

    from service.app import gateways
    from service.hosting.deployments import common_options
    from service.hosting.store import CatalogStore
    from service.routing.replica_health import HealthAwareRouter

    fake = serve.deployment(
        name=POOL,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=settings.max_ongoing_requests,
        request_router_config={"request_router_class": HealthAwareRouter},
        **common_options(settings),
    )(FakeTranslator)
    entry = CatalogEntry(
        record=ModelRecord(model=MODEL),
        hosted=HOSTED,
        info=INFO,
        shared=True,
        loaded_bytes=0,
    )
    # As stored, so that no gateway looks for somebody who would deploy it.
    CatalogStore(application).begin(settings, (entry,))
    return gateways(settings, (entry,), fake.bind())


def gateway_alone() -> FastAPI:
    """As `service.app.Gateway` builds it."""
    settings = Settings()
    configure_logging(settings.log_level, sys.stderr)
    metrics = GatewayMetrics()

    async def render_metrics() -> bytes:
        return generate_latest(metrics.registry)

    router = Router([RoutedModel(hosted=HOSTED, info=INFO, backend=FakeTranslator())])
    return build_gateway(
        settings, router, metrics, render_metrics, NoChanges(), echo_request_id=False
    )


def bare_application() -> FastAPI:
    """One route, which reads a request of the native API and writes an answer of it."""
    app = FastAPI(openapi_url=None)

    @app.post(REQUEST.path, response_model_exclude_unset=True)
    async def translate(body: TranslateRequest) -> TranslateReplyBody:
        return TranslateReplyBody.model_validate(ANSWER)

    return app

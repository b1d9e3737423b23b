"""The HTTP application: routes, error answers and middleware, put together from their parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import metadata

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from model.errors import PolyheadError
from service.errors import failure_of
from service.gateway.admission import Admission
from service.gateway.api.docs_page import DocsPage
from service.gateway.api.error_answers import error_answer
from service.gateway.api.libretranslate import LibreTranslateApi
from service.gateway.api.native import NativeApi
from service.gateway.api.pipeline import TranslationPipeline
from service.gateway.api.probes import Probes
from service.gateway.api.route_templates import RouteTemplates
from service.gateway.middleware import AdmissionMiddleware, ObservabilityMiddleware
from service.gateway.request_context import RequestContext
from service.observability.logs import log_failure
from service.observability.metrics import GatewayMetrics
from service.routing.retry import Retrier
from service.routing.router import Router
from service.settings import Settings

__all__ = ["build_gateway"]

_DESCRIPTION = (
    "Machine translation on a Transformer of its own. Every answer carries an `X-Request-Id`, the "
    "client's own if it sent one. The header `x-request-timeout-seconds` asks for an answer within "
    "that time. Errors say what must be and what was."
)


def build_gateway(
    settings: Settings,
    router: Router,
    metrics: GatewayMetrics,
    render_metrics: Callable[[], Awaitable[bytes]],
    *,
    admission: Admission | None = None,
    echo_request_id: bool = True,
) -> FastAPI:
    """The application of one gateway.

    Args:
        settings: limits and what is logged.
        router: the way to the models.
        metrics: where the numbers of the requests go.
        render_metrics: the answer of `GET /metrics`.
        admission: for who wants to drain the gateway; one is made where none is given.
        echo_request_id: False where the server in front repeats a request's X-Request-Id in its
            answer, as Ray Serve's does; it is then added only where it replaces one that was
            refused.
    """
    app = FastAPI(
        title="Polyhead",
        version=_version(),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    admission = admission or Admission(settings.limits)
    metrics.read_in_flight(admission.in_flight)
    pipeline = TranslationPipeline(router, Retrier(settings.retry, metrics), admission)
    NativeApi(pipeline).add_to(app)
    LibreTranslateApi(pipeline, settings.limits).add_to(app)
    Probes(router, render_metrics, timeout_seconds=settings.metrics_timeout_seconds).add_to(app)
    DocsPage(title=app.title, openapi_url=str(app.openapi_url)).add_to(app)
    errors = _ErrorResponses(metrics)
    for kind in (PolyheadError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, errors.answer)
    app.add_middleware(AdmissionMiddleware, admission=admission)
    app.add_middleware(
        ObservabilityMiddleware,
        metrics=metrics,
        template_of=RouteTemplates(app.routes).template_of,
        error_response=errors.response,
        log_requests=settings.log_requests,
        echo_request_id=echo_request_id,
    )
    return app


class _ErrorResponses:
    """Exceptions turned into answers, in the log where they are our fault, and counted."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics

    def response(self, context: RequestContext, exc: BaseException) -> Response:
        """The answer that tells of `exc` in the form of the route's contract."""
        failure = failure_of(exc)
        if failure.is_overload:
            self._metrics.count_overload()
        if failure.status >= 500:
            log_failure(context, exc, expected=failure.status != 500)
        return error_answer(failure, context)

    async def answer(self, request: Request, exc: Exception) -> Response:
        """The same, as FastAPI asks for it."""
        return self.response(RequestContext.of(request.scope), exc)


def _version() -> str:
    try:
        return metadata.version("polyhead")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "0"

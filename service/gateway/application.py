"""The gateway's FastAPI application, assembled from contracts, error answers and middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from model.errors import PolyheadError
from service import version
from service.errors import Failure, failure_of
from service.gateway.access import AccessControl, AccessMiddleware
from service.gateway.admin_token import AdminToken
from service.gateway.admission import Admission
from service.gateway.answer_headers import AnswerHeaders, CrossOrigin
from service.gateway.api.contract import Contract
from service.gateway.api.deepl import DEEPL, DeepLApi
from service.gateway.api.deepl_documents import DEEPL_DOCUMENTS, DeepLDocumentsApi
from service.gateway.api.deepl_glossaries import DEEPL_GLOSSARIES, DeepLGlossariesApi
from service.gateway.api.description import DescribedApplication
from service.gateway.api.docs_page import DocsPage
from service.gateway.api.document_requests import DocumentRequests, DocumentTranslation
from service.gateway.api.documents import DOCUMENTS, DocumentsApi
from service.gateway.api.error_answers import KEY_IN_FIELDS, KEY_SCOPES, error_answer
from service.gateway.api.glossaries import GLOSSARIES, GlossariesApi
from service.gateway.api.libretranslate import LIBRETRANSLATE, LibreTranslateApi
from service.gateway.api.libretranslate_files import (
    LIBRETRANSLATE_FILES,
    LibreTranslateFilesApi,
)
from service.gateway.api.live import LIVE, LiveApi
from service.gateway.api.meant_paths import is_same_but_slashes, meant_path, relative_to
from service.gateway.api.models import MODELS, ModelChanges, ModelsApi
from service.gateway.api.native import NATIVE, NativeApi
from service.gateway.api.openai import OPENAI, OpenAIApi
from service.gateway.api.pipeline import TranslationPipeline
from service.gateway.api.probes import Probes
from service.gateway.api.route_templates import RouteTemplates
from service.gateway.api.stored_glossaries import StoredGlossaries
from service.gateway.api.web_page import WebPage
from service.gateway.compression import CompressionMiddleware
from service.gateway.live import Look
from service.gateway.methods import MethodsMiddleware
from service.gateway.middleware import AdmissionMiddleware, ErrorResponse, ObservabilityMiddleware
from service.gateway.request_context import RequestContext
from service.jobs.jobs import DocumentJobs, ReadDocuments
from service.jobs.worker import DocumentWorker
from service.observability.logs import log_failure
from service.observability.metrics import GatewayMetrics
from service.routing.retry import Retrier
from service.routing.router import Router
from service.settings import Settings
from service.store.store import Store

__all__ = ["build_gateway"]

_UPLOADS = frozenset({"/v1/documents", "/v2/document", "/translate_file"})
"""Routes that take files."""
_COMPRESSED_BYTES = 2048
"""Answers from so many bytes on are compressed for who accepts it; of less, little is gained."""

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
    changes: ModelChanges,
    *,
    admission: Admission | None = None,
    look: Look | None = None,
    echo_request_id: bool = True,
) -> FastAPI:
    """The application of one gateway.

    Args:
        settings: limits, retries and logging.
        router: finds the model of a language pair.
        metrics: counts the requests.
        render_metrics: makes the body of `GET /metrics`.
        changes: takes the changes of the catalog that operators send.
        admission: for a caller that drains the gateway; a new one by default.
        look: at the service, for who watches it; None lets nobody.
        echo_request_id: False where a proxy repeats a request's X-Request-Id in the answer, as Ray
            Serve's does; the gateway then adds only an id that replaces an unsafe one.
    """
    store = Store(settings)
    token = AdminToken(settings.admin_token.get_secret_value())
    access = AccessControl(settings, store, token, metrics)
    admission = admission or Admission(settings.limits, max_uploads=settings.documents.max_uploads)
    pipeline = TranslationPipeline(router, Retrier(settings.retry, metrics), admission, access)
    glossaries = StoredGlossaries(store, admission, most=settings.max_glossaries)
    documents, worker = _jobs(settings, store, pipeline, admission, access, glossaries, metrics)
    app = _new_app(lambda _: _running(access, store, worker))
    metrics.read_in_flight(admission.in_flight)
    handlers: dict[Contract, object] = {
        NATIVE: NativeApi(pipeline, glossaries),
        GLOSSARIES: GlossariesApi(glossaries),
        DOCUMENTS: DocumentsApi(documents),
        MODELS: ModelsApi(router, changes, token, access),
        OPENAI: OpenAIApi(pipeline),
        LIBRETRANSLATE: LibreTranslateApi(pipeline, settings, app, access, store),
        LIBRETRANSLATE_FILES: LibreTranslateFilesApi(documents, access, settings),
        DEEPL: DeepLApi(pipeline, settings.limits, access, glossaries),
        DEEPL_GLOSSARIES: DeepLGlossariesApi(glossaries, router),
        DEEPL_DOCUMENTS: DeepLDocumentsApi(documents),
        **_live(look, settings.max_watchers, admission),
    }
    for contract, handler in handlers.items():
        contract.add_to(app, handler, keys_required=settings.access.keys == "required")
    Probes(router, render_metrics, timeout_seconds=settings.metrics_timeout_seconds).add_to(app)
    if settings.web_page:
        WebPage().add_to(app)
    DocsPage(title=app.title, openapi_url=str(app.openapi_url)).add_to(app)
    errors = _ErrorResponses(metrics, router)
    for kind in (PolyheadError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, errors.answer)
    _add_middleware(
        app, settings, admission, access, metrics, errors.response, echo_request_id=echo_request_id
    )
    return app


def _live(look: Look | None, most: int, admission: Admission) -> dict[Contract, object]:
    """What watchers are served by, if there may be any."""
    if look is None or not most:
        return {}
    return {LIVE: LiveApi(look, most=most, is_draining=lambda: admission.draining)}


def _new_app(
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> DescribedApplication:
    """An application without routes."""
    return DescribedApplication(
        title="Polyhead",
        version=version() or "0",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        # FastAPI's own spans hold the query string, in which there may be texts.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )


def _jobs(
    settings: Settings,
    store: Store,
    pipeline: TranslationPipeline,
    admission: Admission,
    access: AccessControl,
    glossaries: StoredGlossaries,
    metrics: GatewayMetrics,
) -> tuple[DocumentRequests, DocumentWorker]:
    """Who takes documents in and gives them out, and who translates them."""
    translation = DocumentTranslation(pipeline)
    read = ReadDocuments(settings)
    worker = DocumentWorker(
        settings.documents, store, read, translation.batch, metrics=metrics.documents,
        is_draining=lambda: admission.draining,
    )  # fmt: skip
    jobs = DocumentJobs(
        settings.documents, store, read, languages=translation.languages, metrics=metrics.documents,
        on_new=worker.wake,
    )  # fmt: skip
    return DocumentRequests(jobs, access, glossaries), worker


@asynccontextmanager
async def _running(
    access: AccessControl, store: Store, worker: DocumentWorker
) -> AsyncIterator[None]:
    """What runs beside the requests, as long as the application does."""
    await access.start()
    worker.start()
    try:
        yield
    finally:
        await worker.close()
        await access.close()
        await store.close()


def _add_middleware(
    app: FastAPI,
    settings: Settings,
    admission: Admission,
    access: AccessControl,
    metrics: GatewayMetrics,
    error_response: ErrorResponse,
    *,
    echo_request_id: bool,
) -> None:
    """Puts the middleware around an application that has all its routes; the innermost first."""
    cross_origin = CrossOrigin(
        settings.cors_origins,
        open_routes=LIBRETRANSLATE.templates | LIBRETRANSLATE_FILES.templates,
        routes=LIBRETRANSLATE.templates
        | LIBRETRANSLATE_FILES.templates
        | NATIVE.templates
        | DOCUMENTS.templates
        | OPENAI.templates
        | DEEPL.templates,
    )
    templates = RouteTemplates(app.routes)
    app.add_middleware(
        AccessMiddleware,
        access=access,
        needed=KEY_SCOPES,
        in_fields=KEY_IN_FIELDS,
    )
    app.add_middleware(CompressionMiddleware, least=_COMPRESSED_BYTES)
    app.add_middleware(
        MethodsMiddleware,
        allowed=lambda scope: _allowed(app.routes, scope),
        cross_origin=cross_origin,
    )
    app.add_middleware(
        AdmissionMiddleware,
        admission=admission,
        uploads=_UPLOADS,
        max_upload_bytes=settings.documents.max_upload_bytes,
    )
    app.add_middleware(
        ObservabilityMiddleware,
        metrics=metrics,
        template_of=templates.template_of,
        meant_by=partial(meant_path, known=templates.plain_paths),
        error_response=error_response,
        answer_headers=AnswerHeaders(cross_origin),
        log_requests=settings.log_requests,
        echo_request_id=echo_request_id,
    )


class _ErrorResponses:
    """Turns exceptions into answers; logs server errors and counts overload."""

    def __init__(self, metrics: GatewayMetrics, router: Router) -> None:
        self._metrics = metrics
        self._router = router

    def response(self, context: RequestContext, exc: BaseException) -> Response:
        """The answer for `exc`, in the error form of the route's contract."""
        failure = failure_of(exc)
        if failure.is_overload:
            self._metrics.count_overload(
                {context.model: 1.0} if context.model else self._router.load_shares()
            )
        if failure.status >= 500:
            log_failure(context, exc, expected=failure.status != 500)
        return error_answer(failure, context)

    async def answer(self, request: Request, exc: Exception) -> Response:
        """FastAPI's exception handler."""
        context = RequestContext.of(request.scope)
        if isinstance(exc, HTTPException) and exc.status_code == 405:
            allowed = _allowed(request.app.routes, request.scope)
            exc = HTTPException(405, headers={"Allow": allowed})
        if isinstance(exc, HTTPException) and exc.status_code == 404 and context.meant:
            return error_answer(_other_path(request.scope, context.meant), context)
        return self.response(context, exc)


def _other_path(scope: Scope, meant: str) -> Failure:
    """What a client is told who asked for a path that has no route, but nearly one."""
    path, query = scope["path"], scope["query_string"].decode("latin-1")
    message = f"there is nothing at this path; {meant} is probably meant"
    if not is_same_but_slashes(path, meant):
        return Failure(status=404, kind="not_found", message=message)
    location = relative_to(path, meant) + (f"?{query}" if query else "")
    return Failure(status=308, kind="moved", message=message, headers={"Location": location})


def _allowed(routes: Sequence[BaseRoute], scope: Scope) -> str:
    """The methods of all routes at the request's path; Starlette names those of the first alone."""
    methods: set[str] = set()
    for route in routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or {"GET"}
    if not methods:
        return ""
    more = ["HEAD", "OPTIONS"] if "GET" in methods else ["OPTIONS"]
    return ", ".join([*sorted(methods - {"HEAD"}), *more])

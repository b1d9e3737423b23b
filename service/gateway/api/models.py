"""The models: GET /v1/models and /v1/models/{id}; for operators, how they are changed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Protocol

from fastapi import Depends, Path
from fastapi.security import HTTPBearer
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.catalog.changes import ChangeKind, ModelState, ModelStatus
from service.errors import InvalidFieldError, UnknownModelError, shown
from service.gateway.access import AccessControl
from service.gateway.admin_token import AdminToken
from service.gateway.api.contract import Contract
from service.gateway.api.json_body import JsonRoute
from service.gateway.api.native import NATIVE_ERRORS
from service.gateway.api.native_schemas import (
    MAX_LISTED_PAIRS,
    ChangeReply,
    ErrorReply,
    ListedModel,
    LoadedReplica,
    Model,
    ModelDetails,
    ModelList,
)
from service.gateway.api.openai_errors import models_error
from service.gateway.request_context import RequestContext
from service.routing.router import RoutedModel, Router
from service.settings import ModelRecord
from service.store.records import Scope

__all__ = ["MODELS", "ModelChanges", "ModelsApi"]


class ModelChanges(Protocol):
    """Changes of the catalog while it serves."""

    async def submit(self, kind: ChangeKind, name: str, record: ModelRecord | None) -> None:
        """Accepts a change, to be done soon.

        Raises:
            UnknownModelError, ModelConflictError, OverloadedError: it cannot be done now.
        """
        ...

    async def status(self, name: str) -> ModelStatus | None:
        """How the last change of a model goes, or why it failed; None after success."""
        ...

    async def loaded(self, name: str) -> Mapping[str, int]:
        """The replicas that have a model in memory, and its bytes there."""
        ...


MODELS = Contract(error_form=models_error, errors=NATIVE_ERRORS)


class _OperatorsRoute(JsonRoute):
    """A route of `ModelsApi` whose body is not looked at without the operator's token."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Checks the token, and goes on as any route with a body."""
        handle = super().get_route_handler()
        api: ModelsApi = getattr(self.endpoint, "__self__")  # noqa: B009 (unknown to mypy)

        async def checked(request: Request) -> Response:
            await api.check_operator(request)
            return await handle(request)

        return checked


_CHANGE_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorReply, "description": "The operator's token is missing or wrong"},
    403: {"model": ErrorReply, "description": "There is no operator's token, or no such scope"},
    409: {"model": ErrorReply, "description": "The catalog does not allow the change now"},
    503: {"model": ErrorReply, "description": "Too many changes wait: see Retry-After"},
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorReply, "description": "There is no such model"}
}
_Id = Annotated[str, Path(examples=["en-de"])]
_OPERATOR = Depends(HTTPBearer(scheme_name="operator", auto_error=False))
"""For the documentation alone: `AdminToken` looks at the header."""
_ACCEPTED: dict[str, Any] = {
    "status_code": 202,
    "response_model": ChangeReply,
    "dependencies": [_OPERATOR],
    "tags": ["models"],
}


class ModelsApi:
    """The handlers of /v1/models."""

    def __init__(
        self, router: Router, changes: ModelChanges, token: AdminToken, access: AccessControl
    ) -> None:
        self._router = router
        self._changes = changes
        self._token = token
        self._access = access

    async def check_operator(self, request: Request) -> None:
        """Returns if the request has the operator's token, or a key of the scope admin.

        Raises:
            As `AdminToken.check` and `AccessControl.admit`.
        """
        if not self._token.is_in(request.headers) and self._access.has_keys:
            await self._access.admit(request.scope, Scope.ADMIN)
            return
        self._token.check(request.headers)

    @MODELS.route(
        "/v1/models",
        scope=Scope.TRANSLATE,
        summary="The models and their languages",
        response_model=ModelList,
        tags=["native"],
    )
    async def models(self) -> ModelList:
        """The models, with their languages, device and defaults; none is loaded for it."""
        models = [_model(each) for each in self._router.models]
        return ModelList(models=models, data=[ListedModel(id=each.name) for each in models])

    @MODELS.route(
        "/v1/models",
        methods=["POST"],
        summary="Add a model",
        responses=_CHANGE_ERRORS | {422: {"model": ErrorReply, "description": "A bad record"}},
        route_class_override=_OperatorsRoute,
        **_ACCEPTED,
    )
    async def add(self, request: Request, body: ModelRecord) -> Response:
        """Adds a model: it is checked, loaded if it has replicas of its own, and then served.

        For operators. The answer comes at once; `GET /v1/models/{id}` tells how it goes.
        """
        name = body.id or body.model.rstrip("/").rpartition("/")[2]
        if name in ("", ".", "..") or len(name) > 100 or not name.isprintable():
            raise InvalidFieldError(
                "`id` must be given where the last part of `model` is no name", field="id"
            )
        record = body.model_copy(update={"id": name})
        return await self._submit(ChangeKind.ADD, name, record)

    @MODELS.route(
        "/v1/models/{id}",
        scope=Scope.TRANSLATE,
        summary="A model's state, and where it is loaded",
        response_model=ModelDetails,
        responses=_UNKNOWN,
        tags=["models"],
    )
    async def model(self, request: Request, id: _Id) -> Response:
        """A model's state: loading, ready, failed (for operators with the reason), or removing."""
        status = await self._changes.status(id)
        model = next((each for each in self._router.models if each.hosted.id == id), None)
        if status is None and model is None:
            raise _unknown(id)
        loaded = await self._changes.loaded(id) if model is not None else {}
        details = ModelDetails(
            id=id,
            state=ModelState.READY if status is None else status.state,
            change=None if status is None else status.change,
            # It may name folders of the server.
            problem=status.problem if status and self._is_operator(request) else None,
            model=None if model is None else _model(model),
            shared=None if model is None else model.shared,
            loaded=[
                LoadedReplica(replica=replica, memory_bytes=size)
                for replica, size in sorted(loaded.items())
            ],
        )
        fields = details.model_dump(mode="json")
        return JSONResponse({name: value for name, value in fields.items() if value is not None})

    @MODELS.route(
        "/v1/models/{id}",
        methods=["DELETE"],
        summary="Remove a model",
        responses=_CHANGE_ERRORS | _UNKNOWN,
        **_ACCEPTED,
    )
    async def remove(self, request: Request, id: _Id) -> Response:
        """Removes a model once the requests that it has are answered. For operators."""
        await self.check_operator(request)
        return await self._submit(ChangeKind.REMOVE, id)

    @MODELS.route(
        "/v1/models/{id}/reload",
        methods=["POST"],
        summary="Load a model anew from its directory",
        responses=_CHANGE_ERRORS | _UNKNOWN,
        **_ACCEPTED,
    )
    async def reload(self, request: Request, id: _Id) -> Response:
        """Loads what the directory holds now, and serves it in place of what was loaded before.

        For operators. What cannot be loaded is refused, and the old one goes on.
        """
        await self.check_operator(request)
        return await self._submit(ChangeKind.RELOAD, id)

    def _is_operator(self, request: Request) -> bool:
        caller = RequestContext.of(request.scope).caller
        has_scope = caller is not None and Scope.ADMIN in caller.scopes
        return has_scope or self._token.is_in(request.headers)

    async def _submit(
        self, kind: ChangeKind, name: str, record: ModelRecord | None = None
    ) -> Response:
        if kind is not ChangeKind.ADD and name not in {m.hosted.id for m in self._router.models}:
            raise _unknown(name)
        await self._changes.submit(kind, name, record)
        reply = ChangeReply(id=name, change=kind)
        return JSONResponse(reply.model_dump(mode="json"), status_code=202)


def _unknown(name: str) -> UnknownModelError:
    return UnknownModelError(f"`id` must be one that GET /v1/models lists, but is {shown(name)}")


def _model(model: RoutedModel) -> Model:
    info = model.info
    languages = info.languages
    pairs = languages.pairs if languages.num_pairs <= MAX_LISTED_PAIRS else ()
    fields = asdict(info) | {
        "aliases": model.aliases,
        "asleep": model.asleep,
        "pairs": [pair._asdict() for pair in pairs],
        "source_languages": languages.sources,
        "target_languages": languages.targets,
    }
    del fields["languages"]
    return Model.model_validate(fields)

"""Requests are told apart by the routes that the framework takes them to, and by no others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Host, Mount, Route

from service.errors import Failure, OverloadedError, failure_of
from service.gateway.api.contract import Contract
from service.gateway.api.deepl import DEEPL
from service.gateway.api.deepl_documents import DEEPL_DOCUMENTS
from service.gateway.api.description import DescribedApplication
from service.gateway.api.documents import DOCUMENTS
from service.gateway.api.error_answers import CONTRACT_TEMPLATES, error_answer
from service.gateway.api.libretranslate import LIBRETRANSLATE
from service.gateway.api.libretranslate_files import LIBRETRANSLATE_FILES
from service.gateway.api.live import LIVE
from service.gateway.api.models import MODELS
from service.gateway.api.native import NATIVE
from service.gateway.api.route_templates import RouteTemplates
from service.gateway.request_context import RequestContext
from tests.fakes import Connection, Gateway


def _endpoint() -> None:
    raise NotImplementedError


def _scope(path: str, method: str = "GET", root_path: str = "", host: str = "") -> dict[str, Any]:
    scope = Connection(path, method=method, headers={"host": host} if host else None).scope
    return scope | {"root_path": root_path}


ROUTES: list[BaseRoute] = [
    Route("/documents/upload", _endpoint, methods=["POST"]),
    Route("/documents/{id}", _endpoint, methods=["GET"]),
    Route("/documents/{id:int}/pages/{page}", _endpoint, methods=["GET"]),
    Route("/documents", _endpoint, methods=["GET"]),
    Route("/documents", _endpoint, methods=["POST"]),
    Mount("/files", app=_endpoint),
    Mount("/apps/{name}", routes=[Route("/", _endpoint), Route("/users/{user}", _endpoint)]),
    Host("files.example", app=_endpoint),
]


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/documents", "/documents"),
        ("HEAD", "/documents", "/documents"),
        ("DELETE", "/documents", "/documents"),
        ("POST", "/documents/upload", "/documents/upload"),
        # Nothing but the method tells these two apart.
        ("GET", "/documents/upload", "/documents/{id}"),
        ("PUT", "/documents/upload", "/documents/upload"),
        ("GET", "/documents/7", "/documents/{id}"),
        ("POST", "/documents/7", "/documents/{id}"),
        ("GET", "/documents/7/pages/a b", "/documents/{id:int}/pages/{page}"),
        ("GET", "/documents/x/pages/1", "other"),
        ("GET", "/documents/", "other"),
        ("GET", "/files/a/b.css", "/files"),
        ("GET", "/apps/one/users/two", "/apps/{name}/users/{user}"),
        ("GET", "/apps/one/nothing", "/apps/{name}"),
        ("GET", "/documents/{id}", "/documents/{id}"),
        ("GET", "", "other"),
        ("GET", "/", "other"),
        ("GET", "/nothing", "other"),
    ],
)
@pytest.mark.parametrize("root_path", ["", "/prefix"])
def test_a_request_has_the_template_of_its_route(
    method: str, path: str, template: str, root_path: str
) -> None:
    scope = _scope(root_path + path, method, root_path)
    assert RouteTemplates(ROUTES).template_of(scope) == template


def test_a_host_alone_is_no_template() -> None:
    assert RouteTemplates(ROUTES).template_of(_scope("/x", host="files.example")) == "other"


def test_routes_that_cannot_be_told_apart_are_refused() -> None:
    app, router = FastAPI(), APIRouter()
    router.add_api_route("/documents/{id}", lambda: None)
    app.include_router(router)
    with pytest.raises(ValueError, match="a path of its own"):
        RouteTemplates(app.routes)


def test_a_prefix_alone_is_no_route() -> None:
    assert (
        RouteTemplates(ROUTES).template_of(_scope("/documents", root_path="/documents")) == "other"
    )


def test_a_prefix_ends_at_a_slash() -> None:
    templates = RouteTemplates(ROUTES)
    assert templates.template_of(_scope("/documents", root_path="/doc")) == "/documents"
    assert templates.template_of(_scope("/x/documents", root_path="/x")) == "/documents"


async def test_errors_have_the_form_of_their_contract_behind_a_prefix_too() -> None:
    for root_path, path in (("/trans", "/translate"), ("/mt", "/mt/translate")):
        connection = Connection(path, method="DELETE")
        connection.scope["root_path"] = root_path
        await connection.start(Gateway().app)
        assert connection.status == 405
        assert isinstance(connection.json()["error"], str)


def test_each_contract_says_how_its_errors_look() -> None:
    failure = failure_of(OverloadedError("full"))
    forms = {
        template: set(_error(failure, template))
        for contract in (
            NATIVE,
            LIVE,
            MODELS,
            DOCUMENTS,
            LIBRETRANSLATE,
            LIBRETRANSLATE_FILES,
            DEEPL,
            DEEPL_DOCUMENTS,
        )
        for template in contract.templates
    }
    assert forms == {
        "/v1/translate": {"error", "request_id"},
        "/v1/attention": {"error", "request_id"},
        "/v1/beam": {"error", "request_id"},
        "/v1/live": {"error", "request_id"},
        "/v1/models": {"error", "request_id"},
        "/v1/models/{id}": {"error", "request_id"},
        "/v1/models/{id}/reload": {"error", "request_id"},
        "/v1/documents": {"error", "request_id"},
        "/v1/documents/{id}": {"error", "request_id"},
        "/v1/documents/{id}/result": {"error", "request_id"},
        "/translate": {"error"},
        "/detect": {"error"},
        "/languages": {"error"},
        "/frontend/settings": {"error"},
        "/suggest": {"error"},
        "/translate_file": {"error"},
        "/download_file/{file}": {"error"},
        "/spec": {"error"},
        "/v2/translate": {"message"},
        "/v2/languages": {"message"},
        "/v2/usage": {"message"},
        "/v2/document": {"message"},
        "/v2/document/{document_id}": {"message"},
        "/v2/document/{document_id}/result": {"message"},
    }
    assert set(_error(failure, "other")) == {"error", "request_id"}


def _error(failure: Failure, template: str) -> dict[str, Any]:
    context = RequestContext(request_id="r", route=template)
    answer: dict[str, Any] = json.loads(bytes(error_answer(failure, context).body))
    return answer


def test_before_the_gateways_the_routes_are_known_without_them() -> None:
    assert CONTRACT_TEMPLATES.template_of(_scope("/translate", "POST")) == "/translate"
    assert CONTRACT_TEMPLATES.template_of(_scope("/translate/x")) == "other"


async def test_a_contract_adds_the_methods_that_it_declares() -> None:
    def error_form(failure: Failure, context: RequestContext) -> Response:
        raise NotImplementedError

    contract = Contract(error_form=error_form, errors={})

    class Handlers:
        @contract.route("/glossaries/{id}", methods=["GET"], summary="One of them")
        async def glossary(self, id: str) -> Response:
            return JSONResponse([id])

    app = DescribedApplication()
    contract.add_to(app, Handlers())
    assert contract.templates == {"/glossaries/{id}"}
    connection = Connection("/glossaries/7", method="GET")
    await connection.start(app)
    assert connection.json() == ["7"]
    assert app.openapi()["paths"]["/glossaries/{id}"]["get"]["summary"] == "One of them"

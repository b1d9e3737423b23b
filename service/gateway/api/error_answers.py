"""Error answers in the form of the contract that the requested route belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from service.errors import Failure
from service.gateway.api.contract import ErrorForm
from service.gateway.api.deepl import DEEPL
from service.gateway.api.deepl_documents import DEEPL_DOCUMENTS
from service.gateway.api.deepl_glossaries import DEEPL_GLOSSARIES
from service.gateway.api.documents import DOCUMENTS
from service.gateway.api.glossaries import GLOSSARIES
from service.gateway.api.libretranslate import LIBRETRANSLATE
from service.gateway.api.libretranslate_files import LIBRETRANSLATE_FILES
from service.gateway.api.live import LIVE
from service.gateway.api.models import MODELS
from service.gateway.api.native import NATIVE
from service.gateway.api.openai import OPENAI
from service.gateway.api.route_templates import RouteTemplates
from service.gateway.request_context import RequestContext
from service.store.records import Scope

__all__ = ["CONTRACT_TEMPLATES", "KEY_IN_FIELDS", "KEY_SCOPES", "error_answer"]

_CONTRACTS = (
    NATIVE, GLOSSARIES, DOCUMENTS, MODELS, LIVE, OPENAI, LIBRETRANSLATE, LIBRETRANSLATE_FILES,
    DEEPL, DEEPL_GLOSSARIES, DEEPL_DOCUMENTS,
)  # fmt: skip
_FORMS: Mapping[str, ErrorForm] = {
    template: contract.error_form for contract in _CONTRACTS for template in contract.templates
}

CONTRACT_TEMPLATES = RouteTemplates(
    [route for contract in _CONTRACTS for route in contract.bare_routes()]
)
"""Templates of all contracts, for the proxy, which has no routes of its own."""


KEY_SCOPES: Mapping[tuple[str, str], Scope] = {
    route: scope for contract in _CONTRACTS for route, scope in contract.scopes.items()
}
"""What an API key must be good for, by method and template."""
KEY_IN_FIELDS = frozenset[str]().union(
    *(contract.templates for contract in _CONTRACTS if contract.key_in_fields)
)
"""Templates of the routes whose key may also be in the body or the query string."""


def error_answer(failure: Failure, context: RequestContext) -> Response:
    """The answer for a failure, in the form of the route's contract, or of the one that was meant;
    in the native form if there is none."""
    return _FORMS.get(context.meant or context.route, NATIVE.error_form)(failure, context)

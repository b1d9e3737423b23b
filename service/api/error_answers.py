"""An error in the words of the API that was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.responses import Response

from service.api import libretranslate, v1
from service.errors import Failure
from service.request_context import RequestContext

__all__ = ["error_answer"]

_BY_ROUTE: Mapping[str, Callable[[Failure, RequestContext], Response]] = {
    "/translate": libretranslate.error_response,
    "/languages": libretranslate.error_response,
}


def error_answer(failure: Failure, context: RequestContext) -> Response:
    """As `context.route` has it; the native API's form where no other is known."""
    return _BY_ROUTE.get(context.route, v1.error_response)(failure, context)

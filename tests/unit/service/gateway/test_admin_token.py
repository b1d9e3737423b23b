"""Who may change the models."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from service.errors import ForbiddenError, UnauthenticatedError
from service.gateway.admin_token import AdminToken


@pytest.mark.parametrize("given", ["Bearer secret", "bearer secret", "BEARER  secret "])
def test_the_token_opens(given: str) -> None:
    AdminToken("secret").check(Headers({"authorization": given}))


@pytest.mark.parametrize(
    "given", ["", "secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret"]
)
def test_nothing_else_does(given: str) -> None:
    with pytest.raises(UnauthenticatedError):
        AdminToken("secret").check(Headers({"authorization": given}))
    with pytest.raises(UnauthenticatedError):
        AdminToken("secret").check(Headers({}))


@pytest.mark.parametrize("given", ["Bearer ", "Bearer x"])
def test_without_a_token_nobody_may(given: str) -> None:
    with pytest.raises(ForbiddenError, match="`admin_token` is not set"):
        AdminToken("").check(Headers({"authorization": given}))

"""The operator's token: who may change the models."""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers

from service.errors import ForbiddenError, UnauthenticatedError

__all__ = ["AdminToken"]

_SCHEME = "bearer"


class AdminToken:
    """Checks `Authorization: Bearer TOKEN`.

    Args:
        token: what must be sent; empty lets nobody.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def check(self, headers: Headers) -> None:
        """Returns if the request has the token.

        Raises:
            ForbiddenError: there is no token with which this may be done.
            UnauthenticatedError: the token is missing or wrong.
        """
        if not self._token:
            raise ForbiddenError(
                "models must be changed by the service's own settings: `admin_token` is not set"
            )
        if not self.is_in(headers):
            raise UnauthenticatedError(
                "the request must have `Authorization: Bearer` and the operator's token"
            )

    def is_in(self, headers: Headers) -> bool:
        """Whether there is a token, and the request has it."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == _SCHEME and self.matches(given.strip())

    def matches(self, given: str) -> bool:
        """Whether there is a token, and this is it."""
        same = secrets.compare_digest(given.encode(), self._token)
        return bool(self._token) and same

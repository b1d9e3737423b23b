"""A running service, as an operator on the command line talks to it."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from model.errors import PolyheadError
from service.launcher.token_file import read_token
from service.settings import Settings

__all__ = ["RunningService", "ServiceError"]

_CALL_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_BYTES = 2**20


class ServiceError(PolyheadError):
    """The service does not answer, or refuses."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class RunningService:
    """The models of a running service.

    Args:
        url: such as http://127.0.0.1:8000.

    Raises:
        ServiceError: it is no URL, or no token is known with which to change models there.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        scheme, host, port = _place(self._url)
        token = _token_of_environment()
        if not token and host in _LOOPBACK:
            token = read_token(port or (443 if scheme == "https" else 80)) or ""
        if not token:
            raise ServiceError(
                f"{self._url} must be a service that this user has started here, or "
                "POLYHEAD_ADMIN_TOKEN its operator's token, but neither is so"
            )
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        # Never through a proxy of the environment: it would be told the token.
        # Nor to where an answer leads.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirections)

    def add(self, record: dict[str, Any]) -> str:
        """Begins to add a model; returns its id."""
        return self._told(self._call("POST", "/v1/models", record), "id")

    def reload(self, name: str) -> None:
        """Begins to load a model anew."""
        self._call("POST", f"/v1/models/{urllib.parse.quote(name, safe='')}/reload")

    def remove(self, name: str) -> None:
        """Begins to remove a model."""
        self._call("DELETE", f"/v1/models/{urllib.parse.quote(name, safe='')}")

    def wait(self, name: str, seconds: float, *, until: str = "ready") -> None:
        """Returns when a model is in a state, or "gone".

        Raises:
            ServiceError: the change failed, or takes longer.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self._state(name)
            state = self._told(answer, "state")
            if state == "failed":
                raise ServiceError(str(answer.get("problem") or "it failed"))
            if state == until:
                return
            time.sleep(_LOOK_SECONDS)
        raise ServiceError(f"{name} is not done after {seconds:.0f} s; it goes on")

    def _state(self, name: str) -> dict[str, Any]:
        try:
            return self._call("GET", f"/v1/models/{urllib.parse.quote(name, safe='')}")
        except ServiceError as error:
            if error.status == 404:
                return {"state": "gone"}
            raise

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._url + path, data=content, headers=self._headers, method=method
        )
        try:
            with self._opener.open(request, timeout=_CALL_SECONDS) as answer:
                value = json.loads(answer.read(_MOST_BYTES))
                return value if isinstance(value, dict) else {}
        except urllib.error.HTTPError as error:
            raise ServiceError(_message(error), error.code) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise ServiceError(f"{self._url} does not answer: {reason}") from None

    def _told(self, answer: dict[str, Any], name: str) -> str:
        if name not in answer:
            raise ServiceError(f"{self._url} must be a service of Polyhead, but answers otherwise")
        return str(answer[name])


class _NoRedirections(urllib.request.HTTPRedirectHandler):
    """Takes redirections as answers: the token is for the service alone."""

    def redirect_request(self, *_: Any) -> None:
        """None: not to be followed."""


def _place(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port; ServiceError for what is no URL."""
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return parts.scheme, parts.hostname, parts.port
    except ValueError:  # a port beyond 65535
        pass
    raise ServiceError(
        f"`--url` must be as http://127.0.0.1:8000 is, or https://..., but is {url!r}"
    )


def _token_of_environment() -> str:
    try:
        token = Settings().admin_token.get_secret_value()
    except ValueError:  # it would tell what was given, the token perhaps
        raise ServiceError(
            "the variables POLYHEAD_... must be settings of the service, but one of them is not"
        ) from None
    if not (token.isascii() and token.isprintable()):  # no header can have it
        raise ServiceError("POLYHEAD_ADMIN_TOKEN must be printable characters of ASCII")
    return token


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(_MOST_BYTES))["error"]["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"the service answered {error.code}"

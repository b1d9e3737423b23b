"""One request of each kind before the load, so that what cannot work is known at once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
from http import HTTPStatus
from typing import Any

from httptools import HttpParserError

from loadtests.errors import LoadTestError
from loadtests.mix import Request
from loadtests.open_loop.client import Client
from loadtests.open_loop.options import LoadTestOptions

__all__ = ["ask", "probe"]

_SHOWN = 200


def probe(options: LoadTestOptions) -> str | None:
    """Asks once for each kind of the mix.

    Returns:
        The name of the model, if an answer gives one.

    Raises:
        LoadTestError: nobody answers there, or not as a translation service does.
    """
    requests = options.requests.each(random.Random(options.seed))
    answers = asyncio.run(ask(options.url, requests, timeout=options.timeout))
    models = [answer["model"] for answer in answers if "model" in answer]
    return models[-1] if models else None


async def ask(url: str, requests: list[Request], *, timeout: float) -> list[dict[str, Any]]:
    """The right answers to some requests, asked one by one.

    Raises:
        LoadTestError: one is wrong, or there is none within `timeout` seconds.
    """
    async with Client(url) as client:
        return [await _ask(client, url, request, timeout) for request in requests]


async def _ask(client: Client, url: str, request: Request, timeout: float) -> dict[str, Any]:
    head, tail = client.encode(request.path, json.dumps(request.body).encode())
    try:
        async with asyncio.timeout(timeout):
            answer = await client.send(head + b"probe" + tail)
    except (OSError, HttpParserError) as error:
        raise LoadTestError(f"no service answers at {url}: {_reason(error)}") from None
    if answer.status != HTTPStatus.OK:
        detail = " ".join(answer.content[:_SHOWN].decode(errors="replace").split())
        raise LoadTestError(
            f"{url.rstrip('/')}{request.path} must answer with status 200, but did with "
            f"{answer.status}: {detail}"
        )
    if (fault := request.fault(answer.status, answer.content)) is not None:
        raise LoadTestError(f"{url} does not answer {request.kind} rightly: {fault}")
    content: dict[str, Any] = json.loads(answer.content)
    return content


def _reason(error: Exception) -> str:
    """Why there was no answer, in the system's words."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # asyncio's own words hold numbers of sockets
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

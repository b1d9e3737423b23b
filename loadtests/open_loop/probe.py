"""One request of each kind before the load, so that what cannot work is known at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx

from loadtests.corpus import LoadTestError
from loadtests.mix import Request
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
    answers = ask(options.url, requests, timeout=options.timeout)
    models = [answer["model"] for answer in answers if "model" in answer]
    return models[-1] if models else None


def ask(url: str, requests: Sequence[Request], *, timeout: float) -> list[dict[str, Any]]:
    """The right answers to some requests, asked one by one.

    Raises:
        LoadTestError: one is wrong, or there is none within `timeout` seconds.
    """
    url, answers = url.rstrip("/"), []
    with httpx.Client(timeout=timeout, trust_env=False) as client:
        for request in requests:
            try:
                answer = client.post(url + request.path, json=request.body)
            except httpx.TransportError as error:
                raise LoadTestError(f"no service answers at {url}: {error}") from None
            if answer.status_code != HTTPStatus.OK:
                detail = " ".join(answer.text[:_SHOWN].split())
                raise LoadTestError(
                    f"{url}{request.path} must answer with status 200, but did with "
                    f"{answer.status_code}: {detail}"
                )
            if (fault := request.fault(answer.status_code, answer.content)) is not None:
                raise LoadTestError(f"{url} does not answer {request.kind} rightly: {fault}")
            answers.append(answer.json())
    return answers

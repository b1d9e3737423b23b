"""One request of each kind before the load, so that what cannot work is known at once."""

from __future__ import annotations

import http.client
import json
import random
import uuid
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener
from urllib.request import Request as UrlRequest

from loadtests.mix import Mix, Request
from loadtests.open_loop.errors import LoadTestError
from loadtests.open_loop.options import LoadTestOptions

__all__ = ["probe"]

# As locust: straight to the service.
_opener = build_opener(ProxyHandler({}))
_SHOWN = 200


def probe(options: LoadTestOptions) -> str | None:
    """Asks once for each kind of the mix.

    Returns:
        The name of the model, if an answer gives one.

    Raises:
        LoadTestError: nobody answers there, or not as a translation service does.
    """
    name = None
    for request in Mix(options.mix, options.corpus, options.pair).each(random.Random(options.seed)):
        answer = _ask(request, options)
        if (fault := request.fault_of(answer)) is not None:
            raise LoadTestError(f"{options.url} does not answer {request.kind} rightly: {fault}")
        if isinstance(answer, dict) and isinstance(model := answer.get("model"), str):
            name = model
    return name


def _ask(request: Request, options: LoadTestOptions) -> object:
    sent = UrlRequest(
        options.url.rstrip("/") + request.path,
        data=json.dumps(request.body).encode(),
        headers={"Content-Type": "application/json", "X-Request-Id": uuid.uuid4().hex},
    )
    try:
        with _opener.open(sent, timeout=options.timeout) as response:
            return json.loads(response.read())
    except HTTPError as error:
        with error:
            content = error.read(_SHOWN).decode("utf-8", errors="replace")
        detail = " ".join(content.split())
        raise LoadTestError(
            f"{sent.full_url} must answer with status 200, but did with {error.code}: {detail}"
        ) from None
    except URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise LoadTestError(f"no service answers at {options.url}: {reason}") from None
    except (OSError, http.client.HTTPException) as error:
        problem = str(error) or type(error).__name__
        raise LoadTestError(f"no service answers at {options.url}: {problem}") from None
    except ValueError:
        raise LoadTestError(f"{sent.full_url} must answer with JSON, but did not") from None

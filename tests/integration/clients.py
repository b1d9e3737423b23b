"""Clients that use a service all the time, while something is done to it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.integration.service_process import wait_for

__all__ = ["ask", "busy"]

_CLIENTS = 16
_PAUSE_SECONDS = 0.2


def ask(url: str, model: str | None = None) -> httpx.Response:
    """One request."""
    with _client() as client:
        return _ask(client, url, model)


def _ask(client: httpx.Client, url: str, model: str | None) -> httpx.Response:
    body = {"text": "The red house.", "source": "en", "target": "de"}
    if model is not None:
        body["model"] = model
    return client.post(f"{url}/v1/translate", json=body)


def _client() -> httpx.Client:
    """Makes a new connection for each request."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(
        limits=limits, timeout=120, trust_env=False, verify=False,
        headers={"Cache-Control": "no-cache"},
    )  # fmt: skip


@contextmanager
def busy(url: str, *models: str | None) -> Iterator[Counter[str]]:
    """16 clients that ask for one of the models each, again and again; yields the outcomes so far.

    At the end every client has been answered some more times, and all answers must be 200.
    """
    outcomes: Counter[str] = Counter()
    closing = threading.Event()

    def run(model: str | None) -> None:
        with _client() as client:
            while not closing.is_set():
                try:
                    answer = _ask(client, url, model)
                    outcome = "200" if answer.status_code == 200 else answer.text
                except httpx.HTTPError as error:
                    outcome = repr(error)
                outcomes[outcome] += 1
                closing.wait(_PAUSE_SECONDS)  # who changes something needs a CPU, too

    clients = [
        threading.Thread(target=run, args=(models[number % len(models)],))
        for number in range(_CLIENTS)
    ]
    for client in clients:
        client.start()
    try:
        yield outcomes
        answered = outcomes.total()
        wait_for(lambda: outcomes.total() >= answered + 4 * _CLIENTS)
    finally:
        closing.set()
        for client in clients:
            client.join()
    print(f"{outcomes.total()} requests: {dict(outcomes)}")
    assert outcomes.keys() == {"200"}

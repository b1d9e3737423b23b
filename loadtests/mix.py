"""What kinds of requests a load test sends, how often each, and what is wrong with an answer.

A fault is told in words that hold nothing of the texts: locust counts by them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any

import httpx

from loadtests.corpus import Corpus, LoadTestError

__all__ = [
    "MIXES",
    "Kind",
    "Mix",
    "Request",
    "ask",
]

MOST_PARAGRAPHS = 6
MOST_TEXTS = 16
_SHOWN = 200


class Kind(StrEnum):
    """Kinds of requests, by the names that statistics give them."""

    SENTENCE = "/v1/translate (sentence)"
    """The everyday request."""
    DOCUMENT = "/v1/translate (document)"
    """A text of several sentences, a few of them long."""
    LIST = "/v1/translate (list)"
    """What a program sends that translates a file or a page."""
    LIBRETRANSLATE_TEXT = "/translate (text)"
    """One text in LibreTranslate's form."""
    LIBRETRANSLATE_LIST = "/translate (list)"
    """A list in LibreTranslate's form."""


MIXES: Mapping[str, Mapping[Kind, float]] = {
    "realistic": {
        Kind.SENTENCE: 60,
        Kind.DOCUMENT: 20,
        Kind.LIST: 10,
        Kind.LIBRETRANSLATE_TEXT: 7,
        Kind.LIBRETRANSLATE_LIST: 3,
    },
    "sentences": {Kind.SENTENCE: 1},
    "documents": {Kind.DOCUMENT: 1},
    "lists": {Kind.LIST: 1},
    "libretranslate": {Kind.LIBRETRANSLATE_TEXT: 7, Kind.LIBRETRANSLATE_LIST: 3},
}
"""Shares of the kinds, in any unit."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A POST, and how its answer is judged."""

    kind: Kind
    body: dict[str, Any]
    """To be sent as JSON."""
    fault_of: Callable[[object], str | None]
    """What is wrong with a JSON answer to it, None if nothing is."""

    @property
    def path(self) -> str:
        """Where to send it."""
        return self.kind.partition(" ")[0]

    def fault(
        self, status: int, content: bytes | str, *, has_retry_after: bool = False
    ) -> str | None:
        """The first thing wrong with an answer to it, None if nothing is.

        Args:
            has_retry_after: a service with too much to do says when to come back; one that is
                broken does not.
        """
        if status != HTTPStatus.OK:
            shed = ", with Retry-After" if has_retry_after else ""
            return f"the status must be 200, but is {status}{shed}"
        try:
            answer = json.loads(content)
        except ValueError:
            return "the answer must be JSON"
        return self.fault_of(answer)


class Mix:
    """Draws one request after another."""

    def __init__(
        self,
        name: str,
        corpus: Corpus,
        source: str = "en",
        target: str = "de",
        models: Sequence[str] = (),
    ) -> None:
        """Makes ready to draw from the mix of a name in `MIXES`; KeyError for others.

        Requests of the native API name one of `models`, if there are any, the first most often: the
        second half as often, the third a third (Zipf's law).
        """
        self._models = models
        self._kinds = list(MIXES[name])
        self._shares = list(MIXES[name].values())
        self._corpus = corpus
        self._pair = {"source": source, "target": target}

    def draw(self, rng: random.Random) -> Request:
        """A request of a kind drawn by its share, with texts drawn from the corpus."""
        return self.request(rng.choices(self._kinds, self._shares)[0], rng)

    def each(self, rng: random.Random) -> list[Request]:
        """One request of each kind that is in this mix."""
        return [self.request(kind, rng) for kind in self._kinds]

    def request(self, kind: Kind, rng: random.Random) -> Request:
        """A request of this kind."""
        texts: str | list[str]
        match kind:
            case Kind.SENTENCE | Kind.LIBRETRANSLATE_TEXT:
                texts = self._corpus.sentence(rng)
            case Kind.DOCUMENT:
                texts = self._corpus.document(rng, most=MOST_PARAGRAPHS)
            case Kind.LIST | Kind.LIBRETRANSLATE_LIST:
                texts = self._corpus.batch(rng, most=MOST_TEXTS)
        if kind in (Kind.LIBRETRANSLATE_TEXT, Kind.LIBRETRANSLATE_LIST):
            fault_of = partial(libretranslate_fault, query=texts)
            return Request(kind=kind, body={"q": texts} | self._pair, fault_of=fault_of)
        field, all_ = ("text", [texts]) if isinstance(texts, str) else ("texts", texts)
        fault_of = partial(translate_fault, texts=all_)
        body = {field: texts} | self._pair
        if self._models:
            shares = [1 / rank for rank, _ in enumerate(self._models, start=1)]
            [body["model"]] = rng.choices(self._models, shares)
        return Request(kind=kind, body=body, fault_of=fault_of)


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


_FINISH_REASONS = ("stop", "length")


def translate_fault(answer: object, *, texts: Sequence[str]) -> str | None:
    """Looks for a fault in the JSON answer of `POST /v1/translate` to `texts`, none blank."""
    if not isinstance(answer, dict):
        return "the answer must be a JSON object"
    translations = answer.get("translations")
    if not isinstance(translations, list) or not all(isinstance(one, dict) for one in translations):
        return "`translations` must be a list with one entry for each text"
    fault = _fault_of("translations", [one.get("text") for one in translations], texts)
    if fault is not None:
        return fault
    if any(one.get("finish_reason") not in _FINISH_REASONS for one in translations):
        return f"`finish_reason` must be one of {', '.join(_FINISH_REASONS)}"
    return "`model` must name the model" if _is_blank(answer.get("model")) else None


def libretranslate_fault(answer: object, *, query: str | Sequence[str]) -> str | None:
    """Looks for a fault in the JSON answer of `POST /translate` to `query`, no text of it blank."""
    if not isinstance(answer, dict):
        return "the answer must be a JSON object"
    translated = answer.get("translatedText")
    if isinstance(query, str):
        query, translated = [query], [translated]
    return _fault_of("translatedText", translated, query)


def _fault_of(name: str, translated: object, texts: Sequence[str]) -> str | None:
    if not isinstance(translated, list) or len(translated) != len(texts):
        return f"`{name}` must be a list with one entry for each text"
    if any(map(_is_blank, translated)):
        return f"a text of `{name}` must not be empty"
    if any(new.count("\n") != old.count("\n") for new, old in zip(translated, texts, strict=True)):
        return "a translation must have the line breaks of its text"
    return None


def _is_blank(text: object) -> bool:
    return not isinstance(text, str) or not text.strip()

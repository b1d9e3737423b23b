"""Glossaries that are stored: what all contracts that have them do with them."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from starlette.requests import Request

from model.documents import plain_texts
from model.text.glossary import Glossary as TermFinder
from model.text.language_tags import closest
from model.text_options import GlossaryEntry, TextOptions
from service.errors import ForbiddenError, InvalidFieldError, UnknownGlossaryError, shown
from service.gateway.admission import Admission, problem_of_characters
from service.gateway.request_context import RequestContext
from service.store.records import Dictionary, Glossary
from service.store.store import Store

__all__ = ["StoredGlossaries", "dictionary_for", "joined"]

_CACHED = 64
_CACHED_ENTRIES = 100_000
"""Terms of all that are cached, at most; each takes some hundred bytes."""
_CACHE_SECONDS = 5.0
"""Time for which another gateway's change may not be seen here."""
_FEW_ENTRIES = 1000
"""Terms of a dictionary up to which it costs no request much to be checked and sent with all."""

_ID = re.compile(r"[0-9a-f-]{36}")
_Key = tuple[str, str]


class _Cached(NamedTuple):
    """A glossary as it was at a time."""

    read_at: float
    version: int
    dictionaries: tuple[Dictionary, ...]
    finders: dict[tuple[str, str], TermFinder]
    """By the pairs of large dictionaries, once they were needed."""

    @property
    def num_entries(self) -> int:
        return sum(len(each.entries) for each in self.dictionaries)


class StoredGlossaries:
    """The glossaries of the clients of requests. Belongs to one event loop.

    Args:
        store: where they are.
        admission: has the limits of a glossary.
        most: glossaries of each owner.
    """

    def __init__(self, store: Store, admission: Admission, *, most: int) -> None:
        self._store = store
        self._admission = admission
        self._most = most
        self._cache: OrderedDict[_Key, _Cached] = OrderedDict()

    async def add(
        self, request: Request, name: str, dictionaries: Sequence[Dictionary]
    ) -> Glossary:
        """Stores one.

        Raises:
            InvalidRequestError: there are too many, or it breaks a rule.
            ForbiddenError: this client may store nothing.
        """
        _check_name(name)
        await asyncio.to_thread(self._check, dictionaries)
        owner = _owner(request)
        return await self._store.glossaries.add(owner, name, dictionaries, most=self._most)

    async def all(self, request: Request) -> list[Glossary]:
        """All of the client's, the oldest first."""
        return await self._store.glossaries.all(_owner(request))

    async def find(self, request: Request, id: str) -> Glossary:
        """One of the client's; UnknownGlossaryError if there is no such one."""
        owner = _owner(request)
        _check_id(id)
        found = await self._store.glossaries.find(owner, id)
        if found is None:
            raise _unknown(id)
        return found

    async def dictionaries(self, request: Request, id: str) -> tuple[Dictionary, ...]:
        """Its dictionaries with their terms."""
        await self.find(request, id)
        return await self._store.glossaries.dictionaries(_owner(request), id)

    async def change(
        self,
        request: Request,
        id: str,
        *,
        name: str | None = None,
        dictionaries: Sequence[Dictionary] = (),
        merge: bool = False,
    ) -> Glossary:
        """Gives one another name or other dictionaries; see `service.store.glossaries`."""
        _check_name(name or "")
        await asyncio.to_thread(self._check, dictionaries)
        owner = _owner(request)
        _check_id(id)
        changed = await self._store.glossaries.change(
            owner, id, name=name, dictionaries=dictionaries, merge=merge,
            most_entries=self._admission.limits.max_stored_glossary_entries,
        )  # fmt: skip
        self._cache.pop((owner, id), None)
        if changed is None:
            raise _unknown(id)
        return changed

    async def remove(self, request: Request, id: str) -> None:
        """Deletes one; UnknownGlossaryError if there is no such one."""
        owner = _owner(request)
        _check_id(id)
        removed = await self._store.glossaries.remove(owner, id)
        self._cache.pop((owner, id), None)
        if not removed:
            raise _unknown(id)

    async def remove_dictionary(self, request: Request, id: str, source: str, target: str) -> None:
        """Deletes the dictionary of a pair; UnknownGlossaryError if there is none."""
        owner = _owner(request)
        _check_id(id)
        removed = await self._store.glossaries.remove_dictionary(owner, id, source, target)
        self._cache.pop((owner, id), None)
        if not removed:
            raise _unknown(id)

    async def entries(
        self, request: Request, id: str, source: str, target: str
    ) -> tuple[GlossaryEntry, ...]:
        """The terms of one for a language pair, as of some seconds ago.

        Raises:
            UnknownGlossaryError: there is no such glossary.
            InvalidFieldError: it has no dictionary of these languages.
        """
        _, dictionary = await self._dictionary(request, id, source, target)
        return dictionary.entries

    async def terms(
        self,
        request: Request,
        id: str,
        source: str,
        target: str,
        texts: Sequence[str],
        options: TextOptions,
    ) -> tuple[GlossaryEntry, ...]:
        """Those of its terms that texts may have, of a large dictionary; else all.

        Args:
            request: of the client.
            id: of the glossary.
            source, target: codes of the languages.
            texts: that are translated.
            options: of the texts: what they are written in.

        Raises:
            UnknownGlossaryError, InvalidFieldError: as `entries`.
            InvalidRequestError: a text is not in its format.
        """
        cached, dictionary = await self._dictionary(request, id, source, target)
        if len(dictionary.entries) <= _FEW_ENTRIES:
            return dictionary.entries
        if sum(map(len, texts)) > self._admission.limits.max_total_chars:
            return ()  # it will be refused
        pair = (dictionary.source, dictionary.target)
        if (finder := cached.finders.get(pair)) is None:
            finder = await asyncio.to_thread(TermFinder, dictionary.entries)
            cached.finders[pair] = finder

        def look() -> tuple[GlossaryEntry, ...]:
            return finder.entries_in(plain_texts(texts, options))

        return await asyncio.to_thread(look)

    async def _dictionary(
        self, request: Request, id: str, source: str, target: str
    ) -> tuple[_Cached, Dictionary]:
        owner = _owner(request)
        _check_id(id)
        cached = await self._cached(owner, id)
        if cached is None or not cached.dictionaries:
            raise _unknown(id)
        found = cached.dictionaries
        if (dictionary := dictionary_for(found, source, target)) is None:
            pairs = ", ".join(f"{one.source} to {one.target}" for one in found[:8])
            raise InvalidFieldError(
                f"`glossary_id` must be of a glossary from {shown(source)} to {shown(target)}, but "
                f"its dictionaries are of {pairs}",
                field="glossary_id",
            )
        return cached, dictionary

    async def _cached(self, owner: str, id: str) -> _Cached | None:
        key, now = (owner, id), time.monotonic()
        cached = self._cache.get(key)
        if cached is not None and now <= cached.read_at + _CACHE_SECONDS:
            return cached
        glossaries = self._store.glossaries
        version = await glossaries.version(owner, id)
        self._cache.pop(key, None)
        if version is None:
            return None
        if cached is not None and cached.version == version:
            cached = cached._replace(read_at=now)
        else:
            # What is changed meanwhile has another version, and is read again.
            cached = _Cached(now, version, await glossaries.dictionaries(owner, id), {})
        self._cache[key] = cached
        total = sum(each.num_entries for each in self._cache.values())
        while len(self._cache) > 1 and (len(self._cache) > _CACHED or total > _CACHED_ENTRIES):
            total -= self._cache.popitem(last=False)[1].num_entries
        return cached

    def _check(self, dictionaries: Iterable[Dictionary]) -> None:
        pairs = set()
        for each in dictionaries:
            # As those of a request: what is stored can be used.
            self._admission.check_stored_glossary(each.entries)
            if (pair := (each.source, each.target)) in pairs:
                raise InvalidFieldError(
                    "a glossary must have one dictionary for a language pair, but has two from "
                    f"{shown(each.source)} to {shown(each.target)}",
                    field="dictionaries",
                )
            pairs.add(pair)


def joined(
    first: Iterable[GlossaryEntry], more: Iterable[GlossaryEntry]
) -> tuple[GlossaryEntry, ...]:
    """The entries of both; of the same term, the one of `more`."""
    return tuple({_term(entry): entry for entry in (*first, *more)}.values())


def dictionary_for(
    dictionaries: Collection[Dictionary], source: str, target: str
) -> Dictionary | None:
    """The one whose languages serve for these codes; None if there is none."""
    return next(
        (
            each
            for each in dictionaries
            if closest(source, [each.source]) and closest(target, [each.target])
        ),
        None,
    )


def _term(entry: GlossaryEntry) -> tuple[str, bool]:
    exact = entry.case_sensitive
    return (entry.source if exact else entry.source.casefold(), exact)


def _owner(request: Request) -> str:
    caller = RequestContext.of(request.scope).caller
    if caller is None or caller.owner is None:
        raise ForbiddenError("the request must have an API key, for what is stored belongs to one")
    return caller.owner


def _check_name(name: str) -> None:
    if (problem := problem_of_characters(name)) is not None:
        raise InvalidFieldError(f"`name` must {problem}", field="name")


def _check_id(id: str) -> None:
    """What is no id is the id of none."""
    if _ID.fullmatch(id) is None:
        raise _unknown(id)


def _unknown(id: str) -> UnknownGlossaryError:
    return UnknownGlossaryError(
        f"`glossary_id` must be the id of a stored glossary, but is {shown(id)}",
        field="glossary_id",
    )

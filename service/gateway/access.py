"""Who may do what, and how much of it: keys, scopes, rates and quotas, for every contract.

Where keys are off and nothing is limited, each request is let in without a look.
"""

from __future__ import annotations

import asyncio
import calendar
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from model.errors import InvalidRequestError, PolyheadError
from service.errors import (
    ForbiddenError,
    MissingKeyError,
    QuotaExceededError,
    RateLimitedError,
    failure_of,
)
from service.gateway.addresses import ClientAddresses
from service.gateway.admin_token import AdminToken
from service.gateway.auth import KeyRing, key_in_headers
from service.gateway.request_context import Caller, RequestContext
from service.gateway.usage import UsageLedger
from service.gateway.windows import MemoryWindows, MinuteWindows, RedisWindows
from service.observability.metrics import GatewayMetrics
from service.settings import Access, Quota, Settings
from service.store.records import ApiKey
from service.store.records import Scope as KeyScope
from service.store.store import Store

__all__ = ["AccessControl", "AccessMiddleware", "Spending"]

_START_SECONDS = 15.0
"""Time for the keys to be read when the gateway starts."""
_WITHOUT_KEY = frozenset({KeyScope.TRANSLATE, KeyScope.DOCUMENTS})
_WITHOUT_KEYS = _WITHOUT_KEY | {KeyScope.WATCH}
"""Where there are no keys at all."""
_ANYBODY = Caller(subject="", owner="", scopes=_WITHOUT_KEYS, quota=Quota())
_OPERATOR = Caller(subject="", owner="", scopes=frozenset(KeyScope), quota=Quota())

LOGGER = logging.getLogger("polyhead.access")


class Spending(NamedTuple):
    """Characters that are counted for a request whose end is not known yet."""

    subject: str
    """Whose they are."""
    characters: int
    month: str | None
    """The month for which they count; None where they count for none."""


class AccessControl:
    """Finds out who sends a request, and holds it against what that client may do and use.

    Args:
        settings: `access` and `gateway_replicas`.
        store: of keys and usage.
        token: the operator's.
        metrics: counts what is refused, and characters.
    """

    def __init__(
        self, settings: Settings, store: Store, token: AdminToken, metrics: GatewayMetrics
    ) -> None:
        self._settings: Access = settings.access
        self._token = token
        self._metrics = metrics
        access = self._settings
        self.has_keys = access.keys != "off"
        self._limits_addresses = access.per_address.limits_anything
        self._keys = KeyRing(
            store, refresh_seconds=access.refresh_seconds, stale_seconds=access.stale_seconds
        )
        self._ledger = UsageLedger(
            store,
            flush_seconds=access.flush_seconds,
            max_addresses=access.max_tracked_clients,
        )
        self._addresses = ClientAddresses(access.trusted_proxies)
        self._windows = _windows(access, settings.gateway_replicas)
        self._callers: dict[str, tuple[ApiKey, Caller]] = {}
        """By the ids of keys that were sent."""
        self._store_is_used = self.has_keys or access.per_address.characters_per_month is not None

    async def start(self) -> None:
        """Reads the keys and what was used, and goes on to do so in the background.

        A store that cannot be reached is tried again later; until then keys are answered 503.
        """
        if not self._store_is_used:
            return
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._keys.refresh()
                await self._ledger.read(self._keys.ids)
        except (PolyheadError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            LOGGER.error("API keys cannot be read, and are answered 503: %s", reason)
        self._keys.start()
        self._ledger.start()

    async def close(self) -> None:
        """Writes what was used, and ends. Idempotent."""
        await self._keys.close()
        await self._ledger.close()
        await self._windows.close()

    async def admit(
        self, scope: Scope, needed: KeyScope | None, given: str | None = None
    ) -> Caller:
        """Who sends a request, which counts as one of theirs. The context keeps it.

        Args:
            scope: of the request.
            needed: what the key must be good for; None if that is looked at later.
            given: a key from elsewhere than the headers.

        Raises:
            MissingKeyError, InvalidKeyError: there must be a key, or a valid one.
            ForbiddenError: the key is for something else.
            RateLimitedError: it is one request too many.
            StoreUnavailableError: keys cannot be looked up.
        """
        context = RequestContext.of(scope)
        try:
            if context.caller is None:
                given = key_in_headers(scope) or given
                caller = self._caller(scope, given)
                await self._count_request(caller)
                context.caller = caller
            scopes = context.caller.scopes
            if needed is not None and needed not in scopes and KeyScope.ADMIN not in scopes:
                raise ForbiddenError(f"the API key must have the scope {needed}, but has not")
        except PolyheadError as error:
            self._metrics.count_refusal(failure_of(error).kind)
            raise
        return context.caller

    async def spend_on(self, scope: Scope, characters: int) -> Spending:
        """Counts the characters of a request's texts for its client; `succeeded` or `failed` must
        be told how it ends.

        Args:
            scope: of the request.
            characters: of its texts.

        Raises:
            RateLimitedError, QuotaExceededError: they are too many now, or in this month.
            InvalidRequestError: they are more than the client may ever have at once.
            As `admit`, for a request that was not admitted yet.
        """
        caller = RequestContext.of(scope).caller or await self.admit(scope, KeyScope.TRANSLATE)
        month = None
        if caller.subject:
            try:
                self._check_month(caller, characters)
                await self._count_characters(caller, characters)
            except PolyheadError as error:
                self._metrics.count_refusal(failure_of(error).kind)
                raise
            if self._is_kept(caller):
                month = self._ledger.add(caller.subject, characters)
        return Spending(caller.subject, characters, month)

    def succeeded(self, spending: Spending) -> None:
        """Counts characters that were translated."""
        self._metrics.count_characters(spending.characters)

    def failed(self, spending: Spending, *, sent: int) -> None:
        """Takes back what `spend_on` has counted for the month, but for the characters `sent`: of
        those texts of whose translations the client has a part."""
        if spending.month is not None:
            self._ledger.add(
                spending.subject,
                sent - spending.characters,
                requests=0 if sent else -1,
                month=spending.month,
            )

    @asynccontextmanager
    async def spending_in_store(self, caller: Caller, characters: int) -> AsyncIterator[None]:
        """Holds the characters of a document against the month, while the block stores the document
        and counts them, both or neither.

        Raises:
            QuotaExceededError: they are too many in this month.
        """
        if (subject := self.subject_of_month(caller)) is None:
            yield
        else:
            try:
                self._check_month(caller, characters)
            except PolyheadError as error:
                self._metrics.count_refusal(failure_of(error).kind)
                raise
            async with self._ledger.reserved(subject, characters):
                yield
        self._metrics.count_characters(characters)

    def address(self, scope: Scope) -> str:
        """The address of a request's client."""
        return self._addresses.of(scope)

    def subject_of_month(self, caller: Caller) -> str | None:
        """Whose use it counts as what a client uses in a month; None where it does not."""
        return caller.subject if caller.subject and self._is_kept(caller) else None

    def month_of(self, caller: Caller) -> tuple[int, int | None]:
        """The characters that a client has used in this month, and those that it may."""
        if (subject := self.subject_of_month(caller)) is None:
            return 0, None
        self._ledger.look_again(subject)
        return self._ledger.characters(subject), caller.quota.characters_per_month

    def _caller(self, scope: Scope, given: str | None) -> Caller:
        if not self.has_keys:
            return self._address(scope) if self._limits_addresses else _ANYBODY
        if given is not None and self._token.matches(given):
            return _OPERATOR
        if given is not None:
            return self._bearer(self._keys.find(given))
        if self._settings.keys == "required":
            raise MissingKeyError(
                "the request must have an API key, as `Authorization: Bearer` or as its API does"
            )
        return self._address(scope)

    def _bearer(self, key: ApiKey) -> Caller:
        """Who has a key, which is the same object until the keys are read again."""
        known = self._callers.get(key.id)
        if known is None or known[0] is not key:
            if len(self._callers) > len(self._keys):  # some are of keys that are gone
                self._callers.clear()
            own = key.quota.model_dump(exclude_none=True)
            quota = self._settings.per_key.model_copy(update=own)
            caller = Caller(subject=key.id, owner=key.id, scopes=key.scopes, quota=quota)
            known = self._callers[key.id] = key, caller
        return known[1]

    def _address(self, scope: Scope) -> Caller:
        subject = f"@{self._addresses.of(scope)}" if self._limits_addresses else ""
        # Where some have keys, nobody without one has things of their own.
        owner = None if self.has_keys else ""
        scopes = _WITHOUT_KEY if self.has_keys else _WITHOUT_KEYS
        return Caller(subject=subject, owner=owner, scopes=scopes, quota=self._settings.per_address)

    def _is_kept(self, caller: Caller) -> bool:
        """Whether it is kept what a client uses in a month."""
        return bool(caller.owner) or caller.quota.characters_per_month is not None

    async def _count_request(self, caller: Caller) -> None:
        limit = caller.quota.requests_per_minute
        if limit is not None and caller.subject:
            wait = await self._windows.hit(f"r{caller.subject}", limit, 1)
            if wait:
                raise RateLimitedError(_SLOWDOWN.format(limit), seconds=wait)

    async def _count_characters(self, caller: Caller, characters: int) -> None:
        limit = caller.quota.characters_per_minute
        if limit is None:
            return
        if characters > limit:
            raise InvalidRequestError(
                f"the texts must have at most {limit} characters in all, as many as this client "
                f"may have in a minute, but have {characters}"
            )
        wait = await self._windows.hit(f"c{caller.subject}", limit, characters)
        if wait:
            raise RateLimitedError(_SLOWDOWN.format(f"{limit} characters"), seconds=wait)

    def _check_month(self, caller: Caller, characters: int) -> None:
        limit = caller.quota.characters_per_month
        if limit is None:
            return
        used = self._ledger.characters(caller.subject)
        if used + characters > limit:
            self._ledger.look_again(caller.subject)
            raise QuotaExceededError(
                f"Quota exceeded: {used} of {limit} characters per month are used, and the texts "
                f"have {characters}",
                seconds=_seconds_of_month(time.time()),
            )


class AccessMiddleware:
    """Admits requests by their headers before their bodies are looked at.

    Args:
        app: what it is around.
        access: admits them.
        needed: what a key must be good for, by method and route template; others are let through.
        in_fields: templates of routes whose key may also be in the body, where the route looks.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: AccessControl,
        needed: Mapping[tuple[str, str], KeyScope],
        in_fields: frozenset[str],
    ) -> None:
        self._app = app
        self._access = access
        self._needed = needed
        self._in_fields = in_fields

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] == "http":
            route = RequestContext.of(scope).route
            needed = self._needed.get((scope["method"], route))
            if needed is not None and (
                route not in self._in_fields or key_in_headers(scope) is not None
            ):
                await self._access.admit(scope, needed)
        await self._app(scope, receive, send)


_SLOWDOWN = "Slowdown: {} per 1 minute"


def _windows(access: Access, gateways: int) -> MinuteWindows:
    # A client with a key has two: requests and characters.
    memory = MemoryWindows(share=1 / gateways, most=2 * access.max_tracked_clients)
    if url := access.limiter_url.get_secret_value():
        return RedisWindows(url, timeout_seconds=access.limiter_timeout_seconds, memory=memory)
    return memory


def _seconds_of_month(now: float) -> float:
    """The rest of the month."""
    date = datetime.fromtimestamp(now, UTC)
    days = calendar.monthrange(date.year, date.month)[1]
    end = datetime(date.year, date.month, days, tzinfo=UTC).timestamp() + 86_400
    return end - now
